"""The number of processes and micro-batches changes no loss: real gloo processes against one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import unlabeled

SMALL = [
    "data.options={items: {train: 96, validation: 16, test: 16}}",
    "data.workers=0",
    "training.steps=20",
    "training.batch_size=16",
    "training.log_every=1",
    "training.checkpoint_every=20",
    "training.precision=float64",  # where only a wrong sum, and no rounding, can differ by 1e-9
    "evaluation=[]",
]
RECIPES: dict[str, list[str]] = {
    "clip": ["modalities.image.size=32"],
    "image-simclr": ["modalities.image.size=32"],
    "text-mlm": ["modalities.text.vocabulary_size=256"],
}
# Not image-simclr: rounding decides which ReLUs of its ResNet open, and the steps after amplify that.
IN_FLOAT32 = ("clip", "text-mlm")


@pytest.fixture(scope="module")
def losses(
    rows_plugin: Path, rows_table: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, list[float]]]:
    """Way of running -> recipe -> the loss of each of 20 steps."""
    root = tmp_path_factory.mktemp("runs")
    rows = {
        "modalities": {"row": {"id": "rows/row", "width": 32}},
        "data": {"source": str(rows_table), "workers": 0},
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {
            "steps": 20,
            "batch_size": 31,
            "learning_rate": 1e-3,
            "log_every": 1,
            "drop_last": False,
            "precision": "float64",
        },
    }
    jobs: dict[str, tuple[Any, list[str]]] = {name: (name, [*SMALL, *extra]) for name, extra in RECIPES.items()}
    jobs["rows"] = (rows, [])
    for name in IN_FLOAT32:
        jobs[f"{name} in float32"] = (name, [*SMALL, *RECIPES[name], "training.precision=float32"])
    found: dict[str, dict[str, list[float]]] = {"one": {}, "two": {}, "micro": {}}
    for name, (recipe, overrides) in jobs.items():
        unlabeled.train(recipe, overrides, run=root / f"{name}-one", quiet=True)
        found["one"][name] = read_losses(root / f"{name}-one")
    for name in ("rows", "text-mlm"):
        recipe, overrides = jobs[name]
        unlabeled.train(recipe, [*overrides, "training.micro_batches=3"], run=root / f"{name}-micro", quiet=True)
        found["micro"][name] = read_losses(root / f"{name}-micro")
    plan = {name: [recipe, overrides, str(root / f"{name}-two")] for name, (recipe, overrides) in jobs.items()}
    (root / "plan.json").write_text(json.dumps(plan))
    script = Path(__file__).with_name("two_processes.py")
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    done = subprocess.run(
        [*line, str(root / "plan.json")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in jobs:
        found["two"][name] = read_losses(root / f"{name}-two")
    return found


def read_losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", [*RECIPES, "rows"])
def test_two_processes_have_the_loss_of_one(losses: dict[str, dict[str, list[float]]], name: str) -> None:
    one, two = losses["one"][name], losses["two"][name]
    assert len(one) == 20
    assert one[0] != one[-1], "it trains"
    assert two == pytest.approx(one, rel=1e-9)
    if name != "text-mlm":  # whose sums are of whole samples, and so may round alike
        assert two != one, "two processes add in another order; equal bits would mean that only one ran"


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_two_processes_have_the_loss_of_one_in_float32(losses: dict[str, dict[str, list[float]]], name: str) -> None:
    one, two = losses["one"][f"{name} in float32"], losses["two"][f"{name} in float32"]
    assert one != losses["one"][name], "the precision took effect"
    assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize("name", ["rows", "text-mlm"])
def test_micro_batches_have_the_loss_of_one_batch(losses: dict[str, dict[str, list[float]]], name: str) -> None:
    assert losses["micro"][name] == pytest.approx(losses["one"][name], rel=1e-9)


def test_accelerate_launch_runs_the_command(rows_recipe: dict[str, Any], rows_plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows_recipe))
    recipe = tmp_path / "rows.yaml"
    recipe.write_text(json.dumps(rows_recipe))
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    options = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    line = [*launch, *options, "-m", "unlabeled", "train", str(recipe), "--run", str(tmp_path / "two")]
    done = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": str(rows_plugin)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one = unlabeled.train(rows_recipe, run=tmp_path / "one", quiet=True)
    assert read_losses(tmp_path / "two") == pytest.approx(read_losses(one.folder), rel=1e-5)


def test_a_launch_that_starts_one_process_is_told(command: Any) -> None:
    found = command("train", "quickstart", ACCELERATE_USE_CPU="true", MASTER_ADDR="127.0.0.1")
    assert found.returncode == 2
    assert "accelerate launch --multi_gpu --num_processes N" in found.stderr
