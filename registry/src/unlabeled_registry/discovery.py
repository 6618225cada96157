"""Static discovery: which plugins are installed, found in files alone. No plugin is imported."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from unlabeled_registry.cache import Cache, stamp_of
from unlabeled_registry.collection import no_collection
from unlabeled_registry.errors import ManifestError, listed, printable
from unlabeled_registry.import_path import ImportPath
from unlabeled_registry.manifest import FILE_NAME, Manifest, owner_of, parse, read_toml, restore

GROUP = "unlabeled.plugins"
COMMANDS = ("console_scripts", "gui_scripts")
"""The groups of entry points that installers make programs of."""

_TOLD = 8  # problems of one manifest; the first few are what a person mends
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SEPARATORS = re.compile(r"[-_.]+")


class Distribution(NamedTuple):
    """An installed distribution: its normalised name, its version, and its .dist-info or .egg-info folder."""

    name: str
    version: str
    folder: str
    twins: tuple[
        str, ...
    ] = ()  # other .dist-info folders of its name beside it: what an installer that was killed leaves


class Installed(NamedTuple):
    """An installed plugin: its manifest, or why there is none that can be used."""

    name: str
    version: str
    manifest: Manifest | None
    problems: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # the import packages that its entry points name


def distributions(path: ImportPath | None = None, *, legacy: bool = True) -> list[Distribution]:
    """Installed distributions in the order of the import path; the first of a name hides those in later folders.

    legacy: whether those with a .egg-info folder count, which says nothing of their files.
    """
    found: dict[str, Distribution] = {}
    for folder in (path or ImportPath()).metadata:
        file_name = os.path.basename(folder)
        if file_name.startswith("~"):  # what pip leaves where it was interrupted
            continue
        if not legacy and file_name.endswith(".egg-info"):
            continue
        stem, _, version = file_name.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")
        name = normalised(stem)
        if name in found:
            found[name] = _with_twin(found[name], folder)
        elif name:
            found[name] = Distribution(
                name, _legacy_version(folder) if folder.endswith(".egg-info") else version, folder
            )
    return list(found.values())


def normalised(name: str) -> str:
    """A distribution's name as indexes and this registry compare it (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def installed_plugins() -> list[Installed]:
    """Every installed plugin by name; one that is broken comes with its problems and never raises."""
    with no_collection():
        path, cache = ImportPath(), Cache()
        named = ((found, _packages(found, cache)) for found in distributions(path))
        plugins = [_read(found, packages, path, cache) for found, packages in named if packages]
        cache.save()
    return _without_clashes(sorted(plugins, key=lambda plugin: plugin.name))


def package_folder(package: str) -> Path:
    """The folder of a top-level package, found without running its code; `ManifestError` where there is none."""
    return Path(ImportPath().package(package))


def _legacy_version(folder: str) -> str:
    """The version in the metadata of a .egg-info folder, whose name need not hold it."""
    try:
        with open(os.path.join(folder, "PKG-INFO"), encoding="utf-8", errors="replace") as file:
            lines = (line.partition(":") for line in file)
            return next((value.strip() for key, _, value in lines if key == "Version"), "0")
    except OSError:
        return "0"


def _with_twin(first: Distribution, folder: str) -> Distribution:
    """Both, where they lie side by side: of two in one folder none hides the other, and their order means nothing."""
    beside = os.path.dirname(folder) == os.path.dirname(first.folder)
    if not beside or not folder.endswith(".dist-info") or not first.folder.endswith(".dist-info"):
        return first
    folder, *twins = sorted((first.folder, *first.twins, folder))
    version = os.path.basename(folder).removesuffix(".dist-info").partition("-")[2]
    return Distribution(first.name, version, folder, tuple(twins))


