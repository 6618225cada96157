"""What came because a plugin needed it, and is needed by nothing any longer."""

from collections.abc import Collection, Mapping

from unlabeled_registry.install.distributions import Installation, closure, plugins_of
from unlabeled_registry.install.names import FROZEN
from unlabeled_registry.lock.record import EnvironmentRecord


def unused(
    record: EnvironmentRecord, installed: Mapping[str, Installation], gone: Collection[str] = ()
) -> dict[str, Installation]:
    """Dependencies that nothing else needs once `gone` are gone, by name; no plugin is imported.

    Only what an installation of plugins brought, in the version that it brought: what was there before, what was asked for by
    name, what a lock that is followed names and what was changed since by other means count as wanted.
    """
    staying = {name: item for name, item in installed.items() if name not in gone}
    brought = {
        name: staying[name]
        for name in record.dependencies
        if name in staying and name not in (*FROZEN, *record.followed) and _is_as_brought(staying[name], record)
    }
    if not brought:
        return {}
    wanted = {name: item for name, item in staying.items() if name not in brought}
    uses = _uses(staying)
    while more := {other for name in closure(wanted, staying) for other in uses.get(name, ())} - wanted.keys():
        wanted |= {name: staying[name] for name in more}
    needed = closure(wanted, staying)
    return {name: item for name, item in brought.items() if name not in needed}


def _is_as_brought(item: Installation, record: EnvironmentRecord) -> bool:
    pin = record.pins.get(item.name)
    return pin is not None and pin.version == item.version and bool(item.records) and bool(item.paths())


def _uses(installed: Mapping[str, Installation]) -> dict[str, set[str]]:
    """The plugins whose components a plugin's recipes name, by the plugin's name."""
    from unlabeled_registry.discovery import installed_plugins
    from unlabeled_registry.manifest import owner_of

    owners = {owner_of(name): name for name in plugins_of(installed)}
    return {
        plugin.name: {owners[owner] for used in plugin.manifest.uses if (owner := used.partition("/")[0]) in owners}
        for plugin in installed_plugins()
        if plugin.manifest is not None
    }
