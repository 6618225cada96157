"""Blocks: the rows of a stream as they are read, in stretches that fit in memory; their order is a function too."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from unlabeled.data.order import any_row, permutation

_NEAR_ATTEMPTS = 16
"""Substitutes that are looked for in the bad row's own block, before any block will do."""


@dataclass(frozen=True)
class Blocks:
    """Rows of a stream, numbered from 0 in the order in which they lie there, as an array of their numbers would.

    A part is what can be opened at its beginning and is read forward (a row group, a file); a block is a stretch of rows
    within a part. What is kept grows with the number of blocks, not of rows.
    """

    starts: np.ndarray
    """(blocks,) int64, the number that the block's first row has in the source; ascending."""
    rows: np.ndarray
    """(blocks,) int64, each above 0."""
    parts: np.ndarray
    """(blocks,) int64, the part in which each block lies; ascending."""
    interleave: int
    """Parts that are read side by side."""
    _epochs: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, parts: Sequence[int], block_rows: int, interleave: int) -> "Blocks":
        """Every part, of `parts[i]` rows, cut into blocks of `block_rows`; the last of a part may be smaller."""
        sizes = np.asarray(parts, dtype=np.int64)
        counts = -(-sizes // block_rows)
        part = np.repeat(np.arange(len(sizes)), counts)
        within = (np.arange(len(part)) - (np.cumsum(counts) - counts)[part]) * block_rows
        starts = (np.cumsum(sizes) - sizes)[part] + within
        return cls(starts, np.minimum(block_rows, sizes[part] - within), part, interleave)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, positions: Any) -> Any:
        """The rows' numbers in the source at a position, a slice or an array of positions."""
        if isinstance(positions, slice):
            positions = np.arange(*positions.indices(len(self)))
        block = np.searchsorted(self._ends, positions, side="right")
        return self.starts[block] + (positions - self._begins[block])

    def __iter__(self) -> Iterator[int]:
        for start, rows in zip(self.starts, self.rows, strict=True):
            yield from range(int(start), int(start + rows))

    def order(self, seed: int, epoch: int, positions: np.ndarray, attempt: int = 0) -> np.ndarray:
        """The rows (0..len-1) at `positions` of an epoch, int64; each epoch is a permutation of all rows.

        Parts are permuted by (seed, epoch) and read forward, `interleave` of them side by side: a window is one block of
        each, and its rows are permuted by (seed, epoch, window). `attempt` above 0 is the substitute for a row that could
        not be decoded: a row of the same block by key, so that nothing else is opened; after 16 that are bad too, any row.
        """
        if attempt > _NEAR_ATTEMPTS:
            return any_row(positions, len(self), "substitute", seed, epoch, attempt)
        sequence, ends, windows = self._epoch(seed, epoch)
        window = np.searchsorted(windows, positions, side="right")
        mixed = np.empty(len(positions), dtype=np.int64)
        for number in np.unique(window):
            here = window == number
            begin = int(windows[number - 1]) if number else 0
            size = int(windows[number]) - begin
            mixed[here] = begin + permutation(positions[here] - begin, size, "window", seed, epoch, number)
        turn = np.searchsorted(ends, mixed, side="right")
        blocks = sequence[turn]
        places = mixed - (ends[turn] - self.rows[blocks])
        if attempt:
            places = any_row(positions, self.rows[blocks], "substitute", seed, epoch, attempt)
        rows: np.ndarray = self._begins[blocks] + places
        return rows

    def hold_out(self, share: float) -> tuple["Blocks", "Blocks"]:
        """What remains, and `share` of the rows (at least 1): whole blocks by key, and the last rows of one more."""
        wanted = min(max(1, round(share * len(self))), len(self) - 1)
        shuffled = permutation(np.arange(len(self.rows)), len(self.rows), "holdout")
        ends = np.cumsum(self.rows[shuffled])
        whole = int(np.searchsorted(ends, wanted, side="right"))
        held = np.zeros_like(self.rows)
        held[shuffled[:whole]] = self.rows[shuffled[:whole]]
        held[shuffled[whole]] = wanted - (ends[whole - 1] if whole else 0)
        kept = self.rows - held
        return self._with(self.starts, kept), self._with(self.starts + kept, held)

    @property
    def fingerprint(self) -> str:
        """Changes when other rows are chosen, or other blocks are cut."""
        return hashlib.sha256(self.starts.tobytes() + self.rows.tobytes()).hexdigest()[:16]

    def _with(self, starts: np.ndarray, rows: np.ndarray) -> "Blocks":
        there = rows > 0
        return Blocks(starts[there], rows[there], self.parts[there], self.interleave)

    def _epoch(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Blocks in the order of an epoch, and the position after the last row of each block and of each window.

        Windows of parts of unequal length: where the longest of a group has R blocks, block j of a part of n is in round
        floor(j R / n), so that all parts of the group end together. The last epoch asked for is kept.
        """
        known = self._epochs.get((seed, epoch))
        if known is None:
            _, first, part, counts = np.unique(self.parts, return_index=True, return_inverse=True, return_counts=True)
            rank = permutation(np.arange(len(counts)), len(counts), "parts", seed, epoch)
            group = rank * -(-len(counts) // self.interleave) // len(counts)
            longest = np.zeros(int(group.max()) + 1, dtype=np.int64)
            np.maximum.at(longest, group, counts)
            within = np.arange(len(part)) - first[part]
            turn = within * longest[group[part]] // counts[part]
            sequence = np.lexsort((rank[part], turn, group[part]))
            ends = np.cumsum(self.rows[sequence])
            keys = np.stack([group[part], turn])[:, sequence]
            last = np.append((keys[:, 1:] != keys[:, :-1]).any(axis=0), True)
            known = sequence, ends, ends[last]
            self._epochs.clear()
            self._epochs[seed, epoch] = known
        return known

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.rows)

    @cached_property
    def _begins(self) -> np.ndarray:
        return self._ends - self.rows
