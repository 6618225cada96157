"""A kill at any moment of a save: what is there is whole, and the same command ends bit-identical."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import unlabeled
from unlabeled.training.checkpoints.checkpoint import find_newest, list_checkpoints

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


def test_a_full_disk_is_told_by_the_command(
    recipe: Path, rows_plugin: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    # The system refuses files of more than 64 KiB, which is less than the optimizer's.
    line = 'ulimit -f 64 && exec "$0" -m unlabeled train "$1" --run "$2"'
    arguments = ["bash", "-c", line, sys.executable, str(recipe), str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (problem,) = [text for text in done.stderr.splitlines() if "cannot be written" in text]
    assert "step-00000004/optimizer.safetensors: cannot be written" in problem
    assert "File too large" in problem
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert files_of(unlabeled.train(recipe, run=tmp_path / "run", quiet=True).folder) == whole


def test_a_damaged_checkpoint_is_told_and_passed_over(
    recipe: Path, whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = unlabeled.train(recipe, ["training.keep_checkpoints=2"], run=tmp_path / "run", quiet=True)
    model = run.checkpoints / "step-00000012" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[1000] ^= 16
    model.write_bytes(content)
    unlabeled.train(recipe, run=run.folder)
    told = capsys.readouterr().err.splitlines()
    assert f"{model}: changed since it was written (its hash is not the manifest's); passed over" in told
    assert f"continuing {run.folder} after step 8" in told
    assert files_of(run.folder) == whole
