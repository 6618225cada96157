"""Changes of an index's files that happen whole or not at all, by one process at a time."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from unlabeled_registry.durable import flush, flush_all, folders_of
from unlabeled_registry.environment import write_atomically
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.locking import locked

LOCK = ".lock"
WORK = ".change"
"""Where the new files wait and the old ones are kept; with a journal in it, a change was begun."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The index in a folder, held by this process until the block ends; a change that was cut off is undone first.

    `RegistryError` where the folder cannot be written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK):
            _undo(folder)
            yield
    except OSError as error:
        raise RegistryError(f"{error.filename or folder}: cannot be written ({error.strerror})") from None
    finally:
        if made:
            with suppress(OSError):  # something lies in it
                folder.rmdir()


def change(folder: Path, contents: Mapping[str, bytes | Path], removed: Iterable[str] = ()) -> None:
    """Give files these contents, in this order, and remove others; on any failure every file is what it was.

    A power failure is one too: each step is on the disk before the next relies on it, and the change when this returns.
    contents: by the file's path in the folder; a `Path` is a file to copy. Only for who is `alone` there.
    """
    work = folder / WORK
    for path in (*contents, *removed):
        _check_inside(folder, path)
    changed = [path for path, content in contents.items() if not _holds(folder / path, content)]
    old = [path for path in (*changed, *removed) if os.path.lexists(folder / path)]
    added = [path for path in changed if path not in old]
    if not changed and not old:
        return
    try:
        shutil.rmtree(work, ignore_errors=True)
        (work / "old").mkdir(parents=True)
        (work / "new").mkdir()
        for number, path in enumerate(changed):
            _stage(contents[path], work / "new" / str(number))
        for number, path in enumerate(old):
            _keep(folder / path, work / "old" / str(number))
        flush_all([*work.rglob("*"), work, folder, folder.parent])
        write_atomically(work / "journal.json", json.dumps({"old": old, "added": added}))
        for number, path in enumerate(changed):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(work / "new" / str(number), folder / path)
        for path in set(old) - set(changed):
            _remove(folder / path)
        flush_all(folders_of((folder / path for path in (*old, *added)), folder))
        (work / "journal.json").unlink()  # from here on the change holds
    except BaseException:
        _undo(folder)
        raise
    flush(work)  # before anything else goes: a journal that came back would find less than it names
    shutil.rmtree(work, ignore_errors=True)


def _undo(folder: Path) -> None:
    """Bring back every file of a change that did not end; may be cut off itself and repeated."""
    work = folder / WORK
    if work.is_symlink():
        raise RegistryError(f"{work}: is a link, which no index holds; whoever made it may mean harm: remove it")
    try:
        journal = json.loads((work / "journal.json").read_text(encoding="utf-8"))
        for path in (*journal["added"], *journal["old"]):
            _check_inside(folder, path)
    except FileNotFoundError:
        shutil.rmtree(work, ignore_errors=True)
        return
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError(
            f"{work / 'journal.json'}: damaged; restore the index from a copy, and remove {work}"
        ) from None
    for path in journal["added"]:
        _remove(folder / path)
    for path in journal["old"]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    folders = folders_of((folder / path for path in (*journal["added"], *journal["old"])), folder)
    flush_all(folders)  # a file must not be put into a folder that may not stay
    for number, path in enumerate(journal["old"]):
        kept = work / "old" / str(number)
        if kept.exists():  # else it was put back before
            os.replace(kept, folder / path)
    flush_all(folders)
    (work / "journal.json").unlink()
    flush(work)  # before another change uses the same numbers
    shutil.rmtree(work, ignore_errors=True)


def _check_inside(folder: Path, path: str) -> None:
    """`RegistryError` for a path that leads out of the index: a folder of it that is a link, or a journal that lies."""
    parts = path.split("/")
    if (
        path.startswith("/")
        or ".." in parts
        or any((folder / "/".join(parts[:end])).is_symlink() for end in range(1, len(parts)))
    ):
        raise RegistryError(
            f"{folder / path}: leads out of the index {folder}; an index holds its files itself, so remove the link or journal"
        )


def _holds(file: Path, content: bytes | Path) -> bool:
    if isinstance(content, Path):
        return file.exists()  # wheels never change
    return file.is_file() and file.read_bytes() == content


def _stage(content: bytes | Path, file: Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, file)
    else:
        file.write_bytes(content)


def _keep(file: Path, kept: Path) -> None:
    try:
        os.link(file, kept, follow_symlinks=False)  # the file itself: what replaces it is another one
    except OSError:  # a file system without links
        shutil.copy2(file, kept, follow_symlinks=False)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    with suppress(OSError):  # others lie beside it
        file.parent.rmdir()
