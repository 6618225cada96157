"""The same command continues exactly where a killed one stopped."""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

import unlabeled

CHAOS = Path(__file__).parents[3] / "benchmarks" / "chaos.py"


def weights(run: Path) -> dict[str, Any]:
    (newest,) = sorted((run / "checkpoints").glob("step-*"))[-1:]
    return {**load_file(newest / "model.safetensors"), **load_file(newest / "optimizer.safetensors")}


def assert_same_run(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    different = [name for name, value in first.items() if not value.equal(second[name])]
    assert not different
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()


def train_and_kill(recipe: Path | str, run: Path, plugin: Path, at: int | None, *overrides: str) -> int:
    """Run the command; SIGKILL once it says that step `at` is done."""
    line = [sys.executable, "-m", "unlabeled", "train", str(recipe), *overrides, "--run", str(run)]
    environment = {**os.environ, "PYTHONPATH": str(plugin)}
    with subprocess.Popen(
        line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for text in process.stderr:
            found = re.match(r"step (\d+)/", text)
            if at is not None and found and int(found[1]) >= at:
                process.send_signal(signal.SIGKILL)
                break
        process.stderr.read()
    return process.returncode


def test_kills_change_nothing(tmp_path: Path, rows_recipe: dict[str, Any], rows_plugin: Path) -> None:
    rows_recipe["training"]["micro_batches"] = 2
    recipe = tmp_path / "rows.yaml"
    recipe.write_text(yaml.safe_dump(rows_recipe))
    whole = unlabeled.train(rows_recipe, run=tmp_path / "whole", quiet=True)
    killed = tmp_path / "killed"
    codes = [
        train_and_kill(recipe, killed, rows_plugin, at, f"data.workers={workers}")
        for at, workers in ((3, 0), (6, 1), (9, 0))
    ]
    assert -signal.SIGKILL in codes
    assert train_and_kill(recipe, killed, rows_plugin, None, "data.workers=2") == 0
    assert_same_run(whole.folder, killed)


def test_a_finished_run_is_not_trained_again(tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    before = (run.folder / "metrics.jsonl").read_text()
    unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert (run.folder / "metrics.jsonl").read_text() == before


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    whole = unlabeled.train(rows_recipe, run=tmp_path / "whole", quiet=True)
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    model = run.checkpoints / "step-00000012" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert_same_run(whole.folder, run.folder)


def test_no_sound_checkpoint_is_an_error(tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    for path in run.checkpoints.glob("*/trainer.json"):
        path.write_text("{}")
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert len(error.value.problems) == 2
    assert all("trainer.json: changed since it was written" in problem for problem in error.value.problems)


def test_another_recipe_in_the_same_folder_is_an_error(tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    rows_recipe["training"]["learning_rate"] = 0.5
    with pytest.raises(
        unlabeled.UnlabeledError, match=r"another recipe \(training.learning_rate: 0.001, not 0.5\); give another --run"
    ):
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quickstart", "text-mlm", "audio-wav2vec2", "image-simclr"])
@pytest.mark.parametrize("seed", [0, 1])
def test_kills_change_no_shipped_recipe(tmp_path: Path, rows_plugin: Path, name: str, seed: int) -> None:
    small = [
        "data.options={items: {train: 256, validation: 16, test: 16}}",
        "training.steps=16",
        "training.batch_size=16",
        "training.checkpoint_every=3",
        "training.log_every=1",
        f"training.seed={seed}",
        "evaluation=[]",
    ]
    unlabeled.train(name, small, run=tmp_path / "whole", quiet=True)
    moments = random.Random(seed).sample(range(1, 15), 4)
    for workers, at in enumerate(sorted(moments)):
        train_and_kill(name, tmp_path / "killed", rows_plugin, at, *small, f"data.workers={workers % 3}")
    assert train_and_kill(name, tmp_path / "killed", rows_plugin, None, *small) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "kills"), [(1, 12), (2, 3)])
def test_chaos_changes_nothing(
    tmp_path: Path, rows_recipe: dict[str, Any], rows_plugin: Path, processes: int, kills: int
) -> None:
    rows_recipe["training"].update(micro_batches=2, checkpoint_every=1, evaluate_every=5, steps=20)
    rows_recipe["evaluation"] = [{"id": "standard/knn"}]
    recipe = tmp_path / "rows.yaml"
    recipe.write_text(yaml.safe_dump(rows_recipe))
    options = ["--kills", str(kills), "--processes", str(processes), "--folder", str(tmp_path / "runs")]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    line = [sys.executable, str(CHAOS), str(recipe), *options]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kills} kills" in done.stdout.splitlines()[-1]
    assert "all bit-identical (manifest.json, model.safetensors, optimizer.safetensors, trainer.json," in done.stdout
