"""Steps that are not finite change nothing, spikes and skipped steps are told, and all of it is written down."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import unlabeled
from unlabeled.training.safety.guards import incident, not_finite, taken
from unlabeled.training.safety.spikes import LossStatistics

Recipe = dict[str, Any]


@pytest.fixture
def stateful(rows_plugin: Path, rows_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The small recipe with an objective that has batch normalisation, a teacher and a queue; see `poison`."""
    import unlabeled_rows

    class Stateful(unlabeled_rows.AlignUniform):  # type: ignore[misc]
        def __init__(self, config: Any, encoders: Any, facts: Any) -> None:
            super().__init__(config, encoders, facts)
            self.norm = unlabeled.BatchNorm(64)
            self.register_buffer("teacher", torch.zeros(64))
            self.register_buffer("queue", torch.zeros(8, 64))

        def head(self, outputs: Any, context: Any) -> Any:
            return {key: self.norm(value) for key, value in outputs.items()}

        def after_step(self, all: Any, statistics: Any, encoders: Any, context: Any) -> None:
            self.teacher.lerp_(all["first"].mean(0), 0.1)
            self.queue.copy_(torch.cat([all["first"], self.queue])[:8])

    monkeypatch.setattr(unlabeled_rows, "AlignUniform", Stateful)
    rows_recipe["training"].update(steps=6, checkpoint_every=1, keep_checkpoints=6, clip_norm=1.0)
    return rows_recipe


def poison(monkeypatch: pytest.MonkeyPatch, where: str, *steps: int) -> None:
    """In these steps, counted from 1, the loss is NaN, or it is finite and the gradient is not."""
    import unlabeled_rows

    loss = unlabeled_rows.AlignUniform.loss

    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            return gradients[0] * math.inf

    def poisoned(self: Any, own: Any, all: Any, context: Any) -> Any:
        found = loss(self, own, all, context)
        if context.step + 1 in steps:
            term = found.sums["align"]
            found.sums["align"] = term * math.nan if where == "loss" else Overflow.apply(term)
        return found

    monkeypatch.setattr(unlabeled_rows.AlignUniform, "loss", poisoned)


def saved(run: unlabeled.Run, step: int) -> dict[str, torch.Tensor]:
    folder = run.checkpoints / f"step-{step:08d}"
    optimizer = load_file(folder / "optimizer.safetensors")
    return {**load_file(folder / "model.safetensors"), **{f"optimizer {key}": item for key, item in optimizer.items()}}