def told_twice(folders: Iterable[str]) -> str:
    """What is wrong with a distribution that has several .dist-info folders side by side."""
    first, *others = sorted(folders)
    names = listed(map(os.path.basename, (first, *others)))
    return f"installed twice: {os.path.dirname(first)} has {names}; uninstall it, and install it again"


def _packages(found: Distribution, cache: Cache) -> list[str]:
    """The import packages that a distribution names in the group of plugins."""
    file = f"{found.folder}/entry_points.txt"
    stamp = stamp_of(file)
    return cache.get(file, stamp, lambda: read_packages(file)) if stamp else []


def read_packages(file: str) -> list[str]:
    """The import packages that an entry_points.txt names in the group of plugins; none where it cannot be read."""
    return [value for _, value in read_group(file, GROUP)]


def read_group(file: str, group: str) -> list[tuple[str, str]]:
    """Name and value of each line of a group of an entry_points.txt, damaged or not; none where it cannot be read."""
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            lines = [line.strip() for line in opened]
    except OSError:
        return []
    found, section = [], ""
    for line in lines:
        if line.startswith("["):
            section = line
        elif section == f"[{group}]" and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.append((name.strip(), value.strip()))
    return found


def _read(found: Distribution, packages: list[str], path: ImportPath, cache: Cache) -> Installed:
    try:
        manifest = _manifest(found, packages, path, cache)
    except ManifestError as error:
        return Installed(printable(found.name), printable(found.version), None, error.problems, tuple(packages))
    return Installed(found.name, printable(found.version), manifest, (), tuple(packages))


def _manifest(found: Distribution, packages: list[str], path: ImportPath, cache: Cache) -> Manifest:
    if not _NAME.fullmatch(found.name):
        raise ManifestError(f"{found.folder!r}: a distribution's name holds letters, digits and -_. only; uninstall it")
    if found.twins:
        raise ManifestError(told_twice((found.folder, *found.twins)))
    if len(packages) > 1 and "" in packages:
        raise ManifestError(f"entry points: a line in {GROUP} is not `name = package`")
    if len(packages) > 1:
        raise ManifestError(f"entry points: {GROUP} names {len(packages)} packages, and must name one")
    package = packages[0]
    if not package.isidentifier():
        raise ManifestError(f"entry points: {package!r} in {GROUP} is not the name of a top-level package")
    folder = path.package(package)
    file = f"{folder}/{FILE_NAME}"
    stamp = stamp_of(file)
    if stamp is None:
        raise ManifestError(f"{FILE_NAME}: missing; it must lie in {folder}")
    kept = cache.get(file, [*stamp, found.name, package], lambda: _checked(found, package, Path(file)))
    if "problems" in kept:
        raise ManifestError(*(f"{FILE_NAME}: {problem}" for problem in kept["problems"]))
    return restore(kept["manifest"], name=found.name, version=found.version, package=package, path=Path(file))


def _checked(found: Distribution, package: str, path: Path) -> dict[str, Any]:
    """The manifest, or its problems, in a form that JSON can hold."""
    try:
        data = read_toml(path)
        manifest = parse(data, distribution=found.name, version=found.version, package=package, path=path)
    except ManifestError as error:
        told = [printable(problem) for problem in error.problems[:_TOLD]]
        more = len(error.problems) - len(told)
        return {"problems": [*told, f"and {more} more problems"] if more else told}
    return {"manifest": manifest.kept()}


def _without_clashes(plugins: list[Installed]) -> list[Installed]:
    """`unlabeled-x` and `x` would own the same ids: the first keeps them, the second is broken."""
    owners: dict[str, str] = {}
    for plugin in sorted(plugins, key=lambda plugin: not plugin.name.startswith("unlabeled-")):
        owners.setdefault(owner_of(plugin.name), plugin.name)
    return [
        plugin
        if (first := owners[owner_of(plugin.name)]) == plugin.name
        else plugin._replace(manifest=None, problems=(f"{first!r} has the same ids; uninstall one of the two",))
        for plugin in plugins
    ]
