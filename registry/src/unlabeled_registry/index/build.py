"""Building an index: the same wheels and the same state give the same files, byte for byte."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from packaging.version import Version

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.catalogue import Entry, catalogue_pages
from unlabeled_registry.index.change import alone, change
from unlabeled_registry.index.format import INDEX_FILE, Release, dump
from unlabeled_registry.index.simple import Served, simple_pages
from unlabeled_registry.index.state import STATE_FILE, State, read_state
from unlabeled_registry.index.wheels import Wheel, read_any_wheel
from unlabeled_registry.manifest import owner_of

FILES = "files"
PROVENANCE = ".provenance"
_GENERATED = ("simple/**/index.*", f"{FILES}/*.whl.metadata", "plugins/*.html")


@dataclass(frozen=True)
class Built:
    """What a build made of the wheels: how many of each, and a sentence on each file that it left out."""

    plugins: int
    others: int
    wheels: int
    left_out: tuple[str, ...]


def build(folder: Path, sources: Iterable[Path] = ()) -> Built:
    """Make the index of the wheels in `folder`/files, after copying those of the sources there.

    `RegistryError` has a line for each wheel that cannot be served or was replaced, and then nothing has changed.
    """
    if any(folder.glob("*.whl")) and not (folder / INDEX_FILE).exists():
        raise RegistryError(
            f"{folder}: holds wheels and no index; `unlabeled plugins index build INDEX --wheels {folder}`"
        )
    with alone(folder):
        found, left_out = _candidates(folder, sources)
        wheels = _read(found.values())
        write_index(folder, wheels, read_state(folder))
    plugins = {wheel.name for wheel in wheels if wheel.package}
    return Built(len(plugins), len({wheel.name for wheel in wheels} - plugins), len(wheels), tuple(left_out))


def write_index(folder: Path, wheels: Sequence[Wheel], state: State, beside: Mapping[str, bytes] | None = None) -> None:
    """Make the index of these wheels, all of it or nothing; `beside` are further files that change with it.

    `RegistryError` has a line for each wheel that cannot be served. Only for who is `alone` in the folder.
    """
    _check_owners(wheels)
    _check_unchanged(folder, wheels, state)
    _check_state(folder, state, wheels)
    pages = generate(wheels, state)
    files = [file for wheel in wheels for file in (wheel.path, provenance(wheel)) if file.exists()]
    contents: dict[str, bytes | Path] = {f"{FILES}/{file.name}": file for file in files}
    change(folder, {**contents, **(beside or {}), **pages}, _stale(folder, set(pages)))


def wheels_of(folder: Path) -> list[Wheel]:
    """The wheels of the index in a folder; `RegistryError` has a line for each that cannot be served."""
    return _read(_candidates(folder, ())[0].values())


def generate(wheels: Sequence[Wheel], state: State) -> dict[str, bytes]:
    """Every generated file of an index by its path; what is read last, plugins.json and the catalogue, comes last."""
    ordered = sorted(wheels, key=lambda wheel: (Version(wheel.version), wheel.path.name))
    served: dict[str, list[Served]] = {}
    entries: dict[str, list[Entry]] = {}
    pages: dict[str, bytes] = {}
    for wheel in ordered:
        yanked, attested = state.why_yanked(wheel.name, wheel.version), provenance(wheel).exists()
        served.setdefault(wheel.name, []).append(Served(wheel, yanked, attested))
        pages[f"{FILES}/{wheel.path.name}.metadata"] = wheel.metadata
        if wheel.package:
            report = state.conformance.get(wheel.sha256, {})
            entries.setdefault(wheel.name, []).append(Entry(release_of(wheel, state), wheel, report.get("checks", [])))
    pages |= simple_pages(served)
    plugins = {name: tuple(entry.release for entry in entries[name]) for name in sorted(entries)}
    return pages | {INDEX_FILE: dump(plugins)} | catalogue_pages(entries)


def release_of(wheel: Wheel, state: State) -> Release:
    """What plugins.json says of a plugin's wheel."""
    return Release(
        name=wheel.name,
        version=wheel.version,
        file=wheel.path.name,
        url=f"{FILES}/{quote(wheel.path.name)}",
        sha256=wheel.sha256,
        size=wheel.size,
        requires_python=wheel.requires_python,
        requires_dist=wheel.requires_dist,
        manifest=wheel.manifest,
        package=wheel.package,
        conformance=state.conformance_of(wheel.sha256),
        yanked=state.why_yanked(wheel.name, wheel.version),
        advisories=state.advisories_on(wheel.name, wheel.version),
        attestations=provenance(wheel).exists(),
    )


