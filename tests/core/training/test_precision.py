"""Half precision: float16 with its scale, bfloat16 in two passes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import unlabeled
from unlabeled.interfaces.objective import Context, Loss, Objective
from unlabeled.training.learner import Learner
from unlabeled.training.precision import LossScale, autocast
from unlabeled.training.step import StepEngine

Recipe = dict[str, Any]


class Small(Objective):
    """Parameters in `represent`, in `head`, and one in both."""

    gathers = ("values",)

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weights = {}
        self.inner, self.outer = nn.Linear(4, 3), nn.Linear(3, 3)
        self.both = nn.Parameter(torch.ones(3))

    def represent(self, views: Any, encoders: Any, context: Any) -> dict[str, torch.Tensor]:
        return {"values": self.inner(views[0].values) * self.both}

    def head(self, outputs: dict[str, torch.Tensor], context: Any) -> dict[str, torch.Tensor]:
        return {"values": self.outer(outputs["values"]) * self.both}

    def loss(self, own: Any, all: Any, context: Any) -> Loss:
        return Loss({"loss": own["values"].square().sum()})


class Rows:
    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.rows, self.ids = values, len(values), torch.arange(len(values))


def gradients(scale: float, precision: str = "float64", micro_batches: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    dtype = torch.float64 if precision == "float64" else torch.float32
    learner = Learner({}, {"small": Small()}, {"small": ()}).to(dtype)
    values = torch.randn(8, 4).to(dtype)
    device = torch.device("cpu")
    engine = StepEngine(learner, learner, {"small": 1.0}, autocast=lambda: autocast(precision, device))
    parts = [{"small": [Rows(part)]} for part in values.chunk(micro_batches)]
    engine.gradients(parts, Context(0, 1, 0, 0, ids=torch.arange(8)), [8], scale=scale)  # type: ignore[arg-type]
    return {
        name: parameter.grad.clone() for name, parameter in learner.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_the_scale_changes_no_gradient_also_not_those_of_head(micro_batches: int) -> None:
    plain, scaled = gradients(1.0, micro_batches=micro_batches), gradients(2.0**16, micro_batches=micro_batches)
    assert len(plain) == 5
    for name, gradient in plain.items():
        assert gradient.abs().max() > 0
        assert scaled[name].equal(gradient), "multiplied and divided by a power of two: the same bits"


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_the_second_pass_has_gradients_in_half_precision(precision: str) -> None:
    exact, half = gradients(1.0), gradients(1024.0, precision, micro_batches=2)
    assert half.keys() == exact.keys()
    for name, gradient in exact.items():
        assert half[name].dtype == torch.float32
        assert (half[name] - gradient).norm() < 0.02 * gradient.norm(), name


def test_small_gradients_vanish_in_float16_without_a_scale_and_not_with_it() -> None:
    value = torch.full((4,), 1.0, requires_grad=True)
    tiny = 1e-9
    for scale, kept in ((1.0, False), (2.0**16, True)):
        value.grad = None
        value.to(torch.float16).backward(torch.full((4,), tiny * scale).to(torch.float16))
        assert value.grad is not None
        assert bool((value.grad / scale).abs().max() > 0.9 * tiny) is kept


def test_the_scale_falls_to_one_and_grows_again() -> None:
    scale = LossScale(4.0, dynamic=True, patience=2)
    assert [scale.overflows(1.0, math.inf) for _ in range(3)] == [True, True, False]
    assert scale.value == 1.0
    assert not LossScale(4.0, dynamic=True).overflows(math.nan, math.nan), "a loss that is not finite has another cause"
    scale.count()
    assert scale.value == 1.0
    scale.count()
    assert (scale.value, scale.steps) == (2.0, 0)
    other = LossScale(patience=1)
    other.count()
    assert other.value == 1.0, "other precisions have none"


def test_overflowing_steps_are_skipped_do_not_stop_the_run_and_continue_exactly(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A scale that overflows at once, and so falls for many steps, more than may be bad in a row.
    monkeypatch.setattr(
        LossScale, "of", lambda precision: LossScale(2.0**30, dynamic=precision == "float16", patience=3)
    )
    rows_recipe["training"].update(precision="float16", max_bad_steps=2, steps=24, checkpoint_every=6)
    whole = unlabeled.train(rows_recipe, run=tmp_path / "whole", quiet=True)
    lines = whole.read("metrics.jsonl")
    scales = [line["loss_scale"] for line in lines]
    skipped = [not math.isfinite(line["gradient_norm"]) for line in lines]
    assert sum(skipped[:3]) == 3, "more than max_bad_steps"
    assert all(
        after == before / 2 for before, after, bad in zip([2.0**30, *scales], scales, skipped, strict=False) if bad
    )
    assert any(after == 2 * before for before, after in zip(scales, scales[1:], strict=False)), "it grew again"
    assert lines[0]["loss"] != lines[-1]["loss"]
    trainer = json.loads((whole.checkpoints / "step-00000024" / "trainer.json").read_text())
    assert trainer["loss_scale"]["value"] == scales[-1]
    assert trainer["bad_steps"] == 0
    # The same once more from the checkpoint before the last.
    (whole.checkpoints / "step-00000024").rename(tmp_path / "first")
    again = unlabeled.train(rows_recipe, run=tmp_path / "whole", quiet=True)
    assert again.read("metrics.jsonl") == lines
    for name in ("model", "optimizer"):
        file = f"{name}.safetensors"
        assert (again.checkpoints / "step-00000024" / file).read_bytes() == (tmp_path / "first" / file).read_bytes()
