"""Metadata that stops `importlib.metadata`: a bad file of any distribution, of no plugin too, ends every import of torch.

torch asks all distributions for their entry points when it is imported. Python's error names neither file nor distribution.
"""

import os
from collections.abc import Iterator
from traceback import walk_tb

from unlabeled_registry.errors import printable
from unlabeled_registry.import_path import ImportPath

READER = "importlib.metadata"
_HARM = f"{READER}, which torch asks at its import, fails on it"
_CURE = f"{_HARM}; mend it, or install that distribution again"


def damage() -> list[str]:
    """A line on each file because of which nobody can ask for entry points."""
    return [problem for folder in ImportPath().metadata for problem in _problems(folder)]


def damage_behind(error: BaseException) -> list[str]:
    """A line on each damaged file, where it was in reading metadata that this error was raised; else nothing."""
    places = (frame.f_code.co_filename.replace(os.sep, "/") for frame, _ in walk_tb(error.__traceback__))
    if not any("importlib/metadata/" in place or "importlib_metadata/" in place for place in places):
        return []
    return damage() or [problem for folder in ImportPath().metadata for problem in _undecodable(folder, "METADATA")]


def _problems(folder: str) -> Iterator[str]:
    name = os.path.basename(folder)
    if name.startswith(("-", ".")) and not _names_itself(folder):
        yield f"{folder}: a distribution without a name: {_HARM}; delete it"
    yield from _undecodable(folder, "entry_points.txt")
    section = False
    for number, line in enumerate(_read(folder, "entry_points.txt").decode(errors="replace").splitlines(), start=1):
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = True
        elif section and text and not text.startswith("#") and "=" not in text:
            yield f"{folder}/entry_points.txt, line {number}: {printable(text, 60)!r} is no entry point: {_CURE}"


def _undecodable(folder: str, name: str) -> Iterator[str]:
    try:
        _read(folder, name).decode()
    except UnicodeDecodeError as error:
        yield f"{folder}/{name}: byte {error.start + 1} is no UTF-8: {_CURE}"


def _names_itself(folder: str) -> bool:
    return any(line.startswith(b"Name:") for line in _read(folder, "METADATA").splitlines())


def _read(folder: str, name: str) -> bytes:
    """A file of a distribution's metadata; empty where it cannot be read, which does not trouble Python either."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except OSError:
        return b""
