"""A plan holds for the environment that it was made for, and no other."""

from collections.abc import Mapping

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.distributions import Installation, installations
from unlabeled_registry.lock.record import EnvironmentRecord, read_record


def check_unchanged(installed: Mapping[str, Installation], record: EnvironmentRecord) -> None:
    """`RegistryError` where another command has changed the environment meanwhile; only within a transaction."""
    if installations() != installed or read_record().pins != record.pins:
        raise RegistryError("another command has changed the environment meanwhile; nothing was changed: try again")
