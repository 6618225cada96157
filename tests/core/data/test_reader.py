"""What is decoded once into the cache is not read again; a column with missing cells is decoded as it is needed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from unlabeled import Config, Modality
from unlabeled.data.reader import Reader
from unlabeled.data.splits import Split
from unlabeled.interfaces.source import Row, Source

ROWS = 6


class Numbers(Source):
    """Rows of two numbers, or None at the places in `missing`; counts what is read."""

    columns: Mapping[str, str] = {"values": "series"}  # type: ignore[assignment]

    def __init__(self, missing: Sequence[int] = ()) -> None:
        super().__init__(Config(), "train")
        self.missing = missing
        self.read = 0

    def __len__(self) -> int:
        return ROWS

    def row(self, index: int, columns: Sequence[str]) -> Row:
        self.read += 1
        return {"values": None if index in self.missing else [index, index + 0.5]}

    def fingerprint(self) -> str:
        return "".join(map(str, self.missing)) or "whole"


class Pair(Modality):
    Config = Config
    cached = True
    input_name = "values"

    def decode(self, cell: Sequence[float]) -> dict[str, np.ndarray]:
        return {"values": np.asarray(cell, dtype=np.float32)}

    def blank(self) -> dict[str, np.ndarray]:
        return {"values": np.zeros(2, dtype=np.float32)}


def reader(source: Numbers) -> Reader:
    found = Reader(Split("train", source, np.arange(ROWS)), {"pair": Pair(Config())}, {"pair": ["values"]})
    found.prepare({})
    return found


def test_a_cache_that_is_there_is_used_without_reading_the_source(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path_factory.mktemp("cache")))
    first = Numbers()
    assert reader(first).cached
    assert first.read >= ROWS
    again = Numbers()
    found = reader(again)
    assert found.cached
    np.testing.assert_array_equal(found.example(4).samples["pair"]["values"], [4.0, 4.5])
    assert again.read == 0


def test_a_column_with_missing_cells_is_not_cached(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path_factory.mktemp("cache")))
    for _ in range(2):
        found = reader(Numbers(missing=[3]))
        assert not found.cached
        assert not found.example(3).present["pair"]
        assert found.example(4).present["pair"]
