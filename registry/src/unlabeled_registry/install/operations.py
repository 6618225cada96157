"""Installing, upgrading and removing plugins, from the request to the record of what was done."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import invalidate_caches
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import configured_location, download, read_index, replaced
from unlabeled_registry.index.format import Index, Release
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.install.choose import Chooser
from unlabeled_registry.install.distributions import Installation, applies, installations, plugins_of
from unlabeled_registry.install.installers import Installer, Package, find_installer
from unlabeled_registry.install.names import FROZEN, full_name, parse_request
from unlabeled_registry.install.plan import Plan, make_plan
from unlabeled_registry.install.staging import check_staged, targets, try_imports
from unlabeled_registry.install.transaction import transaction
from unlabeled_registry.lock.contents import contents
from unlabeled_registry.lock.record import EnvironmentRecord, Pin, read_record, record_file, write_record


@dataclass(frozen=True)
class Options:
    """How to install: from which plugin index, with what, and what is allowed beyond the ordinary."""

    index: str | None = None
    installer: str | None = None
    core_may_change: bool = False
    source: bool = False  # packages of the ordinary index may be built from source, which runs their code


@dataclass(frozen=True)
class Preparation:
    """A plan whose plugins are downloaded and verified, and nothing changed yet."""

    plan: Plan
    installer: Installer
    options: Options
    work: Path
    installed: Mapping[str, Installation]
    record: EnvironmentRecord

    @property
    def wheels(self) -> Path:
        return self.work / "wheels"


@contextmanager
def prepared_install(requests: Iterable[str], options: Options) -> Iterator[Preparation]:
    """The plan that adds the plugins asked for, as `NAME`, `NAME==1.0` or `NAME>=1.0`."""
    index = read_index(configured_location(options.index))
    wanted: dict[str, SpecifierSet] = {}
    for request in map(parse_request, requests):
        name = full_name(request.name, index.plugins, "the plugin index")
        wanted[name] = wanted.get(name, SpecifierSet()) & request.specifier
    with _prepared(wanted, index, options) as preparation:
        yield preparation


@contextmanager
def prepared_upgrade(names: Iterable[str], options: Options) -> Iterator[Preparation]:
    """The plan that brings the named plugins, or all, to the newest release that fits."""
    index = read_index(configured_location(options.index))
    plugins = plugins_of(installations())
    chosen = [full_name(name, plugins, "this environment") for name in names]
    chosen = chosen or [name for name, item in plugins.items() if name in index.plugins and not item.editable]
    with _prepared({name: SpecifierSet() for name in chosen}, index, options, newest=frozenset(chosen)) as preparation:
        yield preparation


@contextmanager
def prepared_exactly(
    pins: Mapping[str, str],
    hashes: Mapping[str, tuple[str, ...]],
    extra: Iterable[Package],
    removals: Iterable[str],
    options: Options,
    follows: tuple[str, tuple[str, ...]] | None = None,
) -> Iterator[Preparation]:
    """The plan that brings plugins to exact versions and files, with exact other packages, and removes some.

    pins: version by plugin; hashes: the files allowed, where they are known.
    """
    index = read_index(configured_location(options.index)) if pins else Index("", "", {})
    wanted = {
        full_name(name, index.plugins, "the plugin index"): SpecifierSet(f"=={version}")
        for name, version in pins.items()
    }
    with _prepared(wanted, index, options, hashes=hashes, extra=tuple(extra), removals=tuple(removals)) as preparation:
        record = preparation.record
        yield replace(
            preparation, record=replace(record, follows=follows[0], followed=follows[1]) if follows else record
        )


def prepare_removal(names: Iterable[str], *, force: bool = False) -> Plan:
    """The plan that removes plugins; `RegistryError` where one is needed, unless `force`."""
    installed = installations()
    plugins = plugins_of(installed)
    chosen = [full_name(name, plugins, "this environment") for name in names]
    problems = [
        f"{name}: lies in {installed[name].site}, outside this environment; uninstall it there"
        for name in chosen
        if not installed[name].paths()
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
    return make_plan({}, (), dict.fromkeys(chosen), installed, core_may_change=True)


def carry_out_removal(plan: Plan) -> None:
    """Remove what the plan says, or nothing; runs no code of any plugin."""
    installed, record = installations(), read_record()
    gone = {change.name for change in plan.removals}
    paths = {path for name in gone for path in installed[name].paths()}
    with transaction(str(plan), {*paths, record_file()}):
        for name in gone:
            _remove(installed[name])
        write_record(_without(record, gone))


def carry_out(preparation: Preparation) -> None:
    """Stage, check, try and install what the plan says; on any failure the environment is what it was before."""
    plan, installer, installed = preparation.plan, preparation.installer, preparation.installed
    stage, packages = preparation.work / "stage", [change.package for change in plan.installs]
    staged: dict[str, Installation] = {}
    if packages:
        others = [
            change.package for change in plan.installs if not (preparation.wheels / _marker(change.name)).exists()
        ]
        if others:
            installer.collect(others, preparation.wheels, source=preparation.options.source)
            packages = _as_collected(packages, preparation.wheels) if preparation.options.source else packages
        installer.install(packages, preparation.wheels, target=stage, lock=None)
        staged = check_staged(stage, plan.installs, installed)
        try_imports(stage, plan.installs, staged)
    found = {name: contents(staged[name]) for name in staged}
    pins = {package.name: Pin(package.version, package.hashes, found[package.name]) for package in packages}
    _check_known(preparation.record, pins)
    changed = [installed[change.name] for change in plan.changes if change.name in installed]
    old = {path for item in changed for path in item.paths()}
    with transaction(str(plan), {*old, *targets(staged.values()), record_file()}) as lock:
        for change in plan.removals:
            _remove(installed[change.name])
        if packages:
            installer.install(packages, preparation.wheels, target=None, lock=lock)
        _check_result(plan, found)
        record = _without(preparation.record, {change.name for change in plan.removals})
        write_record(replace(record, pins={**record.pins, **pins}))


@contextmanager
def _prepared(
    wanted: Mapping[str, SpecifierSet],
    index: Index,
    options: Options,
    *,
    newest: frozenset[str] = frozenset(),
    hashes: Mapping[str, tuple[str, ...]] | None = None,
    extra: tuple[Package, ...] = (),
    removals: tuple[str, ...] = (),
) -> Iterator[Preparation]:
    installed, record = installations(), read_record()
    staying = {name: item for name, item in installed.items() if name not in removals}
    chooser = Chooser(index, staying, newest=newest, core_may_change=options.core_may_change)
    releases = chooser.choose(wanted)
    _check_replaced(index, {*wanted, *releases}, record, hashes or {})
    installer = find_installer(options.installer)
    with tempfile.TemporaryDirectory(prefix="unlabeled-plugins-") as folder:
        work = Path(folder)
        wheels = [_fetched(release, index, work / "wheels") for release in releases.values()]
        packages = list(extra)
        if wheels and not extra and _lacking(releases.values(), staying):
            constraints = _constraints(staying, releases, options.core_may_change)
            packages = installer.resolve(wheels, constraints, work, source=options.source)
        plan = make_plan(releases, packages, removals, installed, core_may_change=options.core_may_change)
        yield Preparation(plan, installer, options, work, installed, record)


def _fetched(release: Release, index: Index, folder: Path) -> Path:
    """The release's wheel, verified; `RegistryError` where it is not what the index says of it."""
    path = download(release, index, folder)
    wheel = read_wheel(path)
    if (wheel.name, wheel.version, wheel.manifest) != (release.name, release.version, release.manifest):
        raise RegistryError(
            f"{release.file}: refused: its manifest is not the one that the plugin index shows; ask who keeps the index"
        )
    if set(wheel.requires_dist) != set(release.requires_dist) or (wheel.requires_python or None) != (
        release.requires_python or None
    ):
        raise RegistryError(
            f"{release.file}: refused: it needs something else than the plugin index says; ask who keeps the index"
        )
    (folder / _marker(release.name)).touch()
    return path