def changed(run: unlabeled.Run, step: int) -> set[str]:
    """What of weights, buffers and optimizer state a step changed."""
    before, after = saved(run, step - 1), saved(run, step)
    assert before.keys() == after.keys()
    return {name for name in before if not before[name].equal(after[name])}


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_written_down(
    stateful: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    poison(monkeypatch, where, 3)
    run = unlabeled.train(stateful, run=tmp_path / "run")
    assert changed(run, 3) == set()
    prefix = "objectives.align-uniform"
    state = {f"{prefix}.{name}" for name in ("teacher", "queue", "norm.running_mean", "norm.num_batches_tracked")}
    assert changed(run, 2) >= state, "all of it changes in a sound step"
    assert changed(run, 4) >= state
    assert any(name.startswith("optimizer") for name in changed(run, 4))
    (line,) = run.read("incidents.jsonl")
    assert (line["step"], line["kind"]) == (3, "not finite")
    assert (line["loss"] == "nan") == (where == "loss")
    assert set(line["terms"]) == {"align-uniform/align", "align-uniform/uniform"}
    assert line["gradient_norm"] in ("nan", "inf")
    assert line["parameters"]
    assert line["parameters"][0].startswith("encoders.row.layers")
    assert len(line["parameters"]) <= 5
    assert len(set(line["ids"])) == 32
    assert json.loads((run.checkpoints / "step-00000006" / "trainer.json").read_text())["bad_steps"] == 1
    assert "step 3: the loss" in capsys.readouterr().err


@pytest.mark.slow
def test_all_processes_leave_out_the_same_step(rows_recipe: Recipe, rows_plugin: Path, tmp_path: Path) -> None:
    """Rows of the second process are NaN in step 3; the first one, which writes, knows of all."""
    path = tmp_path / "rows.yaml"
    path.write_text(json.dumps(rows_recipe))
    script = [str(Path(__file__).with_name("faulty.py")), "nan", "3"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script]
    line = [*launch, "train", str(path), "training.checkpoint_every=1", "training.keep_checkpoints=12"]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    subprocess.run([*line, "--run-folder", str(tmp_path / "run")], env=environment, capture_output=True, check=True)
    run = unlabeled.Run(tmp_path / "run")
    (incident_line,) = run.read("incidents.jsonl")
    assert (incident_line["step"], len(set(incident_line["ids"]))) == (3, 32)
    assert changed(run, 3) == set()
    assert changed(run, 4)


def test_several_in_a_row_stop_the_run_and_name_the_file(
    stateful: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "loss", 2, 4, 5)
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(stateful, ["training.max_bad_steps=2"], run=tmp_path / "run", quiet=True)
    (problem,) = error.value.problems
    assert "2 steps in a row were not finite (the last: step 5)" in problem
    assert str(tmp_path / "run" / "incidents.jsonl") in problem
    assert [line["step"] for line in unlabeled.Run(tmp_path / "run").read("incidents.jsonl")] == [2, 4, 5]


def test_incidents_are_cut_with_the_other_files(
    stateful: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stateful["training"]["checkpoint_every"] = 4
    with monkeypatch.context() as patch:
        poison(patch, "loss", 2, 5, 6)
        with pytest.raises(unlabeled.UnlabeledError):
            unlabeled.train(stateful, ["training.max_bad_steps=2"], run=tmp_path / "run", quiet=True)
    run = unlabeled.train(stateful, run=tmp_path / "run", quiet=True)
    assert [line["step"] for line in run.read("incidents.jsonl")] == [2], "max_bad_steps may change, and 5 is sound now"


def test_a_skipped_step_counts_and_changes_nothing(
    stateful: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = unlabeled.train(stateful, ["training.skip_steps=[[2, 3], [5, 5]]"], run=tmp_path / "run")
    lines = run.read("metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.get("skipped", False) for line in lines] == [False, True, True, False, True, False]
    assert [sorted(line) for line in lines if "skipped" in line] == [["skipped", "step"]] * 3
    assert [bool(changed(run, step)) for step in range(2, 7)] == [False, False, True, False, True]
    assert (run.folder / "report.html").is_file()


def test_steps_may_be_skipped_on_continuation(
    stateful: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stateful["training"]["checkpoint_every"] = 3
    skip = ["training.skip_steps=[[4, 5]]"]
    whole = unlabeled.train(stateful, skip, run=tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        poison(patch, "loss", 4, 5)
        with pytest.raises(unlabeled.UnlabeledError):
            unlabeled.train(stateful, ["training.max_bad_steps=2"], run=tmp_path / "run", quiet=True)
        run = unlabeled.train(stateful, skip, run=tmp_path / "run", quiet=True)
    assert all(value.equal(saved(run, 6)[name]) for name, value in saved(whole, 6).items())
    assert run.read("metrics.jsonl") == whole.read("metrics.jsonl")
    capsys.readouterr()
    unlabeled.train(stateful, ["training.skip_steps=[[2, 2]]"], run=tmp_path / "run")
    assert "training.skip_steps: [2, 2] begins before step 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("skip", "problem"),
    [
        ("[[3, 2]]", "training: skip_steps must be [[first, last], ...], ascending and without overlap"),
        ("[[3, 4], [4, 5]]", "training: skip_steps must be [[first, last], ...], ascending and without overlap"),
        ("[[0, 4]]", "training.skip_steps.0.0: input should be greater than 0, not 0"),
        ("[[2, 7]]", "training.skip_steps: [2, 7] lies after the last step, 6; give steps up to it"),
    ],
)
def test_wrong_steps_to_skip_are_told(stateful: Recipe, tmp_path: Path, skip: str, problem: str) -> None:
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(stateful, [f"training.skip_steps={skip}"], run=tmp_path / "run", quiet=True)
    assert error.value.problems == (problem,)


def test_running_mean_and_deviation_are_those_of_the_first_steps_and_then_exponential() -> None:
    losses = np.random.default_rng(0).normal(3.0, 0.2, 40)
    statistics = LossStatistics()
    for number, loss in enumerate(losses, start=1):
        assert statistics.observe(float(loss), window=30, threshold=6.0) is None
        if 2.0 / 31 <= 1.0 / number:
            assert statistics.mean == pytest.approx(losses[:number].mean())
            assert statistics.variance == pytest.approx(losses[:number].var())
    weights = np.concatenate([np.full(15, 1 / 15), np.full(25, 2 / 31)])
    for number in range(16, 41):
        weights[: number - 1] *= 1 - 2 / 31
    assert weights.sum() == pytest.approx(1.0)
    mean = (weights * losses).sum()
    assert statistics.mean == pytest.approx(mean)
    assert statistics.variance == pytest.approx((weights * (losses - mean) ** 2).sum())


def test_a_spike_is_found_and_a_new_level_becomes_normal() -> None:
    generator = np.random.default_rng(1)
    falling = 5.0 * np.exp(-np.arange(400) / 80) + 1.0 + generator.normal(0, 0.05, 400)

    def spikes(losses: np.ndarray) -> list[int]:
        statistics = LossStatistics()
        return [step for step, loss in enumerate(losses) if statistics.observe(float(loss), 100, 6.0) is not None]

    assert spikes(falling) == []
    planted = falling.copy()
    planted[[50, 250, 252]] = 9.0  # the first is before there is anything to compare with
    assert spikes(planted) == [250, 252]
    level = generator.normal(2.0, 0.05, 400)
    level[200:] += 4.0
    assert 1 <= len(spikes(level)) <= 10, "a new level is told for a few steps only"
    assert spikes(np.full(400, 6.25) + generator.normal(0, 1e-7, 400)) == [], "rounding of a constant is no spike"


def test_a_spike_is_reported_with_its_samples_also_after_a_continuation(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import unlabeled_rows

    loss = unlabeled_rows.AlignUniform.loss

    def spiking(self: Any, own: Any, all: Any, context: Any) -> Any:
        found = loss(self, own, all, context)
        found.sums["align"] = found.sums["align"] + (300.0 if context.step == 9 else 0.0)
        return found

    monkeypatch.setattr(unlabeled_rows.AlignUniform, "loss", spiking)
    rows_recipe["training"]["spike_window"] = 8
    whole = unlabeled.train(rows_recipe, run=tmp_path / "whole")
    assert "step 10: the loss rose to" in capsys.readouterr().err
    (line,) = whole.read("incidents.jsonl")
    assert (line["step"], line["kind"], line["threshold"]) == (10, "spike", 6.0)
    assert line["loss"] > line["mean"] + 6.0 * line["deviation"]
    assert len(line["ids"]) == 32
    for _ in range(12):  # a start for each step: the detector's state comes from the checkpoint
        with pytest.raises(unlabeled.Stopped):
            unlabeled.train(rows_recipe, ["training.max_time=0"], run=tmp_path / "run", quiet=True)
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert run.read("incidents.jsonl") == whole.read("incidents.jsonl")


def test_a_step_is_taken_where_loss_and_gradient_are_finite() -> None:
    assert taken(1.0, 2.0)
    assert not any(taken(*pair) for pair in [(math.nan, 1.0), (1.0, math.inf), (-math.inf, 1.0)])


def test_the_first_parameters_that_are_not_finite_are_named() -> None:
    module = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(8)))
    for number, parameter in enumerate(module.parameters()):
        parameter.grad = torch.full_like(parameter, math.nan if number % 2 else 1.0)
    module[0].bias.grad = None
    assert not_finite(module) == ["1.bias", "2.bias", "3.bias", "4.bias", "5.bias"]


def test_a_line_is_json_that_every_reader_takes() -> None:
    line = incident("spike", 3, torch.tensor([5, 6]), loss=math.nan, terms={"a": math.inf, "b": 1.0})
    text = json.dumps(line, allow_nan=False)
    assert json.loads(text) == {
        "step": 3, "kind": "spike", "loss": "nan", "terms": {"a": "inf", "b": 1.0}, "ids": [5, 6]
    }  # fmt: skip
