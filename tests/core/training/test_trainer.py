"""The trainer's own promises: guards, groups, precision, logs, evaluation on the way."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import unlabeled
from unlabeled.recipes.schema import TrainingConfig
from unlabeled.training.monitors import effective_rank, feature_spread
from unlabeled.training.optimizers import parameter_groups
from unlabeled.training.safety.collapse import find_collapse
from unlabeled.training.schedule import schedule_factor

Recipe = dict[str, Any]


def test_bfloat16_trains_and_keeps_float32_weights(rows_recipe: Recipe, tmp_path: Path) -> None:
    rows_recipe["training"]["precision"] = "bfloat16"
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    losses = [line["loss"] for line in run.read("metrics.jsonl")]
    assert all(map(math.isfinite, losses))
    encoder = unlabeled.load(run.folder)["row"].encoder
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_metrics_hold_no_times_and_timings_do(rows_recipe: Recipe, tmp_path: Path) -> None:
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    (first, *_) = run.read("metrics.jsonl")
    assert {"step", "loss", "learning_rate", "gradient_norm"} <= first.keys()
    assert not any("seconds" in key for key in first)
    (timing, *_) = run.read("timings.jsonl")
    assert timing.keys() == {"step", "seconds_per_step", "samples_per_second"}


def test_evaluation_during_the_run_changes_nothing(rows_recipe: Recipe, tmp_path: Path) -> None:
    plain = unlabeled.train(rows_recipe, run=tmp_path / "plain", quiet=True)
    rows_recipe["evaluation"] = [{"id": "standard/knn"}]
    rows_recipe["training"]["evaluate_every"] = 4
    watched = unlabeled.train(rows_recipe, run=tmp_path / "watched", quiet=True)
    assert [line["step"] for line in watched.read("evaluations.jsonl")] == [4, 8, 12]
    assert plain.read("metrics.jsonl") == watched.read("metrics.jsonl")


def test_the_last_smaller_batch_is_used_when_asked_for(rows_recipe: Recipe, tmp_path: Path) -> None:
    rows_recipe["training"].update(steps=None, epochs=1, batch_size=100, drop_last=False, micro_batches=3)
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    # 300 rows less the tenth held out: two whole batches and a smaller one.
    assert len(run.read("metrics.jsonl")) == 3


def test_a_loss_that_is_not_finite_changes_nothing_and_stops_in_the_end(rows_recipe: Recipe, tmp_path: Path) -> None:
    rows_recipe["training"].update(learning_rate=1e30, max_bad_steps=3, steps=50)
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    (problem,) = error.value.problems
    assert "3 steps in a row were not finite" in problem
    assert "lower training.learning_rate" in problem


def test_weight_decay_spares_biases_norms_positions_and_tokens() -> None:
    module = nn.Module()
    module.linear = nn.Linear(4, 3)
    module.norm = nn.LayerNorm(3)
    module.position_embeddings = nn.Parameter(torch.zeros(1, 5, 3))
    module.cls_token = nn.Parameter(torch.zeros(1, 2, 3))
    module.log_scale = nn.Parameter(torch.zeros(1))
    groups = parameter_groups(module, {"linear": {"scale": 0.1, "constant": True}}, weight_decay=0.5)
    settings = {name: group for group in groups for name in group["names"]}
    assert settings["linear.weight"]["weight_decay"] == 0.5
    assert settings["linear.weight"]["scale"] == 0.1
    assert settings["linear.weight"]["constant"]
    for name in ("linear.bias", "norm.weight", "norm.bias", "position_embeddings", "cls_token", "log_scale"):
        assert settings[name]["weight_decay"] == 0.0, name


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.0), ("linear", 0.0), ("constant", 1.0)])
def test_the_learning_rate_is_a_function_of_the_step(schedule: str, end: float) -> None:
    config = TrainingConfig(steps=100, warmup_steps=10, schedule=schedule)  # type: ignore[arg-type]
    factors = [schedule_factor(step, 100, config) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(end)
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))


def test_collapse_is_measured_and_told() -> None:
    generator = torch.Generator().manual_seed(0)
    healthy = torch.randn(256, 32, generator=generator)
    collapsed = torch.ones(256, 32) + 1e-3 * healthy
    assert feature_spread(healthy) == pytest.approx(1.0, abs=0.02)
    assert feature_spread(collapsed) < 0.01
    assert effective_rank(healthy) > 25
    assert effective_rank(torch.outer(healthy[:, 0], healthy[0])) < 1.1
    (sign,) = find_collapse({"simclr/first/spread": feature_spread(collapsed), "simclr/second/spread": 0.9})
    assert "simclr/first" in str(sign)
    assert "threshold 0.05" in str(sign)


def test_dry_run_says_what_would_happen_and_leaves_nothing(rows_recipe: Recipe, tmp_path: Path, command: Any) -> None:
    (tmp_path / "rows.yaml").write_text(json.dumps(rows_recipe))
    found = command("train", str(tmp_path / "rows.yaml"), "--dry-run", "--run", str(tmp_path / "run"))
    assert found.returncode == 0, found.stderr
    for part in (
        "id: rows/row",
        "# parameters",
        "row: 12,480",
        "each of 12 steps",
        "rows/corrupt",
        "gathers first, second",
    ):
        assert part in found.stdout
    assert not (tmp_path / "run").exists()


def test_a_survey_sees_the_whole_training_set_before_its_epochs(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unlabeled_rows

    seen: list[tuple[int, int, tuple[int, ...]]] = []

    def survey(self: Any, features: Any, context: Any) -> None:
        seen.append((context.step, context.epoch, tuple(features["row"].shape)))

    monkeypatch.setattr(unlabeled_rows.AlignUniform, "survey_every", 2)
    monkeypatch.setattr(unlabeled_rows.AlignUniform, "survey", survey)
    rows_recipe["training"].update(steps=20, batch_size=64)
    unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    rows = seen[0][2][0]
    per_epoch = rows // 64
    assert [(step, epoch) for step, epoch, _ in seen] == [
        (epoch * per_epoch, epoch) for epoch in range(0, 20 // per_epoch, 2)
    ]
    assert seen[0][2] == (rows, 64)


def test_hooks_are_called_in_the_order_of_a_run(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unlabeled_rows

    called: list[str] = []

    def hook(name: str, arguments: str) -> Any:
        scope: dict[str, Any] = {"called": called}
        exec(f"def {name}({arguments}):\n    called.append({name!r})", scope)
        return unlabeled.hookimpl(scope[name])

    for name, arguments in (
        ("recipe_loaded", "recipe"),
        ("run_started", "run, recipe, step"),
        ("step_ended", "run, step, metrics"),
        ("checkpoint_written", "checkpoint"),
        ("run_ended", "metrics"),
    ):
        monkeypatch.setattr(unlabeled_rows, name, hook(name, arguments), raising=False)
    rows_recipe["training"].update(steps=2, checkpoint_every=1)
    unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    # Written in the background, a checkpoint is told after its own step and before the next one is saved.
    ends = ["step_ended", "step_ended", "checkpoint_written", "checkpoint_written"]
    assert called == ["recipe_loaded", "run_started", *ends, "run_ended"]
