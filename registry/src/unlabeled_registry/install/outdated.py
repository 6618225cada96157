"""Which installed plugins have a newer release, and whether that fits."""

from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import configured_location, read_index
from unlabeled_registry.index.format import Release, newest
from unlabeled_registry.install.choose import Chooser, unsafe
from unlabeled_registry.install.distributions import installations, plugins_of


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
    found = []
    for name, item in plugins_of(installed).items():
        releases = index.plugins.get(name, ())
        if not releases:
            continue
        last = newest(releases)
        chooser = Chooser(index, installed, newest=frozenset({name}))
        try:
            fits = chooser.choose({name: SpecifierSet()})
        except RegistryError as error:
            fits, problems = {}, list(error.problems)
        else:
            problems = chooser.reasons(last, [])
        best = fits[name].version if name in fits else item.version
        warnings = [text for release in releases if _is(release, item.version) for text in unsafe(release)]
        newer = Version(last.version) > Version(item.version)
        if newer or warnings or name in fits:
            reason = "; ".join(problems) if newer and best != last.version else ""
            found.append(Outdated(name, item.version, best, last.version, reason, warnings))
    return sorted(found, key=lambda entry: entry.name)


def _is(release: Release, version: str) -> bool:
    return Version(release.version) == Version(version)
