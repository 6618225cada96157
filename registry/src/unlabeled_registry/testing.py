"""Installed distributions for tests, without installing anything."""

from collections.abc import Mapping
from pathlib import Path

from unlabeled_registry.discovery import GROUP
from unlabeled_registry.manifest import FILE_NAME


def write_distribution(
    site: Path, name: str, manifest: str | None, files: Mapping[str, str] | None = None, version: str = "1.0"
) -> Path:
    """Write what an installed plugin leaves in a folder of the import path, and return its package's folder.

    `files` maps paths in the package to their text; the package is called like the distribution, with underscores.
    A manifest of None is left out.
    """
    package = name.replace("-", "_")
    metadata = site / f"{package}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {package}\n", encoding="utf-8")
    contents = {"__init__.py": ""} | dict(files or {}) | ({} if manifest is None else {FILE_NAME: manifest})
    for path, text in contents.items():
        file = site / package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return site / package
