"""Tubes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled import Draws, Layout
from unlabeled.testing import check_masking
from unlabeled_video.masking import TubeMasking

CPU = torch.device("cpu")


def masking(ratio: float) -> TubeMasking:
    return TubeMasking(TubeMasking.Config(ratio=ratio))


@settings(max_examples=30, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    ratio=st.floats(0, 0.99),
    rows=st.integers(1, 4),
)
def test_every_row_masks_the_same_number_of_tubes_at_every_time(grid, ratio: float, rows: int) -> None:
    layout = Layout.dense(grid, rows, CPU)
    mask = masking(ratio)(layout, Draws(1, 2, torch.arange(rows)))
    tubes = mask.unflatten(1, (grid[0], -1))
    assert (tubes == tubes[:, :1]).all()
    assert (tubes[:, 0].sum(dim=1) == int(ratio * grid[1] * grid[2])).all()


def test_the_papers_clip_keeps_160_of_1568_tokens() -> None:
    mask = masking(0.9)(Layout.dense((8, 14, 14), 2, CPU), Draws(0, 0, torch.arange(2)))
    assert (~mask).sum(dim=1).tolist() == [160, 160]
    assert not torch.equal(mask[0], mask[1])


def test_conformance() -> None:
    check_masking(masking(0.5), Layout.dense((2, 3, 4), 6, CPU))


def test_places_that_are_not_maskable_at_some_time_are_left() -> None:
    layout = Layout.dense((2, 2, 2), 1, CPU)
    layout.maskable[0, 5] = False
    mask = masking(0.9)(layout, Draws(0, 0, torch.arange(1)))
    assert mask[0].tolist() == [True, False, True, True] * 2


def test_a_sequence_has_no_tubes() -> None:
    with pytest.raises(ValueError, match="time and space"):
        masking(0.9)(Layout.dense((8,), 1, CPU), Draws(0, 0, torch.arange(1)))


@pytest.mark.parametrize("ratio", [-0.1, 1.0])
def test_ratio_is_a_part(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio"):
        TubeMasking.Config(ratio=ratio)
