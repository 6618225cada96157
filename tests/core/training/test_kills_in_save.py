"""A kill at any moment of a save: what is there is whole, and the same command ends bit-identical."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import unlabeled
from unlabeled.training.checkpoint import find_newest, list_checkpoints

SCRIPT = Path(__file__).with_name("kill_in_save.py")
NEWEST = [4] * 7 + [8] * 3


@pytest.fixture(scope="module")
def recipe(rows_plugin: Path, rows_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "rows.yaml"
    content = {
        "modalities": {"row": {"id": "rows/row", "width": 32}},
        "data": {"source": str(rows_table), "label": "label", "workers": 0},
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {"steps": 12, "batch_size": 32, "log_every": 1, "checkpoint_every": 4, "keep_checkpoints": 1},
    }
    path.write_text(json.dumps(content))
    return path


def files_of(run: Path) -> dict[str, bytes]:
    """What has to be bit-identical: metrics, and every file of the newest checkpoint."""
    newest = list_checkpoints(run / "checkpoints")[-1]
    paths = [run / "metrics.jsonl", *sorted(newest.iterdir())]
    return {f"{path.parent.name}/{path.name}".removeprefix(f"{run.name}/"): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def killed(recipe: Path, rows_plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs that were killed, one at each moment."""
    root = tmp_path_factory.mktemp("killed")
    line = [sys.executable, str(SCRIPT), str(recipe), str(root)]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    codes = [int(text.split()[1]) for text in done.stdout.splitlines()]
    assert codes == [-signal.SIGKILL] * len(NEWEST), done.stderr[-3000:]
    return root


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return files_of(unlabeled.train(recipe, run=tmp_path_factory.mktemp("runs") / "whole", quiet=True).folder)


@pytest.mark.parametrize("moment", range(len(NEWEST)))
def test_a_kill_at_any_moment_of_a_save_changes_nothing(
    moment: int, killed: Path, whole: dict[str, bytes], recipe: Path
) -> None:
    folder = killed / str(moment)
    found = find_newest(folder / "checkpoints")
    assert found is not None
    assert found.checkpoint.trainer["step"] == NEWEST[moment]
    assert found.passed_over == (), "what is listed is whole"
    run = unlabeled.train(recipe, run=folder, quiet=True)
    assert files_of(run.folder) == whole
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000012"], "what the kill left is gone"


def run_limited(recipe: Path, run: Path, plugin: Path, limit: str) -> subprocess.CompletedProcess[str]:
    """The command, with the size of files limited by the system (in blocks of 1024 bytes)."""
    line = f'ulimit -f {limit} && exec "$0" -m unlabeled train "$1" --run "$2"'
    environment = {**os.environ, "PYTHONPATH": str(plugin)}
    arguments = ["bash", "-c", line, sys.executable, str(recipe), str(run)]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)


def test_a_full_disk_and_a_damaged_checkpoint_are_told_by_the_command(
    recipe: Path, rows_plugin: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    full = run_limited(recipe, tmp_path / "run", rows_plugin, "64")  # less than the optimizer's file
    assert full.returncode == 2
    (problem,) = [text for text in full.stderr.splitlines() if "cannot be written" in text]
    assert "step-00000004/optimizer.safetensors: cannot be written" in problem
    assert "File too large" in problem
    assert "Traceback" not in full.stderr
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    run = unlabeled.train(recipe, ["training.keep_checkpoints=2"], run=tmp_path / "run", quiet=True)
    model = run.checkpoints / "step-00000012" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[1000] ^= 16
    model.write_bytes(content)
    again = run_limited(recipe, tmp_path / "run", rows_plugin, "unlimited")
    assert again.returncode == 0, again.stderr
    assert f"{model}: changed since it was written (its hash is not the manifest's); passed over" in again.stderr
    assert "after step 8" in again.stderr
    assert files_of(tmp_path / "run") == whole
