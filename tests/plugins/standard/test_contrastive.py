"""InfoNCE, NT-Xent and the sigmoid loss against loops and whole matrices in float64."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from unlabeled_standard import products
from unlabeled_standard.contrastive import Contrast, info_nce, nt_xent, sigmoid_contrast, symmetric_info_nce

QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 3 rows and columns in float64, so that a handful of vectors need several."""
    monkeypatch.setattr(products, "TILE_BYTES", 8 * 3**2)


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


Losses = tuple[Contrast, ...]


def chunked(
    kind: str, first: Tensor, second: Tensor, rows: slice, scale: Tensor, bias: Tensor, present: Tensor
) -> Losses:
    """The losses of `rows` by the product's functions."""
    if kind == "one direction":
        places = torch.arange(len(first))[rows]
        contrast = info_nce(first[rows], second, places, 1 / scale, present)
        return (Contrast(contrast.loss * present[rows], contrast.correct & present[rows]),)
    if kind == "symmetric":
        return symmetric_info_nce(first, second, rows, 1 / scale, present)
    if kind == "two views":
        return (nt_xent(first, second, rows, 1 / scale, present),)
    return (sigmoid_contrast(first, second, rows, scale, bias, present),)


def plain(
    kind: str, first: Tensor, second: Tensor, rows: slice, scale: Tensor, bias: Tensor, present: Tensor
) -> Losses:
    """The same from the matrix of all samples."""
    if kind == "two views":
        views = functional.normalize(torch.cat([first, second]), dim=1)
        logits = (views @ views.T * scale).masked_fill(torch.eye(len(views), dtype=torch.bool), -math.inf)
        counterparts = torch.arange(len(views)).roll(len(first))
        contrast = plain_cross_entropy(logits, counterparts, present.repeat(2))
        return (Contrast(*(value.unflatten(0, (2, -1))[:, rows].flatten() for value in contrast)),)
    logits = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T * scale
    if kind == "sigmoid":
        signs = 2 * torch.eye(len(first), dtype=first.dtype) - 1
        each = -functional.logsigmoid(signs * (logits + bias)) * present * present.unsqueeze(1)
        contrasts = [Contrast(each.sum(dim=1), plain_cross_entropy(logits, torch.arange(len(first)), present).correct)]
    else:
        matrices = (logits, logits.T) if kind == "symmetric" else (logits,)
        contrasts = [plain_cross_entropy(matrix, torch.arange(len(first)), present) for matrix in matrices]
    return tuple(Contrast(contrast.loss[rows], contrast.correct[rows]) for contrast in contrasts)


def plain_cross_entropy(logits: Tensor, positives: Tensor, present: Tensor) -> Contrast:
    """Over the columns that are present, of the rows that are."""
    kept = torch.where(present | functional.one_hot(positives, len(logits)).bool(), logits, -math.inf)
    losses = functional.cross_entropy(kept, positives, reduction="none")
    return Contrast(torch.where(present, losses, 0.0), (kept.argmax(dim=1) == positives) & present)


KINDS = ["one direction", "symmetric", "two views", "sigmoid"]


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(st.data())
def test_losses_and_gradients_are_those_of_the_matrix(kind: str, data: st.DataObject) -> None:
    """For any own rows, blanks and scale; the gradients of both sides, the scale and the bias."""
    count = data.draw(st.integers(1, 9))
    start = data.draw(st.integers(0, count - 1))
    rows = slice(start, data.draw(st.integers(start + 1, count)))
    present = torch.tensor(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    scale = torch.tensor([data.draw(st.sampled_from([1.0, 14.0, 100.0]))], dtype=torch.float64)
    bias = torch.tensor([-10.0], dtype=torch.float64)
    inputs = [*projections(count, seed=data.draw(st.integers(0, 1000))), scale, bias]
    for value in inputs:
        value.requires_grad_()
    first, second, scale, bias = inputs
    found = chunked(kind, first, second, rows, scale, bias, present)
    expected = plain(kind, first, second, rows, scale, bias, present)
    weights = torch.linspace(1.0, 2.0, len(found[0].loss), dtype=torch.float64)
    sums = [sum((weights * contrast.loss).sum() for contrast in each) for each in (found, expected)]
    gradients = [
        torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)  # type: ignore[call-overload]
        for value in sums
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.loss, other.loss, rtol=1e-10, atol=1e-12)
        assert one.correct.tolist() == other.correct.tolist()
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_rows_add_to_the_gradient_of_all(kind: str) -> None:
    """As processes do: each has its own rows and the gathered ones of all."""
    first, second = (value.requires_grad_() for value in projections(7))
    scale, bias = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (14.0, -10.0))
    inputs = [first, second, scale] + [bias] * (kind == "sigmoid")
    present = torch.tensor([True, True, False, True, True, True, True])

    def gradients(*parts: slice) -> list[Tensor]:
        losses = [chunked(kind, first, second, part, scale, bias, present) for part in parts]
        sums = torch.stack([contrast.loss.sum() for contrasts in losses for contrast in contrasts])
        return [sums.sum().detach(), *torch.autograd.grad(sums.sum(), inputs)]

    whole = gradients(slice(0, 7))
    for parts in [(slice(0, 3), slice(3, 7)), (slice(0, 1), slice(1, 1), slice(1, 2), slice(2, 7))]:
        for one, other in zip(gradients(*parts), whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 100.0, 1000.0])
def test_single_precision_is_stable(kind: str, scale: float) -> None:
    """Also where exp(scale) is no number; half-precision inputs are compared in single precision."""
    bias, present = torch.tensor([-10.0]), torch.ones(9, dtype=torch.bool)
    single = [value.float() for value in projections(9)]
    results = []
    for dtype, wide in (
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
    ):
        first, second = (value.bfloat16().to(dtype).requires_grad_() for value in single)
        factor = torch.tensor([scale], dtype=wide, requires_grad=True)
        contrasts = chunked(kind, first, second, slice(0, 9), factor, bias.to(wide), present)
        loss = sum(contrast.loss.sum() for contrast in contrasts)
        results.append((loss, *torch.autograd.grad(loss, (first, second, factor))))
        assert loss.dtype == wide
    exact = results.pop()
    for result, tolerance in zip(results, (1e-4, 1e-2), strict=True):
        for value, expected in zip(result, exact, strict=True):
            assert torch.isfinite(value).all()
            error = (value.double() - expected).norm()
            assert error <= tolerance * expected.norm() + 1e-6


def test_a_small_loss_keeps_its_digits() -> None:
    """In float32 exp(-32) beside 1 is lost, so log-sum-exp minus positive would be zero, and its gradient noise."""
    anchors, candidates = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    loss = info_nce(anchors, candidates, torch.tensor([0]), 0.4 / 32).loss
    torch.testing.assert_close(loss, torch.tensor([math.exp(-32)]), rtol=1e-4, atol=0)


def test_sigmoid_is_algorithm_1() -> None:
    first, second = projections(5)
    losses = []
    for i in range(5):
        for j in range(5):
            sign = 1 if i == j else -1
            losses.append(math.log1p(math.exp(-sign * (10 * cosine(first[i], second[j]) - 3))))
    bias = torch.tensor([-3.0], dtype=torch.float64)
    contrast = sigmoid_contrast(first, second, slice(0, 5), 10.0, bias, torch.ones(5, dtype=torch.bool))
    assert contrast.loss.sum().item() == pytest.approx(sum(losses), rel=1e-12)
