"""Installing, upgrading and removing plugins, from the request to the record of what was done."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import invalidate_caches
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import configured_location, download, read_index, replaced
from unlabeled_registry.index.format import Index, Release
from unlabeled_registry.index.verify import differences
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.install.choose import Chooser, unsafe
from unlabeled_registry.install.distributions import Installation, applies, installations, plugins_of
from unlabeled_registry.install.installers import Installer, Package, find_installer, is_release
from unlabeled_registry.install.names import FROZEN, HERE, full_name, parse_request
from unlabeled_registry.install.plan import Plan, make_plan
from unlabeled_registry.install.removal import remove, without
from unlabeled_registry.install.staging import check_staged, targets, try_imports
from unlabeled_registry.install.transaction import transaction
from unlabeled_registry.install.unchanged import check_unchanged
from unlabeled_registry.lock.contents import contents
from unlabeled_registry.lock.record import EnvironmentRecord, Pin, read_record, record_files, write_record


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
    work: Path
    installed: Mapping[str, Installation]
    record: EnvironmentRecord
    contents: Mapping[str, str] = field(default_factory=dict)  # by plugin, where they are known
    requested: frozenset[str] = frozenset()  # what was asked for by name, and is not there for the sake of others alone

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
        yield replace(preparation, requested=frozenset(wanted))


@contextmanager
def prepared_upgrade(names: Iterable[str], options: Options) -> Iterator[Preparation]:
    """The plan that brings the named plugins, or all, to the newest release that fits."""
    index = read_index(configured_location(options.index))
    plugins = plugins_of(installations())
    chosen = [full_name(name, plugins, HERE) for name in names]
    chosen = chosen or [name for name, item in plugins.items() if name in index.plugins and not item.editable]
    with _prepared({name: SpecifierSet() for name in chosen}, index, options, newest=frozenset(chosen)) as preparation:
        yield preparation


@contextmanager
def prepared_exactly(
    wanted: Mapping[str, Package],
    options: Options,
    *,
    others: Sequence[Package] | None = None,
    removals: Iterable[str] = (),
    contents: Mapping[str, str] | None = None,
) -> Iterator[Preparation]:
    """The plan that installs plugins in exact versions, and removes some.

    wanted: a package without hashes may be any file of its version, if it has the `contents` given for it.
    others: what these plugins need, exactly; None asks the ordinary package index.
    """
    index = read_index(configured_location(options.index)) if wanted else Index("", "", {})
    requests = {
        full_name(name, index.plugins, "the plugin index"): SpecifierSet(f"=={package.version}")
        for name, package in wanted.items()
    }
    known = {(name, package.version): frozenset(package.hashes) for name, package in wanted.items() if package.hashes}
    refuse_replaced(index, known)
    with _prepared(requests, index, options, anew=True, others=others, removals=tuple(removals)) as preparation:
        yield replace(preparation, contents=contents or {}, requested=frozenset(requests))


def carry_out(preparation: Preparation) -> None:
    """Stage, check, try and install what the plan says; on any failure the environment is what it was before."""
    plan, installer, installed = preparation.plan, preparation.installer, preparation.installed
    record = _with_dependencies(preparation)
    if not plan.changes:
        if record != read_record():  # it follows another lock, or something else was asked for
            write_record(record)
        return
    stage, packages = preparation.work / "stage", [change.package for change in plan.installs]
    staged: dict[str, Installation] = {}
    if packages:
        others = [
            change.package for change in plan.installs if not (preparation.wheels / _marker(change.name)).exists()
        ]
        if others:
            collected = {package.name: package for package in installer.collect(others, preparation.wheels)}
            packages = [collected.get(package.name, package) for package in packages]
        installer.install(packages, preparation.wheels, target=stage, lock=None)
        staged = check_staged(stage, plan.installs, installed)
        try_imports(stage, plan.installs, staged)
    found = {name: contents(staged[name]) for name in staged}
    pins = {package.name: Pin(package.version, package.hashes, found[package.name]) for package in packages}
    _check_known(preparation, pins)
    changed = [installed[change.name] for change in plan.changes if change.name in installed]
    old = {path for item in changed for path in item.paths()}
    with transaction(str(plan), {*old, *targets(staged.values()), *record_files()}) as lock:
        check_unchanged(installed, preparation.record)
        for change in plan.removals:
            remove(installed[change.name])
        if packages:
            installer.install(packages, preparation.wheels, target=None, lock=lock)
        _check_result(plan, found)
        record = without(record, {change.name for change in plan.removals})
        write_record(replace(record, pins={**record.pins, **pins}))


def _with_dependencies(preparation: Preparation) -> EnvironmentRecord:
    """The record with what comes for the sake of others alone, and without what was asked for."""
    new = {change.name for change in preparation.plan.installs if change.old is None}
    dependencies = {*preparation.record.dependencies, *new} - preparation.requested
    return replace(preparation.record, dependencies=tuple(sorted(dependencies)))


@contextmanager
def _prepared(
    wanted: Mapping[str, SpecifierSet],
    index: Index,
    options: Options,
    *,
    newest: frozenset[str] = frozenset(),
    anew: bool = False,
    others: Sequence[Package] | None = None,
    removals: tuple[str, ...] = (),
) -> Iterator[Preparation]:
    installed, record = installations(), read_record()
    staying = {name: item for name, item in installed.items() if name not in removals and not (anew and name in wanted)}
    chooser = Chooser(index, staying, newest=newest, core_may_change=options.core_may_change)
    releases = chooser.choose(wanted)
    names = {*wanted, *releases}
    refuse_replaced(
        index, {(name, pin.version): frozenset(pin.hashes) for name, pin in record.pins.items() if name in names}
    )
    installer = find_installer(options.installer, source=options.source)
    with tempfile.TemporaryDirectory(prefix="unlabeled-plugins-") as folder:
        work = Path(folder)
        wheels = [_fetched(release, index, work / "wheels") for release in releases.values()]
        packages = list(others or ())
        if wheels and others is None and _lacking(releases.values(), staying):
            constraints = _constraints(staying, releases, options.core_may_change)
            packages = installer.resolve(wheels, constraints, work)
        plan = make_plan(
            releases,
            packages,
            removals,
            installed,
            core_may_change=options.core_may_change,
            reserved=index.plugins.keys(),
        )
        plan = replace(plan, warnings=(*plan.warnings, *_of_what_stays(wanted, releases, index, installed)))
        yield Preparation(plan, installer, work, installed, record)


def _of_what_stays(
    wanted: Iterable[str], releases: Iterable[str], index: Index, installed: Mapping[str, Installation]
) -> list[str]:
    """What a person should know of the plugins that were asked for and are not changed."""
    return [
        f"{text}; it stays"
        for name in sorted(set(wanted) - set(releases))
        for release in index.plugins.get(name, ())
        if Version(release.version) == Version(installed[name].version)
        for text in unsafe(release)
    ]


def _fetched(release: Release, index: Index, folder: Path) -> Path:
    """The release's wheel, verified; `RegistryError` where it is not what the index says of it."""
    path = download(release, index, folder)
    if lies := differences(release, read_wheel(path)):
        raise RegistryError(*(f"refused: {problem}; ask who keeps the index" for problem in lies))
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
    return [f"{item.name}=={item.version}" for item in kept if is_release(item.name, item.version)]


def refuse_replaced(index: Index, known: Mapping[tuple[str, str], frozenset[str]]) -> None:
    """`RegistryError` where the index has another file under a version than was known: (name, version) -> sha256s."""
    if problems := replaced(index, known):
        raise RegistryError(*(f"refused: {problem}" for problem in problems))


def _check_known(preparation: Preparation, pins: Mapping[str, Pin]) -> None:
    """The same version has the same contents, whichever index it comes from."""
    for name, pin in pins.items():
        known = preparation.record.pins.get(name)
        before = known.contents if known and known.version == pin.version else ""
        if any(one and one != pin.contents for one in (before, preparation.contents.get(name, ""))):
            raise RegistryError(
                f"refused: {name} {pin.version} has other contents than it had before; a version never changes: ask who "
                "keeps the index"
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
