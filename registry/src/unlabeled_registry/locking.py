"""One process at a time: a lock file, which goes with its last holder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """The lock file at `path`, held until the block ends; others wait. `OSError` where it cannot be made."""
    while True:
        with open(path, "w", opener=_not_a_link) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):
                continue  # its last holder has removed it while we waited
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)
            return


def _not_a_link(path: str, flags: int) -> int:
    """Where several people may write, a link would have one of them empty a file of another's."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
