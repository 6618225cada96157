"""What was read of the installed plugins, kept from one command to the next: reading TOML takes most of the time."""

import json
import os
import zlib
from collections.abc import Callable
from stat import S_ISREG
from typing import Any

from unlabeled_registry.environment import config_folder, write_atomically

Stamp = list[int | str]
"""What must be as it was for a kept value to hold."""

_CODE = ("api.py", "capabilities.py", "discovery.py", "manifest.py", "schema.py")


class Cache:
    """Values by the file that they were read from, in one JSON file of the environment.

    A value holds for the file's exact size and times of change, and for the code that checked it, so it need not be checked
    again; a sum over all of them tells a damaged file. A cache that is missing, damaged or cannot be written only costs time.
    """

    def __init__(self, name: str = "manifests.json") -> None:
        self.file = config_folder() / name
        self._code = [stamp_of(os.path.join(os.path.dirname(__file__), name)) for name in _CODE]
        self._old = self._load()
        self._new: dict[str, Any] = {}
        self._changed = False

    def get(self, file: str, stamp: Stamp, read: Callable[[], Any]) -> Any:
        """What `read` returned for this file when it had this stamp: something that JSON can hold."""
        value = self.known(file, stamp)
        if value is None:
            value = read()
            self.keep(file, stamp, value)
        return value

    def known(self, file: str, stamp: Stamp) -> Any:
        """What was kept for this file with this stamp, or None."""
        known = self._old.get(file)
        if known is None or known[0] != stamp:
            return None
        self._new[file] = known
        return known[1]

    def keep(self, file: str, stamp: Stamp, value: Any) -> None:
        """Keep a value, which JSON can hold, from the next `save` on."""
        self._new[file] = [stamp, value]
        self._changed = True

    def save(self) -> None:
        """Keep what was asked for, and forget the rest, where anything changed."""
        if self._changed or len(self._new) != len(self._old):
            text = json.dumps({"code": self._code, "values": self._new}, separators=(",", ":"))
            try:
                write_atomically(self.file, f"{zlib.crc32(text.encode())}\n{text}", durable=False)
            except OSError:  # no place to write
                return

    def _load(self) -> dict[str, Any]:
        try:
            total, _, text = self.file.read_bytes().partition(b"\n")
            if int(total) != zlib.crc32(text):
                return {}
            kept = json.loads(text)
        except (OSError, ValueError):
            return {}
        values: dict[str, Any] = kept["values"]
        return values if kept["code"] == self._code else {}


def stamp_of(file: str) -> Stamp | None:
    """The size and the times of change of a regular file; None where there is none."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns] if S_ISREG(status.st_mode) else None
