"""What a distribution installed, hashed: the same for pip, for uv and for the wheel itself."""

import base64
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from unlabeled_registry.install.distributions import Installation, Record

# Written by the installer, not by whoever built the wheel.
_BY_INSTALLER = {"INSTALLER", "RECORD", "RECORD.jws", "RECORD.p7s", "REQUESTED", "direct_url.json", "uv_cache.json"}


def contents(installed: Installation) -> str:
    """SHA-256 over the names and hashes in RECORD of what its wheel brought; '' where there is no RECORD.

    For an editable installation it is that of the files of its package, as they are now.
    """
    if installed.editable:
        return _of_folder(_package_folder(installed))
    lines = [f"{record.name},{record.sha256}\n" for record in installed.records if _from_wheel(record)]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() if lines else ""


def changed_files(installed: Installation) -> list[str]:
    """One line for each file that is not as its RECORD says."""
    if installed.twins:
        return [installed.twice]
    if not installed.records:
        return [f"{installed.folder.name}/RECORD is missing"]
    found = []
    for record in installed.records:
        if record.sha256 is None:  # RECORD itself, and what an installer compiled
            continue
        try:
            if _base64_hash(record.path) != record.sha256:
                found.append(f"{record.name} was changed")
        except OSError:
            found.append(f"{record.name} is missing")
    return found + [f"{name} was added" for name in _added(installed)]


def _added(installed: Installation) -> list[str]:
    """Files in the plugin's package that no RECORD knows: Python would import them all the same."""
    folder = _package_folder(installed)
    if folder is None or installed.editable:
        return []
    known = {record.path for record in installed.records}
    links = (
        Path(root, name) for root, names, _ in os.walk(folder) for name in names if os.path.islink(Path(root, name))
    )
    compiled = folder.rglob("*.pyc")  # imported without a source, unless they lie where Python keeps its own
    found = {*_sources(folder), *links, *(path for path in compiled if path.parent.name != "__pycache__")}
    return sorted(str(path.relative_to(installed.site)) for path in found if path not in known)


def _from_wheel(record: Record) -> bool:
    """Whether the wheel brought it to the import path; scripts are written anew by each installer."""
    parts = record.name.split("/")
    by_installer = parts[0].endswith(".dist-info") and parts[-1] in _BY_INSTALLER
    return record.sha256 is not None and parts[0] != ".." and not by_installer


def _package_folder(installed: Installation) -> Path | None:
    from unlabeled_registry.discovery import package_folder
    from unlabeled_registry.errors import ManifestError

    if installed.package is None:
        return None
    beside = installed.site / installed.package
    if beside.is_dir():
        return beside
    try:
        return package_folder(installed.package)
    except ManifestError:
        return None


def _of_folder(folder: Path | None) -> str:
    if folder is None:
        return ""
    lines = [f"{path.relative_to(folder).as_posix()},{_base64_hash(path)}\n" for path in _sources(folder)]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _sources(folder: Path) -> Iterable[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(root, name) for name in names if not name.endswith(".pyc"))


def _base64_hash(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