def _marker(name: str) -> str:
    return f".{name}.verified"


def _lacking(releases: Iterable[Release], installed: Mapping[str, Installation]) -> bool:
    """Whether the releases need anything beyond themselves and what is installed."""
    chosen = {release.name for release in releases}
    for release in releases:
        for requirement in filter(applies, map(Requirement, release.requires_dist)):
            name = canonicalize_name(requirement.name)
            present = installed.get(name)
            fits = present is not None and requirement.specifier.contains(present.version, prereleases=True)
            if name not in chosen and (not fits or requirement.extras):
                return True
    return False


def _constraints(
    installed: Mapping[str, Installation], releases: Mapping[str, Release], core_may_change: bool
) -> list[str]:
    """What the ordinary package index must leave alone: core, and every plugin."""
    kept = [
        item
        for name, item in installed.items()
        if (name in FROZEN and not core_may_change) or (item.package is not None and name not in releases)
    ]
    return [f"{item.name}=={item.version}" for item in kept]


def _check_replaced(
    index: Index, names: set[str], record: EnvironmentRecord, hashes: Mapping[str, tuple[str, ...]]
) -> None:
    known = {(name, pin.version): frozenset(pin.hashes) for name, pin in record.pins.items() if name in names}
    problems = [f"refused: {problem}" for problem in replaced(index, known)]
    for name, allowed in hashes.items():
        there = {release.sha256 for release in index.plugins.get(name, ())}
        if name in names and not there & set(allowed):
            problems.append(
                f"refused: {name}: the plugin index has no file of it with a sha256 of the lock; a version never changes"
            )
    if problems:
        raise RegistryError(*problems)


