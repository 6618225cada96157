"""Maskings choose exactly as many tokens as they promise, and where they promise."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled import Draws, Layout
from unlabeled.testing import check_masking
from unlabeled_standard.maskings import (
    BlockMasking,
    BlockMaskingConfig,
    RandomMasking,
    RandomMaskingConfig,
    SpanMasking,
    SpanMaskingConfig,
)

LENGTHS = torch.tensor([1, 5, 12, 20])
PADDED = Layout((20,), LENGTHS, torch.arange(20) < LENGTHS.unsqueeze(1))
FRAMED = Layout((20,), LENGTHS, (torch.arange(20) < LENGTHS.unsqueeze(1) - 1) & (torch.arange(20) > 0))
IMAGE = Layout.dense((8, 8), 6, torch.device("cpu"))
VIDEO = Layout.dense((4, 6, 6), 6, torch.device("cpu"))


def draws(rows: int, seed: int = 0) -> Draws:
    return Draws(seed, 0, torch.arange(rows))


@pytest.mark.parametrize("layout", [PADDED, FRAMED, IMAGE, VIDEO], ids=["padded", "framed", "image", "video"])
@pytest.mark.parametrize(
    "masking",
    [
        RandomMasking(RandomMaskingConfig()),
        RandomMasking(RandomMaskingConfig(ratio=0.5, cell=2)),
        BlockMasking(BlockMaskingConfig()),
        BlockMasking(BlockMaskingConfig(ratio=0.6, min_block=2, min_aspect=0.1)),
        SpanMasking(SpanMaskingConfig(span=4)),
    ],
    ids=["random", "cells", "blocks", "small-blocks", "spans"],
)
def test_conformance(masking: RandomMasking | BlockMasking | SpanMasking, layout: Layout) -> None:
    check_masking(masking, layout)


@settings(max_examples=30, deadline=None)
@given(
    ratio=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 4),
    grid=st.sampled_from([(7,), (5, 6), (2, 3, 4)]),
)
def test_random_and_block_masking_choose_the_rounded_share(
    ratio: float, seed: int, rows: int, grid: tuple[int, ...]
) -> None:
    layout = Layout.dense(grid, rows, torch.device("cpu"))
    expected = math.floor(ratio * math.prod(grid) + 0.5)
    for masking in (RandomMasking(RandomMaskingConfig(ratio=ratio)), BlockMasking(BlockMaskingConfig(ratio=ratio))):
        assert masking(layout, draws(rows, seed)).sum(dim=1).tolist() == [expected] * rows


def test_random_masking_by_rows_own_length() -> None:
    mask = RandomMasking(RandomMaskingConfig(ratio=0.5))(PADDED, draws(4))
    assert mask.sum(dim=1).tolist() == [1, 3, 6, 10]


def test_random_masking_is_uniform() -> None:
    layout = Layout.dense((16,), 4000, torch.device("cpu"))
    share = RandomMasking(RandomMaskingConfig(ratio=0.75))(layout, draws(4000)).float().mean(dim=0)
    assert torch.allclose(share, torch.full((16,), 0.75), atol=0.04)


def test_cells_are_chosen_whole() -> None:
    mask = RandomMasking(RandomMaskingConfig(ratio=0.5, cell=4))(IMAGE, draws(6)).reshape(6, 2, 4, 2, 4)
    whole = mask.float().mean(dim=(2, 4))
    assert set(whole.unique().tolist()) == {0.0, 1.0}
    assert (whole.sum(dim=(1, 2)) == 2).all()


def test_cells_at_the_edge_are_smaller() -> None:
    layout = Layout.dense((5,), 3, torch.device("cpu"))
    mask = RandomMasking(RandomMaskingConfig(ratio=0.34, cell=2))(layout, draws(3))
    assert {tuple(row.nonzero().flatten().tolist()) for row in mask} <= {(0, 1), (2, 3), (4,)}


def test_blocks_are_blocks() -> None:
    layout = Layout.dense((14, 14), 200, torch.device("cpu"))

    def neighbours(mask: torch.Tensor) -> float:
        """How often the right-hand neighbour of a chosen token is chosen too."""
        grid = mask.reshape(-1, 14, 14)
        return float((grid[:, :, 1:] & grid[:, :, :-1]).sum() / grid[:, :, :-1].sum())

    blocks = BlockMasking(BlockMaskingConfig(ratio=0.4))(layout, draws(200))
    scattered = RandomMasking(RandomMaskingConfig(ratio=0.4))(layout, draws(200))
    assert neighbours(scattered) < 0.45
    assert neighbours(blocks) > 0.75


def test_spans_have_their_length() -> None:
    mask = SpanMasking(SpanMaskingConfig(probability=0.3, span=5, minimum=1))(
        Layout.dense((40,), 50, torch.device("cpu")), draws(50)
    )
    for row in mask.tolist():
        runs = "".join("x" if chosen else " " for chosen in row).split()
        assert runs
        assert all(len(run) >= 5 for run in runs)


def test_options_are_checked() -> None:
    for ratio in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="ratio"):
            RandomMaskingConfig(ratio=ratio)
    with pytest.raises(ValueError, match="min_aspect"):
        BlockMaskingConfig(min_aspect=1.5)
    with pytest.raises(ValueError, match="rate"):
        RandomMaskingConfig(rate=0.5)  # type: ignore[call-arg]
