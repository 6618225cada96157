"""Reading a wheel without installing it or running any of its code."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from unlabeled_registry.discovery import GROUP, normalised
from unlabeled_registry.errors import ManifestError, RegistryError, one_line
from unlabeled_registry.index.archive import Archive
from unlabeled_registry.index.entry_points import overreach, read_entry_points
from unlabeled_registry.manifest import FILE_NAME, MAX_SIZE, parse
from unlabeled_registry.schema import check_object

MOST_TEXT = 2**20
"""What each of METADATA, WHEEL and entry_points.txt may be long: whoever builds an index reads those of all."""
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_BY_PYTHON = frozenset({"sitecustomize", "usercustomize"})  # imported whenever Python starts
_DECISIVE = frozenset({"name", "version", "requires-dist", "requires-python"})


@dataclass(frozen=True)
class Wheel:
    """A wheel whose archive is sound. `manifest` is empty and `package` "" where it is no plugin's."""

    path: Path
    name: str  # normalised
    version: str
    sha256: str
    size: int
    files: tuple[str, ...]
    metadata: bytes = field(repr=False)  # the METADATA file
    summary: str
    description: str = field(repr=False)
    description_type: str
    requires_python: str | None
    requires_dist: tuple[str, ...]
    links: Mapping[str, str]  # label -> address, as the wheel's author wrote them
    license: str
    package: str
    manifest: Mapping[str, Any] = field(repr=False)


def read_wheel(path: Path) -> Wheel:
    """A plugin's wheel; `RegistryError` where it is not one, or could do anything but add its own package."""
    wheel = read_any_wheel(path)
    if not wheel.package:
        raise RegistryError(f"{path.name}: no plugin: no entry point in the group {GROUP} names its package")
    return wheel


def read_any_wheel(path: Path) -> Wheel:
    """A wheel, a plugin's or not; `RegistryError` where archive, RECORD, metadata or manifest are not as they must be."""
    name, version = _from_file_name(path)
    with Archive(path) as archive:
        folder = _metadata_folder(archive, name, version)
        archive.verify(f"{folder}/RECORD")
        archive.read(f"{folder}/WHEEL", MOST_TEXT)
        metadata = archive.read(f"{folder}/METADATA", MOST_TEXT)
        fields = _fields(path, metadata, name, version)
        package = _package(archive, folder, name)
        manifest: Mapping[str, Any] = {}
        if package:
            _check_places(archive, package, folder, name)
            manifest = _manifest(archive, package, name, str(version))
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Wheel(
        path=path,
        name=name,
        version=str(version),
        sha256=sha256,
        size=path.stat().st_size,
        files=archive.files,
        metadata=metadata,
        summary=fields.get("summary", ""),
        description=fields.get("description", ""),
        description_type=fields.get("description_content_type", "text/plain").partition(";")[0].strip().lower(),
        requires_python=fields.get("requires_python"),
        requires_dist=tuple(fields.get("requires_dist", ())),
        links=dict(fields.get("project_urls", {})),
        license=fields.get("license_expression", fields.get("license", "")).partition("\n")[0],
        package=package,
        manifest=manifest,
    )


def _from_file_name(path: Path) -> tuple[str, Version]:
    if path.suffix != ".whl":
        raise RegistryError(
            f"{path.name}: no wheel; a source distribution runs code when it is built: build a wheel of it"
        )
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise RegistryError(f"{path.name}: no wheel's file name ({error}); build it again") from None
    if not _NAME.fullmatch(name):  # a letter of another alphabet looks the same
        raise RegistryError(f"{path.name}: no wheel's file name (a name holds letters a to z, digits and -_. only)")
    return name, version


def _metadata_folder(archive: Archive, name: str, version: Version) -> str:
    """The one .dist-info folder, which must be that of the file's name."""
    tops = {file.partition("/")[0] for file in archive.files if "/" in file}
    folders = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(folders) != 1:
        raise RegistryError(f"{archive.path.name}: it holds {len(folders)} .dist-info folders, and must hold one")
    stem, _, number = folders[0].removesuffix(".dist-info").partition("-")
    if canonicalize_name(stem) != name or _version(number) != version:
        raise RegistryError(f"{archive.path.name}: it holds {folders[0]}, which is not its name and version")
    return folders[0]


