"""Installed distributions and wheels for tests, without installing or building anything."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile, ZipInfo

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


def write_wheel(
    folder: Path,
    name: str,
    manifest: str | None,
    files: Mapping[str, str] | None = None,
    version: str = "1.0",
    metadata: str = "",
    beside: Mapping[str, str] | None = None,
) -> Path:
    """Write a plugin's wheel such as a build backend makes it, and return its path.

    `files` maps paths in the package to their text, `beside` such in the archive; `metadata` are further lines of METADATA.
    A lone surrogate, as `surrogateescape` makes them, stands for a byte that is no UTF-8.
    With a manifest of None it is an ordinary wheel, of no plugin.
    """
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    entry_points = {} if manifest is None else {f"{info}/entry_points.txt": f"[{GROUP}]\n{name} = {package}\n"}
    contents = {"__init__.py": ""} | dict(files or {}) | ({} if manifest is None else {FILE_NAME: manifest})
    members = {f"{package}/{path}": text for path, text in contents.items()}
    members |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **entry_points,
        **(beside or {}),
    }
    encoded = {path: text.encode(errors="surrogateescape") for path, text in members.items()}
    lines = [f"{path},{_digest(content)},{len(content)}" for path, content in encoded.items()]
    record = f"{info}/RECORD"
    encoded[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for path, content in encoded.items():
            archive.writestr(ZipInfo(path), content)  # without the clock's date: the same arguments give the same bytes
    return wheel


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
