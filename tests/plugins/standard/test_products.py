"""Reductions of products, tile by tile, against the whole matrix in float64."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unlabeled_standard import products
from unlabeled_standard.products import Reduced, log_sum_exp, log_sum_exp_both, softplus_sum

QUICK = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
Reduce = Callable[[Tensor, Tensor, Tensor], Reduced]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3 rows and columns in float64, so that a handful of vectors have inner and cut edges."""
    monkeypatch.setattr(products, "TILE_BYTES", 8 * 3**2)


def matrix(queries: Tensor, candidates: Tensor, excluded: Tensor) -> Tensor:
    """(A, C) products, -inf where excluded."""
    found = queries @ candidates.T
    columns = torch.arange(len(candidates))
    for places in excluded.T:
        found = found.masked_fill(places.unsqueeze(1) == columns, -math.inf)
    return found


REDUCTIONS: dict[str, Reduce] = {
    "rows": log_sum_exp,
    "rows of both": lambda *arguments: log_sum_exp_both(*arguments)[0],
    "columns": lambda *arguments: log_sum_exp_both(*arguments)[1],
    "softplus": softplus_sum,
}


def vectors(queries: int, candidates: int, excluded: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two sets of vectors of width 3 that require gradients, and places to leave out, some of them -1."""
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(queries, 3, generator=generator, dtype=torch.float64)
    other = torch.randn(candidates, 3, generator=generator, dtype=torch.float64)
    places = torch.randint(-1, candidates, (queries, excluded), generator=generator)
    return one.requires_grad_(), other.requires_grad_(), places


@pytest.mark.parametrize("name", REDUCTIONS)
@QUICK
@given(st.integers(1, 11), st.integers(1, 11), st.integers(0, 2), st.integers(0, 1000))
def test_tiles_are_the_matrix(name: str, queries: int, candidates: int, excluded: int, seed: int) -> None:
    one, other, places = vectors(queries, candidates, excluded, seed)
    whole = matrix(one, other, places)
    whole = whole.T if name == "columns" else whole
    expected = torch.log1p(whole.exp()).sum(dim=1) if name == "softplus" else whole.logsumexp(dim=1)
    found = REDUCTIONS[name](one, other, places)
    assert torch.equal(found.value == -math.inf, expected == -math.inf)
    there = expected > -math.inf
    torch.testing.assert_close(found.value[there], expected[there], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.largest, whole.detach().amax(dim=1), rtol=1e-12, atol=1e-12)
    assert not found.largest.requires_grad

    # Each with a weight of its own, as a loss may give it.
    weights = torch.linspace(-1.0, 2.0, len(expected), dtype=torch.float64)
    gradients = torch.autograd.grad((found.value * weights)[there].sum(), (one, other))
    slow = torch.autograd.grad((expected * weights)[there].sum(), (one, other))
    for fast, exact in zip(gradients, slow, strict=True):
        torch.testing.assert_close(fast, exact.nan_to_num(), rtol=1e-10, atol=1e-12)


def test_both_directions_add_their_gradients() -> None:
    one, other, places = vectors(7, 6, 1, 0)
    rows, columns = log_sum_exp_both(one, other, places)
    gradients = torch.autograd.grad(rows.value.sum() + 3 * columns.value.sum(), (one, other))
    whole = matrix(one, other, places)
    expected = torch.autograd.grad(whole.logsumexp(1).sum() + 3 * whole.logsumexp(0).sum(), (one, other))
    for fast, exact in zip(gradients, expected, strict=True):
        torch.testing.assert_close(fast, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    one, other, places = vectors(5, 4, 1, 1)
    assert torch.autograd.gradcheck(lambda left, right: REDUCTIONS[name](left, right, places).value, (one, other))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(("queries", "candidates"), [(0, 0), (0, 3), (3, 0)])
def test_of_nothing(name: str, queries: int, candidates: int) -> None:
    one = torch.ones(queries, 3, requires_grad=True)
    other = torch.ones(candidates, 3, requires_grad=True)
    found = REDUCTIONS[name](one, other, torch.full((queries, 1), -1))
    assert len(found.value) == (candidates if name == "columns" else queries)
    assert (found.value == (0.0 if name == "softplus" else -math.inf)).all()
    assert (found.largest == -math.inf).all()
    found.value.sum().backward()
    for vector in (one, other):
        assert vector.grad is not None and not vector.grad.any()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_large_products_neither_overflow_nor_vanish(name: str) -> None:
    """Of products around 1000 and -1000 no exponential is a number in float32."""
    one = torch.tensor([[1000.0], [-1000.0], [-998.0]], requires_grad=True)
    other = torch.tensor([[1.0], [1.0005]], requires_grad=True)
    found = REDUCTIONS[name](one, other, torch.full((3, 1), -1))
    whole = matrix(one.detach().double(), other.detach().double(), torch.full((3, 1), -1))
    stable = torch.logaddexp(whole, torch.zeros_like(whole)).sum(dim=1)
    expected = stable if name == "softplus" else whole.logsumexp(0 if name == "columns" else 1)
    torch.testing.assert_close(found.value.double(), expected, rtol=1e-6, atol=1e-6)
    found.value.sum().backward()
    for vector in (one, other):
        assert vector.grad is not None and torch.isfinite(vector.grad).all()


def test_no_tensor_has_the_size_of_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither forward nor backward makes one larger than a tile or the vectors."""
    monkeypatch.setattr(products, "TILE_BYTES", 8 * 15**2)
    one, other, places = vectors(100, 100, 1, 0)
    with Sizes() as made:
        rows, columns = log_sum_exp_both(one, other, places)
        forward = len(made.sizes)
        value = rows.value.sum() + columns.value.sum() + softplus_sum(one, other, places).value.sum()
        torch.autograd.grad(value, (one, other))
    assert len(made.sizes) > 2 * forward > 100
    assert max(made.sizes) == 100 * 3


class Sizes(TorchDispatchMode):
    """Notes the number of elements of every tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.sizes += [value.numel() for value in tree_leaves(result) if isinstance(value, Tensor)]
        return result