def _fields(path: Path, metadata: bytes, name: str, version: Version) -> RawMetadata:
    """METADATA's fields, of which those that decide what is installed are checked."""
    try:
        fields, unread = parse_email(metadata)
    except Exception as error:  # the parser promises nothing about damaged text
        raise RegistryError(f"{path.name}: METADATA cannot be read ({one_line(error)}); build it again") from None
    if canonicalize_name(fields.get("name", "")) != name or _version(fields.get("version", "")) != version:
        raise RegistryError(
            f"{path.name}: METADATA names {fields.get('name')!r} {fields.get('version')!r}, not this file"
        )
    if twice := sorted(_DECISIVE & unread.keys()):
        raise RegistryError(f"{path.name}: METADATA: {twice[0]} is there twice, or is no text; build it again")
    try:
        SpecifierSet(fields.get("requires_python", ""))
        addresses = [text for text in fields.get("requires_dist", ()) if Requirement(text).url]
    except (InvalidSpecifier, InvalidRequirement) as error:
        raise RegistryError(f"{path.name}: METADATA: {one_line(error)}") from None
    if addresses:
        raise RegistryError(
            f"{path.name}: METADATA requires {addresses[0]!r}, an address; name a version of it instead"
        )
    return fields


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _package(archive: Archive, folder: str, name: str) -> str:
    """The package that the entry point of plugins names, or nothing where there is none."""
    path, file = archive.path.name, f"{folder}/entry_points.txt"
    manifests = [place for place in archive.files if place.count("/") == 1 and place.endswith(f"/{FILE_NAME}")]
    try:
        groups = read_entry_points(archive.read(file, MOST_TEXT).decode() if file in archive.files else "")
    except (ValueError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path}: entry_points.txt cannot be read ({one_line(error)})") from None
    packages = list(groups.get(GROUP, {}).values())
    if not packages and manifests:
        raise RegistryError(f"{path}: it holds {manifests[0]}, but no entry point in the group {GROUP} names it")
    if not packages:
        return ""
    if len(packages) > 1:
        raise RegistryError(f"{path}: entry points: {GROUP} names {len(packages)} packages, and must name one")
    (package,) = packages
    if not package.isidentifier():
        raise RegistryError(f"{path}: entry points: {package!r} in {GROUP} is not the name of a top-level package")
    if normalised(package) != name or package in _BY_PYTHON:
        wanted = name.replace("-", "_")
        raise RegistryError(
            f"{path}: refused: its package is called {package!r}, as if it were another's; call it {wanted!r}, like itself"
        )
    if problem := overreach(groups, name, package):
        raise RegistryError(f"{path}: refused: {problem}")
    return package


def _check_places(archive: Archive, package: str, folder: str, name: str) -> None:
    """A plugin adds its own package: a .pth file, a module beside it or a .data folder would reach beyond that."""
    libraries = f"{name.replace('-', '_')}.libs"  # where repaired wheels keep shared libraries
    for file in archive.files:
        if file.partition("/")[0] not in (package, folder, libraries) or "/" not in file:
            raise RegistryError(
                f"{archive.path.name}: refused: {file} lies outside the plugin's own package, {package!r}; leave it out"
            )
        if file.endswith(".pyc"):
            raise RegistryError(
                f"{archive.path.name}: refused: {file} is compiled, and Python could run it in place of its source; leave it out"
            )


def _manifest(archive: Archive, package: str, name: str, version: str) -> Mapping[str, Any]:
    """The manifest's tables, checked as those of an installed plugin are; every object lies in this wheel."""
    import tomli

    path, file = archive.path, f"{package}/{FILE_NAME}"
    if file not in archive.files:
        raise RegistryError(f"{path.name}: {file} is missing; a plugin's manifest lies beside its code")
    try:
        data = tomli.loads(archive.read(file, MAX_SIZE).decode())
        json.dumps(data, allow_nan=False)
        problems = _strays(data, package, archive.files)
        parse(data, distribution=name, version=version, package=package, path=path / file)
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"{path.name}: {FILE_NAME}: no valid TOML: {error}") from None
    except (TypeError, ValueError):
        raise RegistryError(f"{path.name}: {FILE_NAME}: holds a date or nan, which no manifest may") from None
    except ManifestError as error:
        raise RegistryError(*(f"{path.name}: {FILE_NAME}: {problem}" for problem in error.problems)) from None
    if problems:
        raise RegistryError(*(f"{path.name}: {FILE_NAME}: {problem}" for problem in problems))
    return data


def _strays(data: Mapping[str, Any], package: str, files: tuple[str, ...]) -> list[str]:
    """Objects outside the package or not in the wheel, in manifests for other interfaces too, whose rest is not checked."""
    problems = []
    tables = data.get("provides", ())
    for number, table in enumerate(tables if isinstance(tables, list) else (), start=1):
        if not isinstance(table, dict) or not isinstance(table.get("object"), str):
            continue
        place = f"provides[{table.get('id', number)}].object: "
        try:
            check_object(table["object"], str(table.get("kind")), package)
        except ValueError as error:
            problems.append(f"{place}{error}")
            continue
        if not _holds(files, table["object"]):
            problems.append(
                f"{place}{table['object']!r} is not in the wheel; leave it out of the manifest or add its file"
            )
    return problems


def _holds(files: tuple[str, ...], object: str) -> bool:
    """Whether the file of an object is among the wheel's files: a recipe, a package, or a module of any kind."""
    module, _, path = object.partition(":")
    if path.endswith((".yaml", ".yml")):
        return f"{module}/{path}" in files
    stem = module.replace(".", "/")
    return any(file.startswith((f"{stem}.", f"{stem}/__init__.")) for file in files)
