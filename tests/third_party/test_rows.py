"""The plugin of the README: at most sixty lines, installed as its own distribution, seen and trained like any other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unlabeled

SOURCE = Path(__file__).parent / "unlabeled-rows" / "src" / "unlabeled_rows"
README = Path(__file__).parents[2] / "README.md"
Command = Callable[..., Any]


def test_it_has_at_most_sixty_lines_and_stands_in_the_readme() -> None:
    code = (SOURCE / "__init__.py").read_text()
    assert len(code.splitlines()) <= 60
    assert f"```python\n{code}```" in README.read_text()


def test_it_is_listed_with_all_it_provides(command: Command) -> None:
    plugins = json.loads(command("plugins", "list", "--json").stdout)
    assert {"name": "unlabeled-rows", "version": "0.1.0", "state": "enabled", "reason": ""} in plugins
    components = json.loads(command("components", "--json").stdout)
    ids = {item["id"] for item in components if item["plugin"] == "unlabeled-rows"}
    assert ids == {"rows/row", "rows/perceptron", "rows/corrupt", "rows/align-uniform"}


def test_the_matrix_says_what_fits(command: Command) -> None:
    cells = json.loads(command("matrix", "--json").stdout)
    found = {(cell["objective"], cell["modality"]): cell for cell in cells}
    assert found["rows/align-uniform", "vision/image"]["runs"], "its objective runs on other modalities"
    assert found["standard/simclr", "rows/row"]["runs"], "other objectives run on its modality"
    masked = found["text/masked-language-modelling", "rows/row"]
    assert not masked["runs"]
    assert "vocabulary" in masked["reason"]


def test_it_trains_exports_and_embeds(
    rows_recipe: dict[str, Any], rows_table: Path, tmp_path: Path, command: Command
) -> None:
    rows_recipe["training"]["steps"] = 40
    rows_recipe["evaluation"] = [{"id": "standard/knn"}]
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    losses = [line["loss"] for line in run.read("metrics.jsonl")]
    assert losses[-1] < losses[0]
    (line,) = run.read("evaluations.jsonl")
    assert set(line["baselines"]) == {"untrained", "raw"}
    encoder = unlabeled.load(run.folder)["row"]
    vectors = encoder.embed([np.zeros(32), np.ones(32)])
    assert vectors.shape == (2, 64)
    assert np.isfinite(vectors).all()
    found = command("embed", str(run.folder), str(rows_table), "--out", str(tmp_path / "out.parquet"))
    assert found.returncode == 0, found.stderr
    assert "300 rows" in found.stdout or "rows" in found.stdout


def test_a_cell_that_cannot_be_read_is_named(rows_recipe: dict[str, Any], tmp_path: Path) -> None:
    rows_recipe["training"].update(steps=2)
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    with pytest.raises(unlabeled.UnlabeledError, match="cell 1: row: expected 32 finite numbers"):
        unlabeled.load(run.folder)["row"].embed([np.zeros(32), np.zeros(5)])


def test_when_its_import_exits_every_other_command_works(rows_plugin: Path, tmp_path: Path, command: Command) -> None:
    site = tmp_path / "site"
    shutil.copytree(rows_plugin, site)
    (site / "unlabeled_rows" / "__init__.py").write_text("raise SystemExit(7)\n")
    for arguments in (("plugins", "list"), ("components",), ("matrix",), ("recipes",), ("env",)):
        found = command(*arguments, PYTHONPATH=str(site))
        assert found.returncode == 0, found.stderr
    small = ["data.options={items: {train: 32, validation: 8, test: 8}}", "training.steps=1", "training.batch_size=8"]
    found = command(
        "train", "timeseries-simclr", *small, "evaluation=[]", "--run", str(tmp_path / "run"), PYTHONPATH=str(site)
    )
    assert found.returncode == 0, found.stderr
    recipe = {
        "modalities": {"row": {"id": "rows/row", "width": 32}},
        "data": {"source": "sample:world"},
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {"steps": 1},
    }
    (tmp_path / "rows.yaml").write_text(json.dumps(recipe))
    found = command("train", str(tmp_path / "rows.yaml"), PYTHONPATH=str(site))
    assert found.returncode == 2
    assert "unlabeled-rows" in found.stderr
    assert "SystemExit" in found.stderr
