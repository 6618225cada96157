"""Promises of sources: each is one small function in `PROMISES`, by its id."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

from unlabeled.interfaces.source import Source
from unlabeled.testing.promises import promise

COLUMN_TYPES = ("image", "text", "audio", "video", "series", "label", "number", "other")


@dataclass(frozen=True)
class SourceCase:
    """A source's class with the options to try it with."""

    type: type[Source]
    config: BaseModel

    def open(self, split: str | None = None) -> Source:
        return self.type(self.config, split or self.type.splits(self.config)[0])

    def rows(self, source: Source) -> Sequence[int]:
        """A few, the last among them."""
        return sorted({0, len(source) // 2, len(source) - 1})


Check = Callable[[SourceCase], None]


def _splits(case: SourceCase) -> None:
    splits = case.type.splits(case.config)
    kept = bool(splits) and all(isinstance(name, str) and name for name in splits)
    promise(kept, case.open(), f"splits gives {splits!r}, not names")
    for name in splits:
        source = case.open(name)
        promise(len(source) > 0, source, f"split {name} has no rows")
        promise(source.split == name, source, f"split {name} says that it is {source.split}")
    try:
        source = case.open("no-such-split")
    except ValueError as error:
        promise(len(str(error).splitlines()) == 1, case.type, "tells an unknown split in more than one line, or none")
    except Exception as error:
        raise AssertionError(
            f"{case.type.__name__}: an unknown split raises {type(error).__name__}, not ValueError"
        ) from None
    else:
        raise AssertionError(f"{case.type.__name__}: opens a split that does not exist")


def _columns(case: SourceCase) -> None:
    source = case.open()
    unknown = sorted({kind for kind in source.columns.values() if kind not in COLUMN_TYPES})
    promise(bool(source.columns), source, "has no columns")
    promise(not unknown, source, f"has columns of the unknown type {', '.join(unknown)}")
    for name in source.columns:
        row = source.row(0, [name])
        promise(list(row) == [name], source, f"row gives {', '.join(row) or 'nothing'} where {name} was asked for")


def _rows(case: SourceCase) -> None:
    source, columns = case.open(), list(case.open().columns)
    for index in case.rows(source):
        first = source.row(index, columns)
        for other in (source, case.open()):
            promise(equal_cells(first, other.row(index, columns)), source, f"gives another row {index} the second time")
        alone = {name: source.row(index, [name])[name] for name in columns}
        promise(equal_cells(first, alone), source, f"gives another row {index} where fewer columns are asked for")


def _bounds(case: SourceCase) -> None:
    source = case.open()
    columns = list(source.columns)[:1]
    for index in (len(source), len(source) + 100):
        try:
            source.row(index, columns)
        except (IndexError, ValueError):
            continue
        except Exception as error:
            text = f"row {index} of {len(source)} raises {type(error).__name__}, not IndexError"
            raise AssertionError(f"{case.type.__name__}: {text}") from None
        raise AssertionError(f"{case.type.__name__}: has a row {index} though it has {len(source)} rows")


def _fingerprint(case: SourceCase) -> None:
    source = case.open()
    digest = source.fingerprint()
    promise(bool(re.fullmatch("[0-9a-f]{8,}", digest)), source, f"the fingerprint {digest!r} is no hexadecimal digest")
    promise(case.open().fingerprint() == digest, source, "has another fingerprint the second time")
    splits = case.type.splits(case.config)
    digests = {name: case.open(name).fingerprint() for name in splits}
    promise(len(set(digests.values())) == len(splits), source, "has one fingerprint for several splits")


def _labels(case: SourceCase) -> None:
    source = case.open()
    for name, kind in source.columns.items():
        names = source.label_names(name)
        if kind != "label":
            promise(names is None, source, f"names labels of {name}, which is of type {kind}")
            continue
        values = [source.row(index, [name])[name] for index in case.rows(source)]
        for value in values:
            if value is None:  # a missing cell
                continue
            promise(isinstance(value, int | np.integer), source, f"label {name} is {value!r}, no integer")
            kept = names is None or 0 <= value < len(names) or value == -1
            promise(kept, source, f"label {name} is {value}, which has no name")


def equal_cells(one: Any, other: Any) -> bool:
    """Whether two cells, or rows of them, hold the same."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal_cells(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal_cells, one, other))
    return bool(one == other or (one != one and other != other))


PROMISES: Mapping[str, Check] = {
    "splits": _splits,
    "columns": _columns,
    "rows": _rows,
    "bounds": _bounds,
    "fingerprint": _fingerprint,
    "labels": _labels,
}
