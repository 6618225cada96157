"""InfoNCE and NT-Xent against loops in float64."""

import math

import pytest
import torch
from torch import Tensor

from unlabeled_standard.contrastive import info_nce, nt_xent


def cosine(left: Tensor, right: Tensor) -> float:
    return float(left @ right / (left.norm() * right.norm()))


def slow_nt_xent(first: Tensor, second: Tensor, temperature: float, present: list[bool]) -> list[float]:
    """Equation 1 of Chen et al. (2020), view by view; blanks are no candidates, and their own loss is left at zero."""
    count = len(first)
    views = [*first, *second]
    losses = []
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        if not present[i % count]:
            losses.append(0.0)
            continue
        others = [k for k in range(2 * count) if k != i and present[k % count]]
        denominator = sum(math.exp(cosine(views[i], views[k]) / temperature) for k in others)
        losses.append(-math.log(math.exp(cosine(views[i], views[j]) / temperature) / denominator))
    return losses


def projections(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, rows, 5, generator=generator, dtype=torch.float64)
    return first, first + 0.5 * second


@pytest.mark.parametrize("present", [[True] * 6, [True, False, True, True, False, True], [True] + [False] * 5])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_nt_xent_is_equation_1(present: list[bool], temperature: float) -> None:
    first, second = projections(6)
    contrast = nt_xent(first, second, slice(0, 6), temperature, torch.tensor(present))
    scored = torch.tensor(present * 2)
    expected = torch.tensor(slow_nt_xent(first, second, temperature, present), dtype=torch.float64)
    assert torch.allclose(torch.where(scored, contrast.loss, 0.0), expected, rtol=1e-12, atol=1e-12)


def test_nt_xent_of_some_rows_is_a_part_of_the_whole() -> None:
    first, second = projections(6)
    present = torch.ones(6, dtype=torch.bool)
    whole = nt_xent(first, second, slice(0, 6), 0.1, present).loss
    part = nt_xent(first, second, slice(2, 5), 0.1, present).loss
    assert torch.allclose(part, torch.cat([whole[2:5], whole[8:11]]), rtol=1e-12)


def test_gradients_are_finite_where_only_blanks_are_left() -> None:
    first, second = (value.requires_grad_() for value in projections(3))
    nt_xent(first, second, slice(0, 3), 0.1, torch.zeros(3, dtype=torch.bool)).loss.sum().backward()
    assert first.grad is not None
    assert torch.isfinite(first.grad).all()


def test_info_nce_is_cross_entropy() -> None:
    anchors, candidates = projections(7)
    expected = []
    for i in range(4):
        exponents = [math.exp(cosine(anchors[i], candidate) / 0.2) for candidate in candidates]
        expected.append(-math.log(exponents[i + 2] / sum(exponents)))
    contrast = info_nce(anchors[:4], candidates, torch.arange(2, 6), torch.tensor(0.2, dtype=torch.float64))
    assert contrast.loss.tolist() == pytest.approx(expected, rel=1e-12)


def test_correct_means_nearest_among_the_allowed() -> None:
    anchors = torch.eye(3)
    candidates = torch.tensor([[0.1, 1.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    positives = torch.tensor([0, 1, 2])
    assert info_nce(anchors, candidates, positives, 0.1).correct.tolist() == [False, False, True]
    allowed = torch.tensor([True, False, True])
    assert info_nce(anchors, candidates, positives, 0.1, allowed).correct.tolist() == [True, False, True]
