"""Which releases of plugins to install: from the plugin index alone, such as fit this environment and each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from platform import python_version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from unlabeled_registry.api import API_VERSION
from unlabeled_registry.errors import ManifestError, RegistryError
from unlabeled_registry.index.format import Index, Release
from unlabeled_registry.install.distributions import Installation, applies
from unlabeled_registry.install.names import FROZEN, HERE, check_alike


@dataclass(frozen=True)
class Wanted:
    """A requirement on a plugin, and who has it."""

    specifier: SpecifierSet
    by: str

    @property
    def pinned(self) -> bool:
        """Whether it names one version, which is then taken though it was yanked or has an advisory."""
        return any(clause.operator in ("==", "===") and not clause.version.endswith(".*") for clause in self.specifier)


@dataclass
class Chooser:
    """Chooses releases by depth-first search over versions, the newest or the installed one first.

    installed: all distributions;
    newest: the plugins that are to be upgraded; core_may_change: whether releases that need another core are considered.
    """

    index: Index
    installed: Mapping[str, Installation]
    newest: frozenset[str] = frozenset()
    core_may_change: bool = False

    def choose(self, requests: Mapping[str, SpecifierSet]) -> dict[str, Release]:
        """The releases to install by name, without those that are installed as they should be.

        `RegistryError` says for each release of a plugin why it does not do.
        """
        for name in requests:
            self._check_name(name)
        wanted = {name: [Wanted(specifier, "you")] for name, specifier in requests.items()}
        for item in self.installed.values():
            if item.package is not None and item.name not in requests:
                self._add(wanted, _requirements(item.requires), f"{item.name} {item.version}", known_only=set(requests))
        refusals: dict[str, str] = {}
        chosen = self._search(list(requests), wanted, {}, refusals)
        if chosen is None:
            raise RegistryError(*refusals.values())
        return {name: release for name, release in chosen.items() if release is not None}

    def reasons(self, release: Release, wanted: list[Wanted]) -> list[str]:
        """Why a release does not do."""
        found = [
            f"{want.by} asked for {want.specifier}" if want.by == "you" else f"{want.by} needs {want.specifier}"
            for want in wanted
            if not want.specifier.contains(release.version, prereleases=True)
        ]
        if not found and Version(release.version).is_prerelease and not self._takes_early(release.name, wanted):
            found = ["it is a pre-release; ask for it by its number"]
        return found or self._unfit(release, any(want.pinned for want in wanted))

    def _takes_early(self, name: str, wanted: list[Wanted]) -> bool:
        """Whether pre-releases do, as for pip and uv: where they are asked for, or all there is."""
        return any(want.pinned or want.specifier.prereleases for want in wanted) or all(
            Version(release.version).is_prerelease for release in self.index.plugins.get(name, ())
        )

    def _unfit(self, release: Release, pinned: bool) -> list[str]:
        found = []
        if not parse_wheel_filename(release.file)[3] & _tags():
            found.append(f"{release.file} is for another platform")
        try:
            if not (manifest := release.parsed()).compatible:
                found.append(f"it needs interfaces {manifest.api}, and these are {API_VERSION}")
        except ManifestError as error:
            found.append(f"its manifest cannot be used ({error.problems[0]})")
        if release.requires_python and not _contains(release.requires_python, python_version()):
            found.append(f"it needs Python {release.requires_python}, and this is {python_version()}")
        if release.yanked is not None and not pinned:
            found.append(f"it was yanked ({release.yanked})")
        if not pinned:
            found += [f"advisory {advisory.id}: {advisory.summary}" for advisory in release.advisories]
        if not self.core_may_change:
            found += [
                f"it needs {requirement}, and {self.installed[name].version} is installed (--allow-core-changes lets it change)"
                for requirement in _requirements(release.requires_dist)
                if (name := canonicalize_name(requirement.name)) in FROZEN
                and name in self.installed
                and not requirement.specifier.contains(self.installed[name].version, prereleases=True)
            ]
        return found

    def _search(
        self,
        open_names: list[str],
        wanted: Mapping[str, list[Wanted]],
        chosen: Mapping[str, Release | None],
        refusals: dict[str, str],
    ) -> dict[str, Release | None] | None:
        """The choice for the open names on top of what is chosen, None standing for what is installed.

        None if there is no such choice; then `refusals` says why, by name.
        """
        if not open_names:
            return dict(chosen)
        name, *rest = open_names
        candidates = self._fitting(name, wanted[name])
        if not candidates:
            refusals.setdefault(name, self._refusal(name, wanted[name]))
        for release in candidates:
            needed = {key: list(value) for key, value in wanted.items()}
            added = self._add(needed, self.needs(name, release), self.title(name, release))
            decided = {**chosen, name: release}
            broken = [other for other in added if other in decided and not self._holds(other, decided, needed[other])]
            for other in broken:
                title = self.title(other, decided[other])
                refusals.setdefault(
                    other, f"{self.title(name, release)} does not go with {title}; ask for other versions"
                )
            todo = rest + [other for other in added if other not in decided and other not in rest]
            found = None if broken else self._search(todo, needed, decided, refusals)
            if found is not None:
                return found
        return None

    def _fitting(self, name: str, wanted: list[Wanted]) -> list[Release | None]:
        """The releases that fit, the best first; None is the installed one."""
        kept = self.installed.get(name)
        usable = kept is not None and all(want.specifier.contains(kept.version, prereleases=True) for want in wanted)
        others = [
            release
            for release in reversed(self.index.plugins.get(name, ()))
            if not (usable and kept is not None and Version(release.version) == Version(kept.version))
            and not self.reasons(release, wanted)
        ]
        if not usable or kept is None:
            return [*others]
        if name not in self.newest:
            return [None, *others]
        newer = [release for release in others if Version(release.version) > Version(kept.version)]
        return [*newer, None, *(release for release in others if release not in newer)]

    def _holds(self, name: str, chosen: Mapping[str, Release | None], wanted: list[Wanted]) -> bool:
        release = chosen[name]
        version = self.installed[name].version if release is None else release.version
        return all(want.specifier.contains(version, prereleases=True) for want in wanted)

    def needs(self, name: str, release: Release | None) -> list[Requirement]:
        """What a release requires here, None standing for what is installed."""
        return _requirements(release.requires_dist if release is not None else self.installed[name].requires)

    def title(self, name: str, release: Release | None) -> str:
        """Name and version of a release, None standing for what is installed."""
        return f"{name} {self.installed[name].version if release is None else release.version}"

    def _add(
        self,
        wanted: dict[str, list[Wanted]],
        requirements: list[Requirement],
        by: str,
        known_only: set[str] | None = None,
    ) -> list[str]:
        """Note the requirements on plugins, and return whose they are."""
        added: list[str] = []
        for requirement in requirements:
            name = canonicalize_name(requirement.name)
            if name in FROZEN or not self._is_plugin(name) or (known_only is not None and name not in known_only):
                continue
            if name not in wanted:
                self._check_name(name, by)
            wanted.setdefault(name, []).append(Wanted(requirement.specifier, by))
            added.append(name)
        return added

    def _is_plugin(self, name: str) -> bool:
        """Such a name is never looked for in an ordinary package index, whatever that has."""
        installed = self.installed.get(name)
        return (
            name in self.index.plugins
            or name.startswith("unlabeled-")
            or (installed is not None and installed.package is not None)
        )

    def _check_name(self, name: str, by: str = "") -> None:
        if name not in self.index.plugins and name not in self.installed:
            raise RegistryError(
                f"{by} needs plugin {name!r}, which the plugin index does not have; it is looked for nowhere else"
            )
        check_alike(name, self.index.plugins, "the plugin index")
        check_alike(name, (key for key, item in self.installed.items() if item.package is not None), HERE)

    def _refusal(self, name: str, wanted: list[Wanted]) -> str:
        releases = self.index.plugins.get(name, ())
        if not releases:
            return f"plugin {name!r} is installed, and the plugin index has no release of it"
        asked = SpecifierSet(",".join(str(want.specifier) for want in wanted if want.by == "you"))
        meant = [release for release in reversed(releases) if asked.contains(release.version, prereleases=True)]
        if not meant:
            versions = [release.version for release in reversed(releases)]
            shown = ", ".join(versions[:5]) + (f" and {len(versions) - 5} more" if len(versions) > 5 else "")
            return f"no release of {name!r} is {asked}; the plugin index has {shown}"
        told = [f"{release.version}: {'; '.join(self.reasons(release, wanted))}" for release in meant]
        shown = ". ".join(told[:3]) + (f". And {len(told) - 3} more" if len(told) > 3 else "")
        return f"no release of {name!r} fits. {shown}"


@cache
def _tags() -> frozenset[Tag]:
    return frozenset(sys_tags())


def unsafe(release: Release) -> list[str]:
    """What a person should know before a release is installed that was asked for by its number."""
    told = [f"{release.name} {release.version} was yanked: {release.yanked}"] if release.yanked is not None else []
    return told + [
        f"{release.name} {release.version} has advisory {item.id}: {item.summary}"
        + (f" ({item.fixed_in} mends it)" if item.fixed_in else "")
        for item in release.advisories
    ]


def _requirements(texts: object) -> list[Requirement]:
    """Requirements that hold here; one that cannot be read is left to the installer's refusal."""
    found = []
    for text in texts if isinstance(texts, list | tuple) else ():
        try:
            requirement = text if isinstance(text, Requirement) else Requirement(text)
        except InvalidRequirement:
            continue
        if applies(requirement):
            found.append(requirement)
    return found


def _contains(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return False
