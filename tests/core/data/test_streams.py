"""A stream's rows are those of its files in order, read forward in bounded memory."""

import gzip
import json
import multiprocessing
import shutil
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from unlabeled.data import streams
from unlabeled.data.shards import StreamConfig
from unlabeled.data.sources import Table, TableConfig
from unlabeled.data.streams import Stream
from unlabeled.errors import UnlabeledError

COLUMNS = ["values", "name", "label"]


def rows(first: int, number: int) -> list[dict[str, Any]]:
    return [
        {"values": [row / 2, row / 4], "name": f"row {row}", "label": row % 3} for row in range(first, first + number)
    ]


def lines(first: int, number: int) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows(first, number))


@pytest.fixture(scope="module")
def jsonl(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """50 rows in five shards, one of them empty, two compressed."""
    root = tmp_path_factory.mktemp("jsonl")
    (root / "a.jsonl").write_text(lines(0, 17))
    (root / "b.jsonl").write_text("")
    (root / "c.jsonl.gz").write_bytes(gzip.compress(lines(17, 9).encode()))
    with zipfile.ZipFile(root / "d.jsonl.zip", "w") as archive:
        archive.writestr("one.jsonl", lines(26, 3))
        archive.writestr("two.jsonl", lines(29, 4))
    (root / "e.jsonl").write_text(lines(33, 17))
    return [str(path) for path in sorted(root.iterdir())]


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """50 rows in three shards of row groups of 8, one of them empty."""
    root = tmp_path_factory.mktemp("parquet")
    for name, first, number in (("a", 0, 20), ("b", 20, 0), ("c", 20, 30)):
        table = pyarrow.Table.from_pylist(rows(first, max(number, 1))).slice(0, number)
        pyarrow.parquet.write_table(table, root / f"{name}.parquet", row_group_size=8)
    return [str(path) for path in sorted(root.iterdir())]


def open_stream(files: list[str], kind: str, block_rows: int = 5) -> Stream:
    return Stream(StreamConfig(files=tuple(files), kind=kind, block_rows=block_rows, interleave=3), "train")


@pytest.fixture(params=["jsonl", "parquet"])
def stream(request: pytest.FixtureRequest) -> Stream:
    return open_stream(request.getfixturevalue(request.param), {"jsonl": "json"}.get(request.param, request.param))


def test_rows_are_numbered_shard_by_shard_as_a_table_has_them(stream: Stream) -> None:
    # A table cannot read a parquet file without rows.
    table = Table(TableConfig(files=tuple(path for path in stream.config.files if Path(path).stem != "b")), "train")
    assert len(stream) == len(table) == 50
    assert stream.columns == table.columns == {"values": "series", "name": "text", "label": "label"}
    for order in (range(50), reversed(range(50)), [49, 0, 30, 31, 2, 20]):
        for index in order:
            assert stream.row(index, COLUMNS) == table.row(index, COLUMNS) == rows(index, 1)[0]
    assert stream.row(20, ["name"]) == {"name": "row 20"}


def test_parts_are_row_groups_or_whole_shards(jsonl: list[str], parquet: list[str]) -> None:
    blocks = open_stream(parquet, "parquet").blocks
    assert blocks.rows.tolist() == [5, 3, 5, 3, 4] + [5, 3] * 3 + [5, 1], "a block does not reach beyond a row group"
    assert len(set(blocks.parts.tolist())) == 7
    blocks = open_stream(jsonl, "json").blocks
    assert blocks.rows.tolist() == [5, 5, 5, 2, 5, 4, 5, 2, 5, 5, 5, 2]
    assert len(set(blocks.parts.tolist())) == 4


def test_csv_whose_types_are_found_in_the_first_rows(tmp_path: Path) -> None:
    for number in range(3):
        body = "".join(f"{row},name {row}\n" for row in range(number * 4, number * 4 + 4))
        (tmp_path / f"{number}.csv").write_text("value,name\n" + body)
    stream = open_stream([str(path) for path in sorted(tmp_path.iterdir())], "csv", 3)
    assert [stream.row(row, ["value"])["value"] for row in range(12)] == list(range(12))
    assert stream.columns == {"value": "label", "name": "text"}


def test_a_folder_has_the_splits_that_its_files_are_called_by(tmp_path: Path) -> None:
    (tmp_path / "train-0.jsonl").write_text(lines(0, 4))
    (tmp_path / "train-1.jsonl").write_text(lines(4, 4))
    (tmp_path / "test-0.jsonl").write_text(lines(8, 3))
    config = StreamConfig(path=str(tmp_path), block_rows=5, interleave=3)
    assert set(Stream.splits(config)) == {"train", "test"}
    assert [Stream(config, "train").row(row, ["name"])["name"] for row in range(8)] == [
        f"row {row}" for row in range(8)
    ]
    assert len(Stream(config, "test")) == 3
    with pytest.raises(ValueError, match="no split dev; there are: train, test"):
        Stream(config, "dev")


def test_reading_in_order_opens_each_part_once(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[int, int]] = []
    read = stream._shards.read

    def watched(shard: int, part: int, columns: Any) -> Iterator[Any]:
        opened.append((shard, part))
        return read(shard, part, columns)

    monkeypatch.setattr(stream._shards, "read", watched)
    order = stream.blocks.order(0, 0, np.arange(50))
    assert sorted(stream.row(int(row), ["name"])["name"] for row in order) == sorted(f"row {row}" for row in range(50))
    assert len(opened) == len(set(opened)) == len(set(stream.blocks.parts.tolist()))


def test_the_rows_of_a_shard_are_counted_once(jsonl: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    open_stream(jsonl, "json")
    monkeypatch.setattr(streams.Shards, "_count", lambda *_: pytest.fail("counted again"))
    assert len(open_stream(jsonl, "json", 7)) == 50


def test_an_interrupted_count_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_text(lines(number * 5, 5))
    files = [str(path) for path in sorted(tmp_path.glob("*.jsonl"))]
    count, counted = streams.Shards._count, []

    def interrupted(shards: Any, shard: int) -> list[int]:
        if len(counted) == 2:
            raise KeyboardInterrupt
        counted.append(shard)
        return count(shards, shard)

    with monkeypatch.context() as patch:
        patch.setattr(streams.Shards, "_count", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_stream(files, "json")
    (kept,) = (tmp_path / "cache" / "streams").glob("*.rows")
    with open(kept, "a") as file:
        file.write("5")  # a line that a kill cut short counts for nothing
    assert len(open_stream(files, "json")) == 20
    assert kept.read_text() == "5\n" * 4
    told = capsys.readouterr().err
    assert f"counting the rows of 4 shards of {files[0]} and 3 more, once" in told
    assert f"counting the rows of 2 shards of {files[0]} and 3 more, once" in told


def test_the_fingerprint_follows_names_sizes_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(lines(0, 9))
    first = open_stream([str(file)], "json").fingerprint()
    moved = tmp_path / "elsewhere" / "a.jsonl"
    moved.parent.mkdir()
    shutil.copy(file, moved)
    assert open_stream([str(moved)], "json").fingerprint() == first, "wherever it lies"
    moved.write_text(lines(0, 9).replace("row 8", "row 9"))
    assert open_stream([str(moved)], "json").fingerprint() != first
    renamed = tmp_path / "b.jsonl"
    shutil.copy(file, renamed)
    assert open_stream([str(renamed)], "json").fingerprint() != first


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (lines(0, 3) + '{"values": [1.0\n', r"b.jsonl: cannot be read \(.*\); mend it, or leave it out of data.source"),
        ('{"values": "many", "name": "x", "label": 1}\n', r"b.jsonl: cannot be read \(.*\); mend it"),
    ],
)
def test_a_shard_that_cannot_be_read_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines(0, 9))
    (tmp_path / "b.jsonl").write_text(text)
    with pytest.raises(ValueError, match=problem):
        open_stream([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], "json")


