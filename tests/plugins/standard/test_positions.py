"""Sine-cosine positions on grids of any dimension."""

import math

import pytest
import torch

from unlabeled_standard.positions import sincos_positions


def test_one_axis_is_vaswanis() -> None:
    positions = sincos_positions((5,), 8)
    for place in range(5):
        for k in range(4):
            angle = place * 10000 ** (-2 * k / 8)
            assert float(positions[place, k]) == pytest.approx(math.sin(angle), abs=1e-6)
            assert float(positions[place, 4 + k]) == pytest.approx(math.cos(angle), abs=1e-6)


def test_axes_have_their_own_share() -> None:
    positions = sincos_positions((3, 4), 10).reshape(3, 4, 10)
    assert torch.equal(positions[..., :4], sincos_positions((3,), 4)[:, None].expand(3, 4, 4))
    assert torch.equal(positions[..., 4:8], sincos_positions((4,), 4)[None].expand(3, 4, 4))
    assert not positions[..., 8:].any()


@pytest.mark.parametrize("grid", [(64,), (8, 8), (4, 6, 6)])
def test_places_are_told_apart(grid: tuple[int, ...]) -> None:
    positions = sincos_positions(grid, 24)
    assert float((torch.cdist(positions, positions) + torch.eye(len(positions)) * 9).min()) > 0.1


def test_too_small_a_width_is_told() -> None:
    with pytest.raises(ValueError, match="width 5 is too small for positions on 3 axes; use at least 6"):
        sincos_positions((2, 2, 2), 5)
