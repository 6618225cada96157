"""A run's lock: the plugins it began with, hashed, and what is said when they differ."""

import json
from pathlib import Path
from typing import Any

import pytest

import unlabeled


def test_training_says_when_the_plugins_differ_from_those_the_run_began_with(
    tmp_path: Path, rows_recipe: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    rows_recipe["training"] |= {"steps": 2}
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    lock = json.loads((run.folder / "lock.json").read_text())
    rows = lock["plugins"]["unlabeled-rows"]
    assert rows["version"] == "0.1.0" and len(rows["contents"]) == 64 and rows["editable"] is False
    unlabeled.train(rows_recipe, run=run.folder, quiet=True)
    assert "plugins differ" not in capfd.readouterr().err
    rows["contents"] = "0" * 64
    (run.folder / "lock.json").write_text(json.dumps(lock))
    unlabeled.train(rows_recipe, run=run.folder, quiet=True)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "plugins differ" in line]
    assert line.startswith("plugins differ from those the run began with: unlabeled-rows is 0.1.0 (")
    assert line.endswith(f"), and was 0.1.0 (000000000000); `unlabeled plugins sync {run.folder}` restores them")