def test_a_shard_that_lost_rows_since_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(0, 9))
    stream = open_stream([str(tmp_path / "a.jsonl")], "json")
    (tmp_path / "a.jsonl").write_text(lines(0, 3))
    with pytest.raises(UnlabeledError, match=r"a.jsonl: has fewer rows than when they were counted; restore it"):
        stream.row(8, COLUMNS)


def read_in_child(stream: Stream, first: int, pipe: Any) -> None:
    pipe.send([stream.row(row, ["name"])["name"] for row in range(first, 50)])


def test_a_forked_worker_reads_for_itself(stream: Stream) -> None:
    """An open file shared with the parent would be read by both, each taking what the other misses."""
    assert stream.row(3, ["name"]) == {"name": "row 3"}
    context = multiprocessing.get_context("fork")
    found = []
    for first in (4, 11):
        ours, theirs = context.Pipe()
        child = context.Process(target=read_in_child, args=(stream, first, theirs))
        child.start()
        assert ours.poll(60)
        found.append(ours.recv())
        child.join()
    assert found == [[f"row {row}" for row in range(first, 50)] for first in (4, 11)]
    assert [stream.row(row, ["name"])["name"] for row in range(4, 50)] == [f"row {row}" for row in range(4, 50)]


class _Endless:
    """A shard of as many rows as one likes; they are made as they are read."""

    def __init__(self, number: int) -> None:
        self.number, self.made = number, 0

    def count(self) -> list[list[int]]:
        return [[self.number]]

    def name(self, shard: int) -> str:
        return "endless"

    def read(self, shard: int, part: int, columns: Any) -> Iterator[Any]:
        for first in range(0, self.number, 100):
            self.made += 100
            cells = pyarrow.FixedSizeListArray.from_arrays(np.full(100 * 1000, float(first)), 1000)
            yield pyarrow.table({"values": cells})


@pytest.mark.parametrize("number", [2_000, 20_000])
def test_peak_memory_does_not_grow_with_the_stream(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = _Endless(number)
    monkeypatch.setattr(streams, "Shards", lambda *_: endless)
    stream = Stream(StreamConfig(files=("endless",), block_rows=100, interleave=8), "train")
    order = stream.blocks.order(0, 0, np.arange(number))
    tracemalloc.start()
    for row in order[::50]:
        assert stream.row(int(row), ["values"])["values"][0] == row // 100 * 100
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert endless.made == number, "all of it was read, once"
    assert peak < 4e6, "a block is 0.8 MB; all are 16 or 160 MB"
