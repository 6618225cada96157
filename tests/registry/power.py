"""A model of what a power failure may leave of a folder.

A disk holds the bytes of a file since `fsync` of that file, and a name since `fsync` of the folder that it stands in. Of
whatever came later it may hold any part, in any order: new names whose file is empty, names that are gone while others still
stand. Only a rename happens whole or not at all.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

Tree = dict[str, bytes | None]
"""Files by their path in the folder; None stands for a folder."""
_FOLDER = -1


def tree(folder: Path) -> Tree:
    """What lies in a folder."""
    found = {path: path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))}
    return {name: None if path.is_dir() else path.read_bytes() for path, name in found.items()}


def write_tree(folder: Path, content: Tree) -> None:
    """Make a folder hold this and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in sorted(content.items()):
        if data is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


class Disk:
    """Follows a folder, and keeps what a power failure may leave of it before and after each step."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self.folder, self._aside = folder, aside
        aside.mkdir()
        self._alone = threading.RLock()
        self._random = Random(0)
        self._now = self._names()  # path -> inode
        self._kept = dict(self._now)  # the same, on the disk
        self._bytes = {inode: self._read(inode) for inode in self._now.values() if inode != _FOLDER}
        self._pending: list[
            dict[str, int | None]
        ] = []  # changes of names that are not on the disk, each whole or not at all
        self.left: list[Tree] = []
        self.last: list[Tree] = []

    def follow(self, patch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
        """Carry out an action; afterwards `left` holds what may be left at any moment of it, `last` at its end."""
        replace, steps = os.replace, (os.unlink, os.rmdir, os.mkdir)
        with patch.context() as patched:
            patched.setattr(os, "replace", lambda source, target: self._step(lambda: replace(source, target)))
            patched.setattr(os, "fsync", self._flushed)
            for step in steps:
                patched.setattr(os, step.__name__, self._followed(step))
            action()
        self._look()
        self.last = list(self._states())
        self.left += self.last

    def _followed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **named: self._step(lambda: step(*arguments, **named))

    def _step(self, step: Callable[[], Any]) -> Any:
        with self._alone:
            self._look()
            self.left += self._states()
            try:
                return step()
            finally:
                self._pending += [changes] if (changes := self._changes()) else []

    def _flushed(self, descriptor: int) -> None:
        with self._alone:
            self._look()
            self.left += self._states()
            inode, path = os.fstat(descriptor).st_ino, os.readlink(f"/proc/self/fd/{descriptor}")
            if not os.path.isdir(path):
                self._bytes[inode] = self._read(inode)
                return
            place = os.path.relpath(path, self.folder)
            for changes in list(self._pending):
                if any((os.path.dirname(name) or ".") == place for name in changes):
                    self._settle(changes)

    def _settle(self, changes: Mapping[str, int | None]) -> None:
        number = next(number for number, item in enumerate(self._pending) if item is changes)
        for earlier in self._pending[:number]:
            for name in changes:
                earlier.pop(name, None)
        del self._pending[number]
        self._pending = [item for item in self._pending if item]
        _apply(self._kept, changes)

    def _look(self) -> None:
        """Notice what was done without a step that is followed: files opened to be written, and links."""
        self._pending += [{name: inode} for name, inode in self._changes().items()]

    def _changes(self) -> dict[str, int | None]:
        before, self._now = self._now, self._names()
        changed = {name: inode for name, inode in self._now.items() if before.get(name) != inode}
        return {**dict.fromkeys(set(before) - set(self._now)), **changed}

    def _names(self) -> dict[str, int]:
        found = {}
        for root, folders, files in os.walk(self.folder):
            place = Path(root).relative_to(self.folder)
            found |= {(place / name).as_posix(): _FOLDER for name in folders}
            for name in files:
                inode = os.stat(Path(root, name)).st_ino
                if not (kept := self._aside / str(inode)).exists():
                    os.link(Path(root, name), kept)  # its number is then given to no other file
                found[(place / name).as_posix()] = inode
        return found

    def _read(self, inode: int) -> bytes:
        return (self._aside / str(inode)).read_bytes()

    def _states(self) -> Iterator[Tree]:
        """None of what is not on the disk, all of its names without their bytes, and some parts of it."""
        yield self._state(lambda: False, lambda: False)
        yield self._state(lambda: True, lambda: False)
        for _ in range(2):
            yield self._state(lambda: self._random.random() < 0.5, lambda: self._random.random() < 0.5)

    def _state(self, has_name: Callable[[], bool], has_bytes: Callable[[], bool]) -> Tree:
        names = dict(self._kept)
        for changes in self._pending:
            if has_name():
                _apply(names, changes)
        bytes_of = {
            inode: self._read(inode) if has_bytes() else self._bytes.get(inode, b"")
            for inode in set(names.values()) - {_FOLDER}
        }
        found: Tree = {}
        for name, inode in sorted(names.items()):
            parent = os.path.dirname(name)
            if not parent or parent in found:
                found[name] = None if inode == _FOLDER else bytes_of[inode]
        return found


def _apply(names: dict[str, int], changes: Mapping[str, int | None]) -> None:
    for name, inode in changes.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode
