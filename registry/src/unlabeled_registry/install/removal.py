"""Removing plugins, which runs no code of any: a broken one goes like any other."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from packaging.utils import canonicalize_name

from unlabeled_registry.errors import RegistryError, printable
from unlabeled_registry.install.distributions import Installation, applies, installations, legacy_plugins, plugins_of
from unlabeled_registry.install.names import HERE, full_name
from unlabeled_registry.install.plan import Plan, make_plan
from unlabeled_registry.install.transaction import transaction
from unlabeled_registry.install.unchanged import check_unchanged
from unlabeled_registry.install.unused import unused
from unlabeled_registry.lock.record import EnvironmentRecord, read_record, record_files, write_record
from unlabeled_registry.manifest import owner_of


def prepare_removal(names: Iterable[str], *, force: bool = False, autoremove: bool = False) -> Plan:
    """The plan that removes plugins; `RegistryError` where one is needed, unless `force`.

    autoremove: with what plugins brought and nothing needs then; else the plan names it.
    """
    installed = installations()
    plugins = plugins_of(installed)
    chosen = [_installed_name(name, plugins) for name in names]
    problems = [
        f"{name}: lies in {installed[name].site}, outside this environment; uninstall it there"
        for name in chosen
        if not installed[name].paths()
    ]
    problems += [
        f"{name}: {link} is a link, which neither pip nor uv makes; remove it as it was installed"
        for name in chosen
        for link in _links(installed[name])
    ]
    record = read_record()
    for name in chosen if not force else ():
        needed = [other for other in _dependents(name, plugins) if other not in chosen]
        if needed:
            problems.append(
                f"{name}: {', '.join(needed)} need{'s' * (len(needed) == 1)} it; name these too, or --force"
            )
        if name in record.followed:
            problems.append(
                f"{name}: the lock {record.follows} that this environment follows names it; sync another, or --force"
            )
    if problems:
        raise RegistryError(*problems)
    left = unused(without(record, set(chosen)), installed, chosen)
    plan = make_plan({}, (), dict.fromkeys([*chosen, *(left if autoremove else ())]), installed, core_may_change=True)
    told = () if autoremove else tuple(f"{name} {item.version}" for name, item in left.items())
    return replace(plan, unused=told)


def carry_out_removal(plan: Plan) -> None:
    """Remove what the plan says, or nothing; runs no code of any plugin."""
    installed, record = installations(), read_record()
    gone = {change.name for change in plan.removals}
    paths = {path for name in gone for path in installed[name].paths()}
    shared = _files_of_others(installed, gone)
    with transaction(str(plan), {*paths, *record_files()}):
        check_unchanged(installed, record)
        for name in gone:
            remove(installed[name], shared)
        write_record(without(record, gone))


def _installed_name(name: str, plugins: Mapping[str, Installation]) -> str:
    """The plugin meant: by its exact name, as `plugins list` shows it, or without `unlabeled-` where that means one."""
    shown = {printable(full): full for full in plugins}
    if name in shown:
        return shown[name]
    for full, folder in legacy_plugins().items():
        if canonicalize_name(name) in (full, owner_of(full)) and full not in plugins:
            raise RegistryError(
                f"{full}: {folder} does not say which files are its; `pip uninstall {full}` removes it where it can"
            )
    return full_name(name, plugins, HERE)


def _links(item: Installation) -> list[Path]:
    """The links among its folders, behind which lies what may be another's."""
    folders = [item.folder, *([item.site / item.package] if item.package else [])]
    return [folder for folder in folders if folder.is_symlink()]


def _dependents(name: str, plugins: Mapping[str, Installation]) -> list[str]:
    """The plugins that need this one, by their metadata or by the components their recipes use."""
    from unlabeled_registry.discovery import installed_plugins

    owner = owner_of(name)
    found = {
        other.name
        for other in plugins.values()
        if any(canonicalize_name(item.name) == name and applies(item) for item in other.requires)
    }
    found |= {
        other.name
        for other in installed_plugins()
        if other.manifest is not None and any(used.partition("/")[0] == owner for used in other.manifest.uses)
    }
    return sorted(found - {name})


def _files_of_others(installed: Mapping[str, Installation], gone: set[str]) -> set[Path]:
    """What stays although the RECORD of something that goes names it too."""
    return {record.path for name, item in installed.items() if name not in gone for record in item.records}


def remove(item: Installation, shared: Collection[Path] = frozenset()) -> None:
    """Delete a distribution's files, but for what it shares with others, and the folders that this leaves empty."""
    folders = set()
    for path in item.paths().difference(shared):
        if os.path.lexists(path):
            path.unlink()
        folders |= {folder for folder in path.parents if folder != item.site and folder.is_relative_to(item.site)}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if folder.is_dir() and not os.listdir(folder):
            folder.rmdir()


def without(record: EnvironmentRecord, names: set[str]) -> EnvironmentRecord:
    """The record without these; a lock that names one of them is no longer followed."""
    pins = {name: pin for name, pin in record.pins.items() if name not in names}
    dependencies = tuple(name for name in record.dependencies if name not in names)
    if names & set(record.followed):
        return EnvironmentRecord(pins, dependencies=dependencies)
    return replace(record, pins=pins, dependencies=dependencies)
