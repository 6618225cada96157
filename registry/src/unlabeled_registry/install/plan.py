"""What an installation would change, checked before anything is: core stays, nothing installed breaks, nothing is replaced."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unlabeled_registry.errors import RegistryError, listed
from unlabeled_registry.index.format import Release
from unlabeled_registry.install.choose import unsafe
from unlabeled_registry.install.distributions import Installation, applies
from unlabeled_registry.install.installers import Package
from unlabeled_registry.install.names import FROZEN

PLUGIN_INDEX = "plugin index"
PACKAGE_INDEX = "package index"


@dataclass(frozen=True)
class Change:
    """One distribution: its version before and after, None standing for absent, and where it comes from."""

    name: str
    old: str | None
    new: str | None
    source: str | None
    size: int | None
    hashes: tuple[str, ...] = ()

    @property
    def package(self) -> Package:
        """What is installed for it."""
        assert self.new is not None
        return Package(self.name, self.new, self.hashes)


@dataclass(frozen=True)
class Plan:
    """Changes by name, and what a person should know before they agree."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()  # with versions: what plugins brought, stays, and is needed by nothing any longer

    @property
    def installs(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.new is not None)

    @property
    def removals(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.new is None)

    def __str__(self) -> str:
        told: dict[str, list[str]] = {}
        for change in self.changes:
            verb, _, what = _told(change).partition(" ")
            told.setdefault(verb, []).append(what)
        return "; ".join(f"{verb} {listed(names)}" for verb, names in told.items()) or "nothing"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        changes = [asdict(change) for change in self.changes]
        return {"changes": changes, "warnings": list(self.warnings), "unused": list(self.unused)}


def make_plan(
    releases: Mapping[str, Release],
    packages: Sequence[Package],
    removals: Iterable[str],
    installed: Mapping[str, Installation],
    *,
    core_may_change: bool = False,
    reserved: Collection[str] = (),
) -> Plan:
    """The plan; `RegistryError` where it would change core, break what is installed, or reach beyond its index.

    reserved: the names that the plugin index has, which no package of the ordinary one may bear.
    """

    def old(name: str) -> str | None:
        return installed[name].version if name in installed else None

    changes = [
        Change(name, old(name), release.version, PLUGIN_INDEX, release.size, (release.sha256,))
        for name, release in releases.items()
    ]
    changes += [
        Change(package.name, old(package.name), package.version, PACKAGE_INDEX, None, package.hashes)
        for package in packages
    ]
    changes += [Change(name, old(name), None, None, None) for name in removals]
    plan = Plan(
        tuple(sorted(changes, key=lambda change: change.name)), tuple(w for r in releases.values() for w in unsafe(r))
    )
    problems = [*_of_core(plan, core_may_change), *_not_plugins(packages, reserved), *_not_changeable(plan, installed)]
    problems += _broken(plan, releases, installed)
    if problems:
        raise RegistryError(*problems)
    return plan


def _told(change: Change) -> str:
    if change.new is None:
        return f"remove {change.name} {change.old}"
    return (
        f"install {change.name} {change.new}"
        if change.old is None
        else f"change {change.name} {change.old} to {change.new}"
    )


def _of_core(plan: Plan, may_change: bool) -> list[str]:
    if may_change:
        return []
    return [
        f"refused: this would {_told(change)}, on which everything here depends; --allow-core-changes lets it change"
        for change in plan.changes
        if change.name in FROZEN
    ]


def _not_plugins(packages: Iterable[Package], reserved: Collection[str]) -> list[str]:
    return [
        f"refused: {package.name} {package.version} would come from the ordinary package index, and names like it come from "
        "the plugin index alone"
        for package in packages
        if (package.name.startswith("unlabeled-") or package.name in reserved) and package.name not in FROZEN
    ]


def _not_changeable(plan: Plan, installed: Mapping[str, Installation]) -> list[str]:
    return [
        f"{change.name} {change.old} is installed from a checkout (editable); uninstall it first"
        for change in plan.installs
        if change.name in installed and installed[change.name].editable
    ]


def _broken(plan: Plan, releases: Mapping[str, Release], installed: Mapping[str, Installation]) -> list[str]:
    """What is installed, stays, and would no longer have what it needs."""
    changed = {change.name: change for change in plan.changes}
    found = []
    for item in installed.values():
        if item.name in changed:
            continue
        for requirement in item.requires:
            change = changed.get(requirement.name.lower().replace("_", "-").replace(".", "-"))
            if change is None or change.new is None or not applies(requirement):
                continue
            fitted = change.old is not None and requirement.specifier.contains(change.old, prereleases=True)
            if fitted and not requirement.specifier.contains(change.new, prereleases=True):
                found.append(f"refused: {item.name} {item.version} needs {requirement}, and this would {_told(change)}")
    return found