def _check_known(record: EnvironmentRecord, pins: Mapping[str, Pin]) -> None:
    """The same version has the same contents, whichever index it comes from."""
    for name, pin in pins.items():
        known = record.pins.get(name)
        if known and known.version == pin.version and known.contents and known.contents != pin.contents:
            raise RegistryError(
                f"refused: {name} {pin.version} has other contents than when it was installed before; a version never changes"
            )


def _check_result(plan: Plan, staged: Mapping[str, str]) -> None:
    """The environment now holds what was planned and tried; `RegistryError` otherwise, which undoes it."""
    invalidate_caches()
    now = installations()
    for change in plan.changes:
        item = now.get(change.name)
        if (item.version if item else None) != change.new:
            raise RegistryError(
                f"{change.name}: {item.version if item else 'nothing'} is installed and not {change.new or 'nothing'}; undone"
            )
        if item is not None and contents(item) != staged[change.name]:
            raise RegistryError(f"{change.name}: what was installed is not what was tried; undone")


def _as_collected(packages: Iterable[Package], folder: Path) -> list[Package]:
    """The packages with the sha256s of their wheels: what was built from source has a new one."""
    import hashlib

    found: dict[str, str] = {}
    for wheel in folder.glob("*.whl"):
        found[canonicalize_name(wheel.name.split("-")[0])] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return [replace(package, hashes=(found[package.name],)) for package in packages]


def _dependents(name: str, plugins: Mapping[str, Installation]) -> list[str]:
    """The plugins that need this one, by their metadata or by the components their recipes use."""
    from unlabeled_registry.discovery import installed_plugins
    from unlabeled_registry.manifest import owner_of

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


def _remove(item: Installation) -> None:
    """Delete a distribution's files and the folders that this leaves empty."""
    folders = set()
    for path in item.paths():
        if os.path.lexists(path):
            path.unlink()
        folders |= {folder for folder in path.parents if folder != item.site and folder.is_relative_to(item.site)}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if folder.is_dir() and not os.listdir(folder):
            folder.rmdir()


def _without(record: EnvironmentRecord, names: set[str]) -> EnvironmentRecord:
    """The record without these; a lock that names one of them is no longer followed."""
    pins = {name: pin for name, pin in record.pins.items() if name not in names}
    if names & set(record.followed):
        return EnvironmentRecord(pins)
    return replace(record, pins=pins)
