"""Lock files: requirements with hashes, as plain pip and uv install them, that name no index and no host."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from platform import python_version

from packaging.utils import canonicalize_name

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import configured_location, read_index
from unlabeled_registry.index.format import Index
from unlabeled_registry.install.distributions import Installation, applies, installations, legacy_plugins, plugins_of
from unlabeled_registry.install.installers import Installer, Package, find_installer, parse_pins
from unlabeled_registry.install.names import CORE
from unlabeled_registry.lock.record import EnvironmentRecord, read_record

HEADER = """\
# Plugins of unlabeled and what they need beyond unlabeled itself, for Python {python}. Written by `unlabeled plugins lock`.
# unlabeled plugins sync FILE --index INDEX
# pip install --require-hashes --extra-index-url INDEX/simple/ -r FILE    (INDEX: your plugin index, a folder or an address)
"""
_PLUGINS, _OTHERS = "# plugins", "# what they need"


@dataclass(frozen=True)
class LockFile:
    """The plugins of a lock file, and the other packages."""

    plugins: tuple[Package, ...]
    others: tuple[Package, ...]

    def text(self) -> str:
        """The file."""
        lines = [HEADER.format(python=python_version()), _PLUGINS, *(_entry(item) for item in self.plugins)]
        return "\n".join([*lines, _OTHERS, *(_entry(item) for item in self.others)]) + "\n"


def make_lock(location: str | None = None, installer: str | None = None) -> tuple[LockFile, list[str]]:
    """The lock of this environment, and a sentence on each plugin that cannot be in it; imports no plugin.

    Hashes that the environment's record does not hold are asked for: a plugin's in the plugin index, another's in the
    ordinary one. `RegistryError` where neither has one.
    """
    installed, record = installations(), read_record()
    plugins = plugins_of(installed)
    if twice := [f"{name}: {item.twice}" for name, item in plugins.items() if item.twins]:
        raise RegistryError(*twice)
    left_out = [
        f"{name} {item.version} is left out: it is installed from a checkout (editable)"
        for name, item in plugins.items()
        if item.editable
    ]
    left_out += [
        f"{name} is left out: {folder} does not say which files are its; install it from a wheel"
        for name, folder in legacy_plugins().items()
        if name not in plugins
    ]
    locked = {name: item for name, item in plugins.items() if not item.editable}
    others = _closure(locked, installed) - _closure(
        {name: installed[name] for name in CORE if name in installed}, installed
    )
    others -= {*plugins, *CORE}
    return LockFile(_of_plugins(locked, record, location), _of_others(others, installed, record, installer)), left_out


def read_lock(path: Path) -> LockFile:
    """A lock file; `RegistryError` where it cannot be read or is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(
            f"{path}: cannot be read ({error}); give a file that `unlabeled plugins lock` wrote, or a run"
        ) from None
    head, found, rest = text.partition(f"\n{_OTHERS}\n")
    if not found or f"\n{_PLUGINS}\n" not in head:
        raise RegistryError(
            f"{path}: has no line {_PLUGINS!r} and {_OTHERS!r}; `unlabeled plugins lock` writes such a file"
        )
    try:
        return LockFile(tuple(parse_pins(head)), tuple(parse_pins(rest)))
    except RegistryError as error:
        raise RegistryError(*(f"{path}: {problem}" for problem in error.problems)) from None


def _entry(package: Package) -> str:
    return " \\\n    ".join(
        [f"{package.name}=={package.version}", *(f"--hash=sha256:{value}" for value in package.hashes)]
    )


def _closure(roots: Mapping[str, Installation], installed: Mapping[str, Installation]) -> set[str]:
    """Names of the installed distributions that the roots need, themselves too."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(name, frozenset[str]()) for name in roots]
    while todo:
        entry = todo.pop()
        if entry in seen or entry[0] not in installed:
            continue
        seen.add(entry)
        for requirement in installed[entry[0]].requires:
            if applies(requirement, entry[1]):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in seen}


def _of_plugins(
    plugins: Mapping[str, Installation], record: EnvironmentRecord, location: str | None
) -> tuple[Package, ...]:
    known = {name: _recorded(record, item) for name, item in plugins.items()}
    index = read_index(configured_location(location)) if not all(known.values()) else None
    return tuple(
        Package(name, item.version, known[name] or _in_index(index, item)) for name, item in sorted(plugins.items())
    )


def _recorded(record: EnvironmentRecord, item: Installation) -> tuple[str, ...]:
    pin = record.pins.get(item.name)
    return pin.hashes if pin and pin.version == item.version else ()


def _in_index(index: Index | None, item: Installation) -> tuple[str, ...]:
    releases = index.plugins.get(item.name, ()) if index else ()
    hashes = tuple(release.sha256 for release in releases if release.version == item.version)
    if not hashes:
        raise RegistryError(
            f"{item.name} {item.version}: its hash is known neither here nor in the plugin index; install a release that the "
            "index has"
        )
    return hashes


def _of_others(
    names: Iterable[str], installed: Mapping[str, Installation], record: EnvironmentRecord, installer: str | None
) -> tuple[Package, ...]:
    found = {name: _recorded(record, installed[name]) for name in sorted(names)}
    unknown = [f"{name}=={installed[name].version}" for name, hashes in found.items() if not hashes]
    if unknown:
        with tempfile.TemporaryDirectory(prefix="unlabeled-plugins-") as work:
            found |= _asked(find_installer(installer), unknown, Path(work))
    return tuple(Package(name, installed[name].version, hashes) for name, hashes in sorted(found.items()))


def _asked(installer: Installer, pins: list[str], work: Path) -> dict[str, tuple[str, ...]]:
    return {package.name: package.hashes for package in installer.hashes(pins, work)}