def provenance(wheel: Wheel) -> Path:
    """Where a wheel's attestations lie, if it has any (PEP 740)."""
    return wheel.path.with_name(wheel.path.name + PROVENANCE)


def _candidates(folder: Path, sources: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """The wheels by file name, the index's own first, and a sentence on each other file."""
    found: dict[str, Path] = {}
    left_out: list[str] = []
    problems: list[str] = []
    for place in (folder / FILES, *sources):
        if place != folder / FILES and not place.is_dir():
            raise RegistryError(f"{place}: is no folder; --wheels names a folder that holds wheels")
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.name.endswith((".tar.gz", ".zip")):
                left_out.append(
                    f"{path.name}: a source distribution runs code when it is built; only wheels are served"
                )
            elif path.suffix == ".whl" and path.name in found and _hash(path) != _hash(found[path.name]):
                problems.append(
                    f"{path}: the index has another {path.name}; a version never changes: give it a new one"
                )
            elif path.suffix == ".whl":
                found.setdefault(path.name, path)
    if problems:
        raise RegistryError(*problems)
    return found, left_out


def _read(paths: Iterable[Path]) -> list[Wheel]:
    wheels: list[Wheel] = []
    problems: list[str] = []
    for path in paths:
        try:
            wheels.append(read_any_wheel(path))
        except RegistryError as error:
            problems += error.problems
    if problems:
        raise RegistryError(*problems)
    return wheels


def _check_owners(wheels: Sequence[Wheel]) -> None:
    owners: dict[str, str] = {}
    for wheel in wheels:
        first = owners.setdefault(owner_of(wheel.name), wheel.name)
        if first != wheel.name:
            raise RegistryError(f"{wheel.path.name}: {first!r} has the same ids as {wheel.name!r}; keep one of the two")


def _check_unchanged(folder: Path, wheels: Sequence[Wheel], state: State) -> None:
    """A file that the index has served keeps its hash for ever: runs and locks hold it."""
    problems = []
    for wheel in wheels:
        served = _served_before(folder / "simple" / wheel.name / "index.json")
        before = {**served, **state.published.get(wheel.name, {})}.get(wheel.path.name, wheel.sha256)
        if before != wheel.sha256:
            problems.append(
                f"{wheel.path.name}: was served with sha256 {before} and has {wheel.sha256} now; "
                "a version never changes: restore the file, and give the new one a new version"
            )
    if problems:
        raise RegistryError(*problems)


def _check_state(folder: Path, state: State, wheels: Sequence[Wheel]) -> None:
    """A yank or advisory that concerns nothing here is one that is misspelt."""
    versions = {(wheel.name, wheel.version) for wheel in wheels}
    problems = [
        f"{folder / STATE_FILE}: yanked: there is no {name} {version} among the wheels; mend or remove the entry"
        for name, reasons in state.yanked.items()
        for version in reasons
        if (name, version) not in versions
    ]
    problems += [
        f"{folder / STATE_FILE}: advisories: there is no {name} among the wheels; mend or remove the entry"
        for name in state.advisories
        if name not in {name for name, _ in versions}
    ]
    if problems:
        raise RegistryError(*problems)


def _served_before(page: Path) -> Mapping[str, str]:
    try:
        return {file["filename"]: file["hashes"]["sha256"] for file in json.loads(page.read_bytes())["files"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise RegistryError(f"{page}: damaged, so no wheel can be compared with it; restore it from a copy") from None


def _stale(folder: Path, pages: set[str]) -> list[str]:
    """The pages of what the index no longer has."""
    found = {file.relative_to(folder).as_posix() for pattern in _GENERATED for file in folder.glob(pattern)}
    return sorted(found - pages)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
