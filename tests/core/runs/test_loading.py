"""Which checkpoint of a run is evaluated and exported."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import unlabeled
from unlabeled.errors import UnlabeledError
from unlabeled.runs.loading import load_run
from unlabeled.training.checkpoints.checkpoint import MODEL, checkpoint_name

Recipe = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path, rows_recipe: Recipe) -> unlabeled.Run:
    """Twelve steps, of which steps 5 and 10, the last and the one of the highest loss are kept."""
    rows_recipe["evaluation"] = [{"id": "standard/rankme"}]
    rows_recipe["training"].update(checkpoint_every=1, keep_checkpoints=1, keep_every=5)
    rows_recipe["training"]["keep_best"] = {"metric": "loss", "mode": "max"}
    return unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)


def holds_weights_of(run: unlabeled.Run, checkpoint: str | int, step: int) -> bool:
    _, learner, found = load_run(run, checkpoint=checkpoint)
    saved = load_file(run.checkpoints / checkpoint_name(step) / MODEL)
    state = learner.state_dict()
    return found == step and all(state[name].equal(value) for name, value in saved.items())


def test_a_step_the_best_or_the_newest(run: unlabeled.Run) -> None:
    losses = {line["step"]: line["loss"] for line in run.read("metrics.jsonl")}
    assert holds_weights_of(run, 5, 5)
    assert holds_weights_of(run, "10", 10)
    assert holds_weights_of(run, "newest", 12)
    assert holds_weights_of(run, "best", max(losses, key=losses.__getitem__))


def test_what_is_measured_and_exported_is_that_checkpoint(run: unlabeled.Run, tmp_path: Path) -> None:
    early = unlabeled.evaluate(run.folder, checkpoint=5)
    assert {line["step"] for line in early} == {5}
    late = unlabeled.evaluate(run.folder)
    assert {line["step"] for line in late} == {12}
    assert early[0]["metrics"] != late[0]["metrics"] and early[0]["baselines"] == late[0]["baselines"]
    (folder,) = unlabeled.export(run.folder, tmp_path / "early", checkpoint=5)
    card = (folder / "README.md").read_text()
    assert "for 5 steps" in card and f"{early[0]['metrics']['rankme']:.4f}" in card
    (folder,) = unlabeled.export(run.folder, tmp_path / "later", checkpoint=10)
    assert "Not evaluated after this step." in (folder / "README.md").read_text()


def problem(run: unlabeled.Run, checkpoint: str) -> str:
    with pytest.raises(UnlabeledError) as error:
        load_run(run, checkpoint=checkpoint)
    return str(error.value)


def test_a_checkpoint_that_is_not_there_is_told(run: unlabeled.Run, tmp_path: Path, rows_recipe: Recipe) -> None:
    assert ": no checkpoint of step 3; there are: " in problem(run, "3")
    assert problem(run, "latest") == "--checkpoint latest: is neither a step nor newest nor best"
    rows_recipe["training"]["keep_best"] = None
    plain = unlabeled.train(rows_recipe, run=tmp_path / "plain", quiet=True)
    assert problem(plain, "best").startswith(
        f"{plain.folder}: keeps no best checkpoint; train with training.keep_best="
    )
    (run.checkpoints / checkpoint_name(5) / MODEL).write_bytes(b"")
    assert f"{MODEL}: changed since it was written" in problem(run, "5")
