"""The installed distributions, read from their metadata alone: what they need, which files are theirs, what is editable."""

import csv
import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_string
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from unlabeled_registry.discovery import COMMANDS, distributions, read_group, read_packages, told_twice


@dataclass(frozen=True)
class Record:
    """A line of a distribution's RECORD: the path as it stands there, where that is, and the hash, where one is given."""

    name: str
    path: Path
    sha256: str | None  # URL-safe base64 without padding, as RECORD has it


@dataclass(frozen=True)
class Installation:
    """An installed distribution. Its metadata may be damaged: `importlib.metadata` would raise where this reads on."""

    name: str
    version: str
    folder: Path  # its .dist-info
    twins: tuple[Path, ...] = ()  # other ones of its name beside it

    @property
    def site(self) -> Path:
        """The folder of the import path that it lies in."""
        return self.folder.parent

    @property
    def twice(self) -> str:
        """What is wrong where it has twins, or nothing."""
        return told_twice(map(str, (self.folder, *self.twins))) if self.twins else ""

    @cached_property
    def package(self) -> str | None:
        """The import package that makes it a plugin, or None."""
        found = read_packages(str(self.folder / "entry_points.txt"))
        return found[0] if found else None

    @cached_property
    def editable(self) -> bool:
        """Whether its code lies elsewhere, in a checkout."""
        return bool(self._origin("dir_info").get("editable"))

    @cached_property
    def from_source(self) -> bool:
        """Whether it was installed from a folder or a repository: no wheel that others can get has its hash."""
        return "dir_info" in self._origins or "vcs_info" in self._origins

    @cached_property
    def wheel_sha256(self) -> str | None:
        """The hash of the wheel that it was installed from, where that was named by its file or address."""
        hashes = self._origin("archive_info").get("hashes")
        found = hashes.get("sha256") if isinstance(hashes, dict) else None
        return found if isinstance(found, str) and str(self._origins.get("url")).endswith(".whl") else None

    @cached_property
    def _origins(self) -> Mapping[str, Any]:
        """Where it came from (PEP 610), empty if from an index."""
        try:
            found = json.loads(self._text("direct_url.json") or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _origin(self, key: str) -> Mapping[str, Any]:
        found = self._origins.get(key)
        return found if isinstance(found, dict) else {}

    @cached_property
    def requires(self) -> tuple[Requirement, ...]:
        """Its requirements; one that cannot be read counts as none."""
        found = []
        for text in message_from_string(self._text("METADATA")).get_all("Requires-Dist", ()):
            try:
                found.append(Requirement(text))
            except InvalidRequirement:
                continue
        return tuple(found)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """What its RECORD lists; nothing where there is none."""
        try:
            with open(self.folder / "RECORD", encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        except (OSError, UnicodeDecodeError, csv.Error):
            return ()
        return tuple(
            Record(row[0], _absolute(self.site / row[0]), hash_of.removeprefix("sha256="))
            if (hash_of := row[1] if len(row) > 1 else "").startswith("sha256=")
            else Record(row[0], _absolute(self.site / row[0]), None)
            for row in rows
        )

    def paths(self) -> frozenset[Path]:
        """Its files and its twins', what Python compiled from them, and the metadata; only what lies in this environment.

        Without a RECORD these are the metadata and the plugin's package beside it. Of a plugin they lie on the import path or
        are its own commands, whatever else its RECORD names.
        """
        found = {record.path for record in self.records} or set(self._package_files())
        if self.package is not None:
            commands = self._commands()
            found = {path for path in found if path.is_relative_to(self.site) or path in commands}
        for path in [path for path in found if path.suffix == ".py"]:
            found |= set(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))
        found |= set(_files(self.folder))
        for twin in self.twins:
            found |= Installation(self.name, "", twin).paths()
        return frozenset(path for path in found if path.is_relative_to(sys.prefix))

    def _commands(self) -> set[Path]:
        scripts = Path(sysconfig.get_path("scripts"))
        file = str(self.folder / "entry_points.txt")
        names = {name for group in COMMANDS for name, _ in read_group(file, group)}
        return {scripts / name for name in names if not name.startswith("python")}  # which is no plugin's own

    def _package_files(self) -> Iterator[Path]:
        if self.package and self.package.isidentifier():
            yield from _files(self.site / self.package)

    def _text(self, name: str) -> str:
        """A file of its metadata; empty where it cannot be read."""
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def installations() -> dict[str, Installation]:
    """The installed distributions by name; the first on the import path hides later ones, as for the import."""
    return {
        found.name: Installation(found.name, found.version, _absolute(found.folder), tuple(map(_absolute, found.twins)))
        for found in distributions(legacy=False)
    }


def legacy_plugins() -> dict[str, str]:
    """The plugins that have a .egg-info folder, which does not say which files are theirs, by name; and that folder."""
    return {
        found.name: found.folder
        for found in distributions()
        if found.folder.endswith(".egg-info") and read_packages(os.path.join(found.folder, "entry_points.txt"))
    }


def installed_here(site: Path) -> dict[str, Installation]:
    """The distributions in one folder by name."""
    found: dict[str, Installation] = {}
    for folder in sorted(site.glob("*.dist-info")):
        stem, _, version = folder.name.removesuffix(".dist-info").partition("-")
        name = canonicalize_name(stem)
        found[name] = Installation(name, version, folder)
    return found


def plugins_of(found: Mapping[str, Installation]) -> dict[str, Installation]:
    """Those that are plugins."""
    return {name: item for name, item in found.items() if item.package is not None}


def applies(requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
    """Whether a requirement holds here, for a distribution that is wanted with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""}))


def closure(roots: Mapping[str, Installation], installed: Mapping[str, Installation]) -> set[str]:
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


def site_folder() -> Path:
    """Where this environment's pure Python distributions lie."""
    return Path(sysconfig.get_path("purelib"))


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)
