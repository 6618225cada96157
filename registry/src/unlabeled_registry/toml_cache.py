"""A cache of parsed manifests, because reading TOML takes most of the time of listing many plugins."""

import json
import os
from pathlib import Path
from typing import Any

from unlabeled_registry.environment import config_folder, write_atomically
from unlabeled_registry.errors import ManifestError


class TomlCache:
    """Reads TOML files through one JSON file of the environment.

    An entry holds for the file's exact size and times of change; what it holds is validated like the file itself.
    A cache that is missing, damaged or cannot be written only costs time.
    """

    def __init__(self) -> None:
        self.file = config_folder() / "manifests.json"
        self._old = self._load()
        self._new: dict[str, Any] = {}

    def read(self, path: Path) -> dict[str, Any]:
        """The tables of a TOML file; `ManifestError` where it cannot be read."""
        try:
            status = os.stat(path)
        except OSError:
            raise ManifestError(f"missing; it must lie in {path.parent}") from None
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._old.get(str(path))
        if not (isinstance(known, dict) and known.get("stamp") == stamp and isinstance(known.get("data"), dict)):
            known = {"stamp": stamp, "data": _parse(path)}
        self._new[str(path)] = known
        data: dict[str, Any] = known["data"]
        return data

    def save(self) -> None:
        """Keep what was read, where anything changed."""
        if self._new != self._old:
            try:
                write_atomically(self.file, json.dumps(self._new))
            except (OSError, TypeError):  # no place to write, or a date, which no valid manifest holds
                return

    def _load(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ManifestError(f"cannot be read ({error.strerror}); check {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"no valid TOML: {error}") from None
