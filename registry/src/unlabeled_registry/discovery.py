"""Static discovery: which plugins are installed, found in files alone. No plugin is imported."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from unlabeled_registry.errors import ManifestError
from unlabeled_registry.manifest import FILE_NAME, Manifest, owner_of, parse
from unlabeled_registry.toml_cache import TomlCache

GROUP = "unlabeled.plugins"


class Distribution(NamedTuple):
    """An installed distribution: its normalised name, its version, and its .dist-info folder."""

    name: str
    version: str
    folder: str


class Installed(NamedTuple):
    """An installed plugin: its manifest, or why there is none that can be used."""

    name: str
    version: str
    manifest: Manifest | None
    problems: tuple[str, ...] = ()


def distributions() -> Iterator[Distribution]:
    """Installed distributions in the order of the import path; the first of a name hides later ones."""
    seen: set[str] = set()
    for entry in sys.path:
        for folder in _metadata_folders(entry or os.curdir):
            stem, _, version = os.path.basename(folder).removesuffix(".dist-info").partition("-")
            name = stem.replace("_", "-").replace(".", "-").lower()
            if name not in seen:
                seen.add(name)
                yield Distribution(name, version, folder)


def installed_plugins() -> list[Installed]:
    """Every installed plugin by name; one that is broken comes with its problems and never raises."""
    cache = TomlCache()
    plugins = [_read(found, packages, cache) for found in distributions() if (packages := _packages(found))]
    cache.save()
    return _without_clashes(sorted(plugins, key=lambda plugin: plugin.name))


def _metadata_folders(entry: str) -> list[str]:
    try:
        with os.scandir(entry) as items:
            return [item.path for item in items if item.name.endswith(".dist-info")]
    except OSError:  # a zip file, or a folder that is gone
        return []


def _packages(found: Distribution) -> list[str]:
    """The import packages that a distribution names in the group of plugins."""
    try:
        with open(os.path.join(found.folder, "entry_points.txt"), encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return []
    _, header, rest = text.partition(f"[{GROUP}]")
    lines = (line.strip() for line in rest.partition("\n[")[0].splitlines()) if header else ()
    return [line.partition("=")[2].strip() for line in lines if line and line[0] not in "#;"]


def _read(found: Distribution, packages: list[str], cache: TomlCache) -> Installed:
    try:
        if len(packages) > 1:
            raise ManifestError(f"entry points: {GROUP} names {len(packages)} packages, and must name one")
        package = packages[0]
        path = package_folder(package) / FILE_NAME
        try:
            data = cache.read(path)
            manifest = parse(data, distribution=found.name, version=found.version, package=package, path=path)
        except ManifestError as error:
            raise ManifestError(*(f"{FILE_NAME}: {problem}" for problem in error.problems)) from None
    except ManifestError as error:
        return Installed(found.name, found.version, None, error.problems)
    return Installed(found.name, found.version, manifest)


def package_folder(package: str) -> Path:
    """The folder of a top-level package, found without running its code, in editable installs too."""
    if not package.isidentifier():
        raise ManifestError(f"entry points: {package!r} in {GROUP} is not the name of a top-level package")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ManifestError(f"package {package!r} cannot be found; install the plugin again")
    folders = list(spec.submodule_search_locations or ())
    if not folders:
        raise ManifestError(f"{package!r} is a single module; a plugin is a package, which holds {FILE_NAME}")
    return Path(folders[0])


def _without_clashes(plugins: list[Installed]) -> list[Installed]:
    """`unlabeled-x` and `x` would own the same ids: the first keeps them, the second is broken."""
    owners: dict[str, str] = {}
    for plugin in sorted(plugins, key=lambda plugin: not plugin.name.startswith("unlabeled-")):
        owners.setdefault(owner_of(plugin.name), plugin.name)
    return [
        plugin
        if (first := owners[owner_of(plugin.name)]) == plugin.name
        else Installed(plugin.name, plugin.version, None, (f"{first!r} has the same ids; uninstall one of the two",))
        for plugin in plugins
    ]
