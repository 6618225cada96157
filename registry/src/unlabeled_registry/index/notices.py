"""What the keeper of an index says of releases afterwards: yanked, or under an advisory. No file of a release changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.build import wheels_of, write_index
from unlabeled_registry.index.change import alone
from unlabeled_registry.index.publish import check_is_index
from unlabeled_registry.index.state import STATE_FILE, State, dump_state, read_state
from unlabeled_registry.install.names import full_name

Versions = dict[str, list[str]]  # by name


def yank(request: str, reason: str, folder: Path) -> str:
    """Mark `NAME==VERSION` as not to be used, and why; who pinned it still gets it. What was yanked."""
    _check_line("--reason", reason)

    def yanked(state: State, versions: Versions) -> tuple[State, str]:
        name, version = _release(request, versions)
        return replace(state, yanked={**state.yanked, name: {**state.yanked.get(name, {}), version: reason}}), (
            f"{name} {version}"
        )

    return _changed(folder, yanked)


def unyank(request: str, folder: Path) -> str:
    """Take a yank of `NAME==VERSION` back; `RegistryError` where it is not yanked. What may be used again."""

    def restored(state: State, versions: Versions) -> tuple[State, str]:
        name, version = _release(request, versions)
        if state.why_yanked(name, version) is None:
            raise RegistryError(f"{name} {version}: is not yanked")
        reasons = {key: value for key, value in state.yanked[name].items() if key != version}
        others = {key: value for key, value in state.yanked.items() if key != name}
        return replace(state, yanked={**others, **({name: reasons} if reasons else {})}), f"{name} {version}"

    return _changed(folder, restored)


def advise(name: str, affects: str, id: str, summary: str, fixed_in: str | None, folder: Path) -> str:
    """Tell of a fault in some versions of a plugin; an advisory of the same id is replaced. Whom it concerns."""
    _check_line("--id", id)
    _check_line("--summary", summary)
    try:
        specifier = SpecifierSet(affects)
    except InvalidSpecifier:
        raise RegistryError(f"--affects {affects!r}: is no range of versions, such as '<1.2' or '>=1.0,<1.3'") from None
    if fixed_in is not None and _version(fixed_in) is None:
        raise RegistryError(f"--fixed-in {fixed_in!r}: is no version")
    if fixed_in is not None and specifier.contains(fixed_in, prereleases=True):
        raise RegistryError(f"--fixed-in {fixed_in}: --affects {affects} covers it")

    def advised(state: State, versions: Versions) -> tuple[State, str]:
        full = full_name(name, versions, "the index")
        concerned = [version for version in versions[full] if specifier.contains(version, prereleases=True)]
        if not concerned:
            raise RegistryError(f"--affects {affects!r}: covers none of {full}'s releases: {', '.join(versions[full])}")
        others = [item for item in state.advisories.get(full, ()) if item["id"] != id]
        item = {"id": id, "summary": summary, "affects": affects, "fixed_in": fixed_in}
        advisories = {**state.advisories, full: (*others, item)}
        return replace(state, advisories=advisories), f"{full} {', '.join(concerned)}"

    return _changed(folder, advised)


def withdraw(name: str, id: str, folder: Path) -> str:
    """Take an advisory on a plugin back; `RegistryError` where it has none of this id. Whom it concerned."""

    def withdrawn(state: State, versions: Versions) -> tuple[State, str]:
        full = full_name(name, versions, "the index")
        items = {item["id"]: item for item in state.advisories.get(full, ())}
        if id not in items:
            raise RegistryError(f"{full}: has no advisory {id!r}; it has {', '.join(items) or 'none'}")
        specifier = SpecifierSet(items.pop(id)["affects"])
        others = {key: value for key, value in state.advisories.items() if key != full}
        advisories = {**others, **({full: tuple(items.values())} if items else {})}
        concerned = [version for version in versions[full] if specifier.contains(version, prereleases=True)]
        return replace(state, advisories=advisories), f"{full} {', '.join(concerned)}".rstrip()

    return _changed(folder, withdrawn)


def _changed(folder: Path, change: Callable[[State, Versions], tuple[State, str]]) -> str:
    """Rebuild the index with another state; on any failure it is what it was."""
    check_is_index(folder)
    with alone(folder):
        wheels = wheels_of(folder)
        versions: Versions = {}
        for wheel in sorted(wheels, key=lambda wheel: Version(wheel.version)):
            versions.setdefault(wheel.name, []).append(wheel.version)
        state, told = change(read_state(folder), versions)
        write_index(folder, wheels, state, {STATE_FILE: dump_state(state)})
    return told


def _release(request: str, versions: Versions) -> tuple[str, str]:
    """The name and version that `NAME==VERSION` stands for; `RegistryError` where the index has none."""
    text, separator, number = (part.strip() for part in request.partition("=="))
    wanted = _version(number)
    if not separator or wanted is None:
        raise RegistryError(f"{request!r}: write one release, such as 'audio==1.2'")
    name = full_name(canonicalize_name(text), versions, "the index")
    for version in versions[name]:
        if Version(version) == wanted:
            return name, version
    raise RegistryError(f"{name}: the index has no version {number}; it has {', '.join(versions[name])}")


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _check_line(option: str, text: str) -> None:
    if not text.strip() or not text.isprintable():
        raise RegistryError(f"{option}: must be one line of text")
