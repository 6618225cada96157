"""BatchNorm equals torch's own on one process, and its statistics wait for the step to be taken."""

import pytest
import torch
from torch import nn

from unlabeled import BatchNorm
from unlabeled.training.normalization import settle


@pytest.mark.parametrize("shape", [(16, 5), (8, 5, 7), (4, 5, 6, 3)])
@pytest.mark.parametrize("affine", [True, False])
def test_equals_torch(shape: tuple[int, ...], affine: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 2
    reference_type = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    ours, reference = BatchNorm(5, affine=affine).double(), reference_type(5, affine=affine).double()
    first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
    a, b = ours(first), reference(second)
    torch.testing.assert_close(a, b)
    weights = torch.randn(shape, generator=generator, dtype=torch.float64)
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    torch.testing.assert_close(first.grad, second.grad)
    settle([ours], taken=True)
    torch.testing.assert_close(ours.running_mean, reference.running_mean)
    torch.testing.assert_close(ours.running_var, reference.running_var)
    torch.testing.assert_close(ours.eval()(values), reference.eval()(values))


def test_only_a_taken_step_with_gradient_counts() -> None:
    layer = BatchNorm(3)
    values = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) + 5
    with torch.no_grad():
        layer(values)
    settle([layer], taken=True)
    assert torch.equal(layer.running_mean, torch.zeros(3)), "a pass without gradient is a rehearsal"
    layer(values)
    settle([layer], taken=False)
    assert torch.equal(layer.running_mean, torch.zeros(3)), "a skipped step changes nothing"
    layer(values)
    settle([layer], taken=True)
    torch.testing.assert_close(layer.running_mean, values.mean(0) * 0.1)
