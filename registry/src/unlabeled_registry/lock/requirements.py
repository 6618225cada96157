"""Lock files: requirements with hashes, as plain pip and uv install them, that name no index and no host."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from platform import python_version

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import configured_location, read_index
from unlabeled_registry.index.format import Index
from unlabeled_registry.install.distributions import Installation, closure, installations, legacy_plugins, plugins_of
from unlabeled_registry.install.installers import Installer, Package, find_installer, parse_pins
from unlabeled_registry.install.names import CORE
from unlabeled_registry.lock.record import EnvironmentRecord, hashes_of, read_record

HEADER = """\
# Plugins of unlabeled and what they need beyond unlabeled itself, for Python {python}. Written by `unlabeled plugins lock`.
# unlabeled plugins sync FILE --index INDEX
# pip install --require-hashes --extra-index-url INDEX/simple/ -r FILE    (INDEX: your plugin index, a folder or an address)
"""
_WHY_LEFT_OUT = {
    True: "as installed from a checkout (editable)",
    False: "as installed from source, so that no index has their hashes (uninstall one and install a release to lock it)",
}
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
    """The lock of this environment, and sentences on the plugins that cannot be in it; imports no plugin.

    Hashes that the environment's record does not hold are asked for: a plugin's in the plugin index, another's in the
    ordinary one. `RegistryError` where neither has one.
    """
    installed, record = installations(), read_record()
    plugins = plugins_of(installed)
    if twice := [f"{name}: {item.twice}" for name, item in plugins.items() if item.twins]:
        raise RegistryError(*twice)
    locked = {name: item for name, item in plugins.items() if not item.from_source}
    others = closure(locked, installed) - closure(
        {name: installed[name] for name in CORE if name in installed}, installed
    )
    others -= {*plugins, *CORE}
    return LockFile(_of_plugins(locked, record, location), _of_others(others, installed, record, installer)), _left_out(
        plugins
    )


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


def _left_out(plugins: Mapping[str, Installation]) -> list[str]:
    found = []
    for editable, why in _WHY_LEFT_OUT.items():
        items = [item for item in plugins.values() if item.from_source and item.editable is editable]
        if items:
            found.append(f"left out, {why}: {', '.join(sorted(f'{item.name} {item.version}' for item in items))}")
    legacy = [f"{name} ({folder})" for name, folder in legacy_plugins().items() if name not in plugins]
    if legacy:
        found.append(
            f"left out, as nothing says which files are theirs (install them from wheels): {', '.join(legacy)}"
        )
    return found


def _entry(package: Package) -> str:
    return package.line().replace(" ", " \\\n    ")


def _of_plugins(
    plugins: Mapping[str, Installation], record: EnvironmentRecord, location: str | None
) -> tuple[Package, ...]:
    known = {name: hashes_of(item, record) for name, item in plugins.items()}
    index = read_index(configured_location(location)) if not all(known.values()) else None
    return tuple(
        Package(name, item.version, known[name] or _in_index(index, item)) for name, item in sorted(plugins.items())
    )


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
    found = {name: hashes_of(installed[name], record) for name in sorted(names)}
    unknown = [Package(name, installed[name].version, ()).line() for name, hashes in found.items() if not hashes]
    if unknown:
        with tempfile.TemporaryDirectory(prefix="unlabeled-plugins-") as work:
            found |= _asked(find_installer(installer), unknown, Path(work))
    return tuple(Package(name, installed[name].version, hashes) for name, hashes in sorted(found.items()))


def _asked(installer: Installer, pins: list[str], work: Path) -> dict[str, tuple[str, ...]]:
    return {package.name: package.hashes for package in installer.hashes(pins, work)}
