"""Outliving a power failure: the bytes of a file are on the disk before its name counts, names before what relies on them."""

import os
from collections.abc import Iterable
from pathlib import Path

_AT_ONCE = 16  # a disk brings many files to safety in one go, and one after the other at ten times the price


def flush(path: Path) -> None:
    """Bring a file's bytes, or the names in a folder, to the disk; `OSError` where that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # which not every network share can do
            raise
    finally:
        os.close(descriptor)


def flush_all(paths: Iterable[Path]) -> None:
    """The same for many, in any order; what is not there is passed over, and links too, which lie in their folder."""
    from concurrent.futures import ThreadPoolExecutor

    present = [path for path in dict.fromkeys(paths) if not path.is_symlink() and (path.is_file() or path.is_dir())]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(flush, present):
            pass


def folders_of(files: Iterable[Path], top: Path) -> set[Path]:
    """The folders that hold the names of files, there or not, and of what they lie in up to `top`."""
    return {folder for file in files for folder in file.parents if folder == file.parent or folder.is_relative_to(top)}
