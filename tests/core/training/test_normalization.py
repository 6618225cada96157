"""BatchNorm equals torch's own on one process, and its statistics wait for the step to be taken."""

import pytest
import torch
from torch import nn

from unlabeled import BatchNorm
from unlabeled.errors import UnlabeledError
from unlabeled.training import normalization
from unlabeled.training.normalization import check_normalization, settle


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


def test_no_rows_change_no_statistics() -> None:
    layer = BatchNorm(3)
    assert layer(torch.zeros(0, 3)).shape == (0, 3)
    settle([layer], taken=True)
    assert torch.equal(layer.running_var, torch.ones(3))
    assert int(layer.num_batches_tracked) == 0


class Learner(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"image": encoder})
        self.head = BatchNorm(3)


def test_an_encoder_that_normalises_is_refused_in_micro_batches() -> None:
    check_normalization(Learner(BatchNorm(3)), micro_batches=1)
    with pytest.raises(UnlabeledError) as error:
        check_normalization(Learner(nn.Sequential(BatchNorm(3), BatchNorm(3))), micro_batches=4)
    assert list(error.value.problems) == [
        "training.micro_batches: 4, but encoder image has batch normalisation, which would see one micro-batch alone; "
        "set training.micro_batches=1, use more processes, or choose an encoder without it"
    ]


def test_torchs_own_layer_is_refused_where_it_would_see_a_part_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(nn.BatchNorm1d(3))
    check_normalization(learner, micro_batches=1)
    with pytest.raises(
        UnlabeledError, match="encoders.image: torch's BatchNorm1d sees the rows of one process and micro"
    ):
        check_normalization(learner, micro_batches=2)
    monkeypatch.setattr(normalization, "process_count", lambda: 2)
    with pytest.raises(UnlabeledError, match=r"must use unlabeled.BatchNorm, or call unlabeled.BatchNorm.convert"):
        check_normalization(learner, micro_batches=1)


def test_a_layer_that_stays_in_evaluation_mode_is_none() -> None:
    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(False)
            return self

    check_normalization(Learner(Frozen(3)), micro_batches=2)


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
