"""Stream: a source that is read forward through `datasets`, without being loaded or indexed."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fsspec
import numpy as np
from pydantic import BaseModel

from unlabeled.data.blocks import Blocks
from unlabeled.data.columns import column_type, label_names
from unlabeled.data.shards import Shards, StreamConfig, split_names
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.source import Row, Source

_MORE_OPEN = 2
"""Parts held open beside those of a window, for a substitute from elsewhere and for other columns."""


class Stream(Source):
    """Rows of an IterableDataset of `datasets`, numbered shard by shard.

    A row is found by reading its part forward, block by block; a process keeps a few parts open, with one block of each.
    Reading in the order of `Blocks.order` never goes back.
    """

    Config = StreamConfig
    config: StreamConfig

    def __init__(self, config: BaseModel, split: str) -> None:
        super().__init__(config, split)
        self._shards = Shards(self.config, split)
        counts = self._shards.count()
        self._places = [(shard, part) for shard, parts in enumerate(counts) for part in range(len(parts))]
        self._rows = np.array([rows for parts in counts for rows in parts], dtype=np.int64)
        self._starts = np.cumsum(self._rows) - self._rows
        self._cursors: OrderedDict[tuple[tuple[str, ...], int], _Cursor] = OrderedDict()
        self._process = os.getpid()

    @classmethod
    def splits(cls, config: BaseModel) -> tuple[str, ...]:
        """As `datasets` finds them: by the names of files and folders."""
        assert isinstance(config, StreamConfig)
        return split_names(config)

    def __len__(self) -> int:
        return int(self._rows.sum())

    @property
    def columns(self) -> Mapping[str, str]:
        return {name: column_type(feature) for name, feature in self._shards.features.items()}

    @property
    def blocks(self) -> Blocks:
        """Every row, in the blocks in which they are read."""
        return Blocks.of(self._rows.tolist(), self.config.block_rows, self.config.interleave)

    def row(self, index: int, columns: Sequence[str]) -> Row:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        block, place = divmod(index - int(self._starts[part]), self.config.block_rows)
        table = self._cursor(tuple(columns), part, block).table(block)
        return {name: table.column(name)[place].as_py() for name in columns}

    def fingerprint(self) -> str:
        return self._shards.fingerprint

    def label_names(self, column: str) -> tuple[str, ...] | None:
        return label_names(self._shards.features, column)

    def _cursor(self, columns: tuple[str, ...], part: int, block: int) -> "_Cursor":
        """The open part, at this block or before it."""
        if self._process != os.getpid():
            self._leave_parent()
        cursor = self._cursors.pop((columns, part), None)
        if cursor is None or cursor.number > block:
            shard, number = self._places[part]
            cursor = _Cursor(self._shards.read(shard, number, columns), self._shards.name(shard))
        self._cursors[columns, part] = cursor
        while len(self._cursors) > self.config.interleave + _MORE_OPEN:
            self._cursors.popitem(last=False)
        return cursor

    def _leave_parent(self) -> None:
        """After a fork: open files anew. The parent's are kept and never used, as their threads are not here to close them."""
        self._inherited = self._cursors
        self._cursors, self._process = OrderedDict(), os.getpid()
        fsspec.asyn.reset_lock()


class _Cursor:
    """A part that is read forward, and the block it has come to."""

    def __init__(self, tables: Iterator[Any], name: str) -> None:
        self.number = -1
        self._tables, self._name = tables, name
        self._table: Any = None

    def table(self, number: int) -> Any:
        """Block `number`, at or after the last one asked for."""
        try:
            while self.number < number:
                self._table = next(self._tables)
                self.number += 1
        except StopIteration:
            raise UnlabeledError(f"{self._name}: has fewer rows than when they were counted; restore it") from None
        except ValueError as error:
            raise UnlabeledError(f"data: {error}") from None
        return self._table
