"""Names of new plugins: `sensors` is the distribution unlabeled-sensors, the package unlabeled_sensors and the owner sensors."""

import re
from typing import NamedTuple

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.names import confusable

PREFIX = "unlabeled-"
FIRST_PARTY = ("standard", "text", "vision", "audio", "video", "timeseries", "crossmodal", "registry", "all")
LONGEST = 40
_OWNER = re.compile("[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class Names(NamedTuple):
    """What a plugin is called in each place."""

    owner: str
    distribution: str
    package: str


def names_of(name: str) -> Names:
    """The names of a new plugin, from one with or without `unlabeled-`; `RegistryError` where it cannot be used."""
    owner = name.removeprefix(PREFIX)
    if not _OWNER.fullmatch(owner) or len(owner) > LONGEST:
        allowed = f"up to {LONGEST} small letters, digits and single hyphens, as in 'my-sensors'"
        raise RegistryError(f"{name!r} is no name of a plugin; use {allowed}")
    if taken := first_party(owner):
        raise RegistryError(f"{name!r} {taken}, which comes with unlabeled; choose another name")
    distribution = PREFIX + owner
    return Names(owner, distribution, distribution.replace("-", "_"))


def first_party(owner: str) -> str:
    """Whether an owner is, or could be taken for, one of what comes with unlabeled: `is unlabeled-x`, or nothing."""
    for taken in FIRST_PARTY:
        if confusable(owner, taken):
            return f"is {PREFIX}{taken}" if owner == taken else f"could be taken for {PREFIX}{taken}"
    return ""
