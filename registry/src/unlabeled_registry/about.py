"""How a plugin is installed: where, from what, whether its files are what they were, and whether a policy allows it."""

from dataclasses import dataclass

from unlabeled_registry.install.distributions import installations, legacy_plugins
from unlabeled_registry.lock.contents import changed_files
from unlabeled_registry.lock.record import hashes_of, read_record
from unlabeled_registry.policy.files import policy_files
from unlabeled_registry.registry import Plugin, Registry


@dataclass(frozen=True)
class About:
    """What this environment knows of an installed plugin besides its manifest."""

    requires: tuple[str, ...]
    metadata: str
    """Its .dist-info folder, or an older kind of one."""
    editable: bool
    sha256: tuple[str, ...]
    """Of the wheels that it may have been installed from; none where neither its origin nor our record tells."""
    changed: tuple[str, ...] | None
    """One line for each file that is not as it was installed; None where nothing says what it was."""
    allowed: bool
    policies: tuple[str, ...]
    """The files of the policies that hold here."""


def about(plugin: Plugin, registry: Registry) -> About:
    """What is known of an installed plugin; its files are hashed, and it is not imported."""
    policies = tuple(map(str, policy_files()))
    allowed = registry.admit(plugin)
    item = installations().get(plugin.name)
    if item is None:
        return About((), legacy_plugins().get(plugin.name, ""), False, (), None, allowed, policies)
    return About(
        requires=tuple(map(str, item.requires)),
        metadata=str(item.folder),
        editable=item.editable,
        sha256=hashes_of(item, read_record()),
        changed=None if item.editable or not item.records else tuple(changed_files(item)),
        allowed=allowed,
        policies=policies,
    )
