"""Which installed plugins have a newer release, and whether that fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import configured_location, read_index
from unlabeled_registry.index.format import Index, Release, newest
from unlabeled_registry.install.choose import Chooser, unsafe
from unlabeled_registry.install.distributions import Installation, installations, plugins_of


@dataclass(frozen=True)
class Outdated:
    """An installed plugin of which the index has a newer release, or a warning."""

    name: str
    installed: str
    fits: str  # the version that `upgrade` would install
    newest: str
    reason: str  # why that is not the newest
    warnings: list[str]  # of the installed version


def outdated(location: str | None) -> list[Outdated]:
    """The plugins that `upgrade` would change, that have a newer release all the same, or that should go."""
    index, installed = read_index(configured_location(location)), installations()
    known = {name: item for name, item in plugins_of(installed).items() if name in index.plugins}
    fits, problems = _upgrades(index, installed, [name for name, item in known.items() if not item.editable])
    then = {name: fits[name].version if name in fits else item.version for name, item in installed.items()}
    found = []
    for name, item in known.items():
        last = newest(index.plugins[name])
        warnings = [text for release in index.plugins[name] if _is(release, item.version) for text in unsafe(release)]
        newer = Version(last.version) > Version(item.version)
        if not newer and not warnings and name not in fits:
            continue
        reason = ""
        if newer and then[name] != last.version:
            reason = "; ".join(_obstacles(last, index, installed, fits, item.editable) or problems)
        found.append(Outdated(name, item.version, then[name], last.version, reason, warnings))
    return sorted(found, key=lambda entry: entry.name)


def _upgrades(
    index: Index, installed: Mapping[str, Installation], names: Sequence[str]
) -> tuple[dict[str, Release], list[str]]:
    """What `upgrade` would install; where that cannot be, what it would by the name of each, and why not all at once."""
    chooser = Chooser(index, installed, newest=frozenset(names))
    try:
        return chooser.choose(dict.fromkeys(names, SpecifierSet())), []
    except RegistryError as error:
        if len(names) == 1:
            return {}, list(error.problems)
        alone = [_upgrades(index, installed, [name])[0] for name in names]
        return {name: release for fits in alone for name, release in fits.items()}, list(error.problems)


def _obstacles(
    release: Release,
    index: Index,
    installed: Mapping[str, Installation],
    fits: Mapping[str, Release],
    editable: bool,
) -> list[str]:
    """Why a newer release would not be installed: what it is, or what needs another one after the upgrade."""
    if editable:
        return ["the installed one is a checkout (editable)"]
    chooser = Chooser(index, installed)
    return chooser.reasons(release, []) + [
        f"{chooser.title(name, fits.get(name))} needs {requirement}"
        for name in plugins_of(installed)
        for requirement in chooser.needs(name, fits.get(name))
        if canonicalize_name(requirement.name) == release.name
        and not requirement.specifier.contains(release.version, prereleases=True)
    ]


def _is(release: Release, version: str) -> bool:
    return Version(release.version) == Version(version)
