"""Plugins installed into a folder aside, and what is checked there before they reach the environment."""

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.distributions import Installation, Record, installed_here
from unlabeled_registry.install.plan import PLUGIN_INDEX, Change
from unlabeled_registry.probe import probe

_BY_INSTALLER = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")


def check_staged(
    folder: Path, changes: Sequence[Change], installed: Mapping[str, Installation]
) -> dict[str, Installation]:
    """What lies in the staging folder, once it is what was planned; `RegistryError` names what it would do beyond that."""
    staged = installed_here(folder)
    problems = [
        f"refused: {stray} came with what was to be installed, and would count as another distribution"
        for stray in sorted(
            set(_metadata(folder)) - {staged[change.name].folder.name for change in changes if change.name in staged}
        )
    ]
    owners: dict[Path, tuple[str, str | None]] = {}
    for change in changes:
        item = staged.get(change.name)
        if item is None or item.version != change.new:
            raise RegistryError(
                f"{change.name}: the installer gave {item.version if item else 'nothing'}, not {change.new}"
            )
        if item.package is not None and change.source != PLUGIN_INDEX:
            problems.append(
                f"refused: {change.name} is a plugin, and the ordinary package index has it; plugins come from the plugin index"
            )
        problems += _overwritten(item, installed.get(change.name), owners)
        if change.source == PLUGIN_INDEX:
            problems += _shadowing(item, installed.get(change.name))
    if problems:
        raise RegistryError(*problems)
    return staged


def try_imports(folder: Path, changes: Iterable[Change], staged: Mapping[str, Installation]) -> None:
    """Import each staged plugin and its components in a process of its own; `RegistryError` names the one that fails."""
    for change in changes:
        package = staged[change.name].package
        if package is not None and not (result := probe((package, folder))).ok:
            raise RegistryError(f"{change.name} {change.new}: {result.cause}; nothing was installed")


def targets(staged: Iterable[Installation]) -> set[Path]:
    """The files that the installer will write into the environment, and those it may write."""
    found: set[Path] = set()
    for item in staged:
        for record in item.records:
            found |= _places(record)
        for site in _sites():
            found |= {site / item.folder.name / name for name in _BY_INSTALLER}
    return found


def _metadata(folder: Path) -> Iterator[str]:
    """The folders and files that make a distribution of what lies beside them, in the eyes of Python or of ours."""
    return (name for name in os.listdir(folder) if name.lower().endswith((".dist-info", ".egg-info")))


def _sites() -> set[Path]:
    return {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))}


def _places(record: Record) -> set[Path]:
    """Where a staged file goes: the import path, or, for scripts and data, the environment's own folders."""
    name = record.name
    while name.startswith("../"):
        name = name.removeprefix("../")
    places = {Path(sys.prefix, name)} if name != record.name or name.startswith("bin/") else set()
    return places | ({site / record.name for site in _sites()} if name == record.name else set())


def _overwritten(item: Installation, old: Installation | None, owners: dict[Path, tuple[str, str | None]]) -> list[str]:
    """Files that belong to another distribution, or to none, and would be written over."""
    own = old.paths() if old else frozenset()
    found = []
    for record in item.records:
        for place in _places(record) - own:
            other, sha256 = owners.setdefault(place, (item.name, record.sha256))
            if other != item.name and sha256 != record.sha256:
                found.append(f"refused: {item.name} and {other} would both write {place}")
            elif place.exists() and not _same(place, record.path):
                found.append(f"refused: {item.name} would write over {place}, which is not its own")
    return found


def _same(place: Path, staged: Path) -> bool:
    try:
        return place.read_bytes() == staged.read_bytes()
    except OSError:
        return False


def _shadowing(item: Installation, old: Installation | None) -> list[str]:
    """A package of the same name that is here already, from elsewhere: one would hide the other."""
    if item.package is None or (old is not None and old.package == item.package):
        return []
    invalidate_caches()
    spec = find_spec(item.package) if item.package.isidentifier() else None
    if spec is None:
        return []
    return [
        f"refused: {item.name} brings the package {item.package!r}, which is here already ({spec.origin or 'a folder'})"
    ]
