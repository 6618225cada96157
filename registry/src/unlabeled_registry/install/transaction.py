"""Changes of the environment that happen whole or not at all, whenever the process ends."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from unlabeled_registry.durable import flush, flush_all, folders_of
from unlabeled_registry.environment import write_atomically
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.journal import FOLDER, JOURNAL, interrupted
from unlabeled_registry.locking import locked

_ASIDE = "~"  # what pip calls a folder that it is about to remove


def temporary_folder() -> Path:
    """Where child processes of a transaction keep what is temporary, so that nothing of it outlives them."""
    return FOLDER / "temporary"


def recover() -> str | None:
    """Undo a change that was cut off, and say so; one that is still under way is waited for.

    `RegistryError` where it cannot be undone.
    """
    if not interrupted():
        return None
    with _locked():
        return _undo_left_over()


@contextmanager
def transaction(doing: str, paths: Iterable[Path]) -> Iterator[IO[str]]:
    """A change of the files `paths` and no others, undone unless the block ends well; gives the file of the lock.

    A process that is killed, or a power failure, leaves a journal, with which `recover` undoes the change: each step is on the
    disk before the next relies on it, and the change when the block has ended. Child processes that write should be
    handed the lock's file (`pass_fds`), so that nothing is undone while one of them still works.
    """
    with _locked() as lock:
        _undo_left_over()
        changing = frozenset(paths)
        try:
            _begin(doing, changing)
        except BaseException as error:
            _undo_left_over()
            _clean()
            if isinstance(error, OSError):
                raise RegistryError(f"{FOLDER}: cannot be written ({error.strerror}); nothing was changed") from None
            raise
        try:
            yield lock
            flush_all({*changing, *_folders(changing)})
        except BaseException:
            _undo()
            raise
        _end()


@contextmanager
def _locked() -> Iterator[IO[str]]:
    """This environment's lock, held until the block ends."""
    path = FOLDER.with_name("transaction.lock")
    _make_folder(path.parent)
    try:
        with locked(path) as lock:
            yield lock
    finally:
        _remove_empty(path.parent)


def _begin(doing: str, paths: frozenset[Path]) -> None:
    """Copy what is there, then write the journal: only after that may anything change."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    kept = FOLDER / "kept"
    kept.mkdir(parents=True)
    temporary_folder().mkdir()
    present = sorted(path for path in paths if os.path.lexists(path))
    for number, path in enumerate(present):
        shutil.copy2(path, kept / str(number), follow_symlinks=False)
    parents = {parent for path in paths for parent in path.parents if parent.is_relative_to(sys.prefix)}
    journal = {
        "doing": doing,
        "present": [str(path) for path in present],
        "absent": sorted(str(path) for path in paths if not os.path.lexists(path)),
        "absent_folders": sorted((str(folder) for folder in parents if not folder.exists()), key=len, reverse=True),
        "aside": sorted(str(path) for path in _set_aside(parents)),
        "parents": sorted(str(folder) for folder in parents),
    }
    flush_all([*kept.iterdir(), kept, *_folders([kept])])
    write_atomically(JOURNAL, json.dumps(journal))


def _undo_left_over() -> str | None:
    if not interrupted():
        return None
    doing = _undo()
    return f"undone: {doing}, which was cut off; the environment is as it was before"


def _undo() -> str:
    """Bring back every file of the journal; may be cut off itself and repeated."""
    try:
        journal = json.loads(JOURNAL.read_text(encoding="utf-8"))
        for path in journal["absent"]:
            if os.path.lexists(path):
                os.unlink(path)
        for folder in journal["absent_folders"]:
            shutil.rmtree(folder, ignore_errors=True)
        for path in _set_aside(map(Path, journal["parents"])) - set(map(Path, journal["aside"])):
            shutil.rmtree(path, ignore_errors=True)
        present = [Path(path) for path in journal["present"]]
        _put_back(present)
        flush_all(_folders([*present, *map(Path, journal["absent"])]))
        _end()
    except (OSError, ValueError, KeyError) as error:
        raise RegistryError(
            f"{FOLDER}: the environment could not be brought back to what it was ({error}); mend that, and any "
            "`unlabeled plugins` command tries again"
        ) from None
    return str(journal["doing"])


def _put_back(present: Sequence[Path]) -> None:
    copies = [path.with_name(f"{_ASIDE}{path.name}") for path in present]
    for number, copy in enumerate(copies):
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        shutil.copy2(FOLDER / "kept" / str(number), copy, follow_symlinks=False)
    flush_all(copies)
    for path, copy in zip(present, copies, strict=True):
        os.replace(copy, path)


def _set_aside(folders: Iterable[Path]) -> set[Path]:
    """What pip has moved aside in these folders; it forgets that when it is killed."""
    found: set[Path] = set()
    for folder in folders:
        if folder.is_dir():
            found |= {folder / name for name in os.listdir(folder) if name.startswith(_ASIDE)}
    return found


def _folders(paths: Iterable[Path]) -> set[Path]:
    return folders_of(paths, Path(sys.prefix))


def _end() -> None:
    JOURNAL.unlink()  # from here on the change, or its undoing, holds
    flush(FOLDER)  # before anything else goes: a journal that came back would find less than it names
    _clean()


def _clean() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryError(
            f"{folder}: cannot be written ({error.strerror}); plugins are installed into an environment of your own"
        ) from None


def _remove_empty(folder: Path) -> None:
    for place in (folder, folder.parent):
        try:
            place.rmdir()
        except OSError:  # the settings lie there, or another process works
            return
