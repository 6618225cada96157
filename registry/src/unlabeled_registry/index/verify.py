"""Whether an index says what its wheels say: how a changed plugins.json, page or wheel is found."""

import tempfile
from dataclasses import fields
from pathlib import Path

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.build import generate, release_of, wheels_of
from unlabeled_registry.index.client import download, is_address, read_index
from unlabeled_registry.index.format import INDEX_FILE, Index, Release
from unlabeled_registry.index.state import State, read_state
from unlabeled_registry.index.wheels import Wheel, read_wheel

OF_WHEEL = ("version", "file", "sha256", "size", "requires_python", "requires_dist", "manifest", "package")
"""What a wheel proves of its release; the rest is the word of who keeps the index."""


def verify(location: str) -> list[str]:
    """A sentence on each thing that is not what the wheels and the state of an index make it; none where it is sound.

    At an address only what its wheels prove is compared, after getting each of them. `RegistryError` where it cannot be read.
    """
    index = read_index(location)
    return _verify_remote(index) if is_address(index.location) else _verify_folder(Path(index.location), index)


def differences(release: Release, wheel: Wheel) -> list[str]:
    """A sentence on each thing that an index says of a wheel and the wheel itself does not."""
    return _compare(release, release_of(wheel, State()), OF_WHEEL)


def _verify_remote(index: Index) -> list[str]:
    problems: list[str] = []
    for releases in index.plugins.values():
        for release in releases:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    problems += differences(release, read_wheel(download(release, index, Path(folder))))
                except RegistryError as error:
                    problems += error.problems
    return problems


def _verify_folder(folder: Path, index: Index) -> list[str]:
    wheels, state = wheels_of(folder), read_state(folder)
    expected = {wheel.path.name: release_of(wheel, state) for wheel in wheels if wheel.package}
    stated = {release.file: release for releases in index.plugins.values() for release in releases}
    problems = [f"{file}: in {INDEX_FILE}, and not among the wheels" for file in sorted(set(stated) - set(expected))]
    problems += [f"{file}: among the wheels, and not in {INDEX_FILE}" for file in sorted(set(expected) - set(stated))]
    names = tuple(field.name for field in fields(Release))
    for file in sorted(set(expected) & set(stated)):
        problems += _compare(stated[file], expected[file], names)
    for path, content in generate(wheels, state).items():
        if (path != INDEX_FILE or not problems) and _content(folder / path) != content:
            problems.append(
                f"{path}: not what the wheels and state.json give; `unlabeled plugins index build` makes it anew"
            )
    return problems


def _compare(stated: Release, true: Release, names: tuple[str, ...]) -> list[str]:
    return [
        f"{stated.name} {stated.version}: {INDEX_FILE} was changed: its {name} is not that of {true.file}"
        for name in names
        if getattr(stated, name) != getattr(true, name)
    ]


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
