"""The rows of a stream as blocks: numbered shard by shard, permuted by key, held out exactly."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled.data.blocks import Blocks

PARTS = st.lists(st.integers(0, 70), min_size=1, max_size=9).filter(any)


def plain_blocks(parts: Sequence[int], block_rows: int) -> list[tuple[int, list[int]]]:
    """Part and rows of each block, the slow way."""
    blocks, start = [], 0
    for part, rows in enumerate(parts):
        for first in range(0, rows, block_rows):
            blocks.append((part, list(range(start + first, start + min(first + block_rows, rows)))))
        start += rows
    return blocks


@settings(deadline=None, max_examples=100)
@given(parts=PARTS, block_rows=st.integers(1, 40))
def test_blocks_are_an_array_of_numbers(parts: list[int], block_rows: int) -> None:
    blocks = Blocks.of(parts, block_rows, 3)
    numbers = list(range(sum(parts)))
    assert len(blocks) == len(numbers)
    assert list(blocks) == numbers
    assert blocks[:].tolist() == numbers
    assert blocks[3:7].tolist() == numbers[3:7]
    assert [int(blocks[position]) for position in range(len(blocks))] == numbers
    assert [(int(part), int(rows)) for part, rows in zip(blocks.parts, blocks.rows, strict=True)] == [
        (part, len(rows)) for part, rows in plain_blocks(parts, block_rows)
    ]


@settings(deadline=None, max_examples=150)
@given(
    parts=PARTS,
    block_rows=st.integers(1, 40),
    interleave=st.integers(1, 5),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
def test_an_epoch_is_every_row_once_and_reads_forward(
    parts: list[int], block_rows: int, interleave: int, seed: int, epoch: int
) -> None:
    order = Blocks.of(parts, block_rows, interleave).order(seed, epoch, np.arange(sum(parts))).tolist()
    assert sorted(order) == list(range(sum(parts)))
    plain = plain_blocks(parts, block_rows)
    block_of = {row: number for number, (_, rows) in enumerate(plain) for row in rows}
    began: dict[int, int] = {}
    ended: dict[int, int] = {}
    for place, row in enumerate(order):
        began.setdefault(block_of[row], place)
        ended[block_of[row]] = place
    for one in began:
        of_same_part = [other for other in began if other > one and plain[other][0] == plain[one][0]]
        assert all(began[other] > ended[one] for other in of_same_part), (
            "a block is read to its end before the next of its part"
        )
    for place in range(len(order)):
        open_parts = {plain[block][0] for block in began if began[block] <= place <= ended[block]}
        assert len(open_parts) <= interleave


def test_parts_of_a_group_end_together() -> None:
    """Else the rest of the longest would be read alone."""
    blocks = Blocks.of([1000, 100, 300, 50], 10, 4)
    order = blocks.order(0, 0, np.arange(1450))
    part_of = np.searchsorted([1000, 1100, 1400], order, side="right")
    for part in range(4):
        places = np.flatnonzero(part_of == part)
        assert places[0] < 100, "all begin early"
        assert places[-1] > 1000, "and end late"


@settings(deadline=None, max_examples=60)
@given(parts=PARTS, block_rows=st.integers(1, 40), attempt=st.integers(1, 16), epoch=st.integers(0, 3))
def test_a_substitute_lies_in_the_same_block(parts: list[int], block_rows: int, attempt: int, epoch: int) -> None:
    blocks = Blocks.of(parts, block_rows, 3)
    positions = np.arange(len(blocks))
    block_of = np.repeat(np.arange(len(blocks.rows)), blocks.rows)
    bad, substitute = blocks.order(7, epoch, positions), blocks.order(7, epoch, positions, attempt)
    assert (block_of[bad] == block_of[substitute]).all()
    alone = blocks.order(7, epoch, positions[-1:], attempt)
    assert alone[0] == substitute[-1], "whatever else is asked for"


def test_a_block_without_a_good_row_has_substitutes_elsewhere() -> None:
    blocks = Blocks.of([1] * 50, 16, 3)
    position = np.array([3])
    near = {int(blocks.order(0, 0, position, attempt)[0]) for attempt in range(17)}
    far = {int(blocks.order(0, 0, position, attempt)[0]) for attempt in range(17, 60)}
    assert len(near) == 1
    assert len(far) > 20


def test_epochs_and_seeds_differ_and_rows_do_not_lie_as_they_were() -> None:
    blocks = Blocks.of([1000] * 20, 250, 1)
    positions = np.arange(20_000)
    order = blocks.order(0, 0, positions)
    for other in (blocks.order(0, 1, positions), blocks.order(1, 0, positions)):
        assert (order == other).mean() < 0.01
    inside = [order[start : start + 250] for start in range(0, 20_000, 250)]
    correlations = [abs(np.corrcoef(rows, np.arange(250))[0, 1]) for rows in inside]
    assert np.mean(correlations) < 0.1, "within a block"
    assert abs(np.corrcoef(order[::1000] // 1000, np.arange(20))[0, 1]) < 0.5, "and of parts"


def test_memory_grows_with_blocks_and_not_with_rows() -> None:
    blocks = Blocks.of([10**12] * 5, 10**9, 3)
    assert len(blocks) == 5 * 10**12
    rows = blocks.order(0, 3, np.arange(10**12 - 500, 10**12 + 500))
    assert len(set(rows.tolist())) == 1000
    assert int(blocks[4 * 10**12]) == 4 * 10**12


@settings(deadline=None, max_examples=100)
@given(parts=PARTS.filter(lambda parts: sum(parts) > 1), block_rows=st.integers(1, 40), share=st.floats(0.01, 0.99))
def test_what_is_held_out_is_exact_and_the_rest_is_whole(parts: list[int], block_rows: int, share: float) -> None:
    kept, held = Blocks.of(parts, block_rows, 3).hold_out(share)
    total = sum(parts)
    assert len(held) == min(max(1, round(share * total)), total - 1)
    assert sorted([*kept, *held]) == list(range(total))
    touched = {number for number, (_, rows) in enumerate(plain_blocks(parts, block_rows)) if set(rows) & set(held)}
    both = [number for number in touched if set(plain_blocks(parts, block_rows)[number][1]) & set(kept)]
    assert len(both) <= 1, "one block at most is cut"
    assert sorted(kept.order(1, 2, np.arange(len(kept))).tolist()) == list(range(len(kept)))
    assert kept.fingerprint != held.fingerprint


@pytest.mark.parametrize("block_rows", [1, 7, 1000])
def test_what_is_held_out_lies_all_over_the_stream(block_rows: int) -> None:
    _, held = Blocks.of([100] * 100, block_rows, 8).hold_out(0.1)
    assert len({number // 1000 for number in held}) >= 6, "whatever the size of a part"
