"""Checkpoints are written in the background, and training hears of it on its own thread."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import unlabeled
from unlabeled import UnlabeledError
from unlabeled.training.checkpoints import saving
from unlabeled.training.checkpoints.checkpoint import (
    MODEL,
    OPTIMIZER,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    write_checkpoint,
)
from unlabeled.training.checkpoints.retention import Retention
from unlabeled.training.checkpoints.saving import CheckpointWriter

Recipe = dict[str, Any]


class Gate:
    """Stands for a slow disk: writes only once it is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.threads: set[int] = set()

    def __call__(self, folder: Path, checkpoint: Checkpoint) -> Path:
        self.threads.add(threading.get_ident())
        assert self.open.wait(timeout=60)
        return write_checkpoint(folder, checkpoint)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(saving, "write_checkpoint", gate)
    yield gate
    gate.open.set()


def state(weight: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    return {MODEL: {"weight": weight, "tied": weight}, OPTIMIZER: {}}


def test_training_goes_on_while_a_slow_disk_writes(tmp_path: Path, gate: Gate) -> None:
    told: list[tuple[str, int]] = []
    writer = CheckpointWriter(tmp_path, Retention(2), lambda path: told.append((path.name, threading.get_ident())))
    weight = torch.zeros(3, 2).T
    writer.save(state(weight), {"step": 1})
    weight += 1  # the next step
    writer.poll()
    assert told == []
    assert list_checkpoints(tmp_path) == []
    gate.open.set()
    writer.wait()
    assert told == [("step-00000001", threading.get_ident())]
    assert threading.get_ident() not in gate.threads
    writer.save(state(weight), {"step": 2})
    writer.close()
    writer.poll()
    assert [name for name, _ in told] == ["step-00000001", "step-00000002"]
    for path, value in zip(list_checkpoints(tmp_path), (0.0, 1.0), strict=True):
        tensors = load_checkpoint(path).tensors[MODEL]
        assert torch.equal(tensors["weight"], torch.full((2, 3), value))
        assert torch.equal(tensors["tied"], tensors["weight"])


def test_a_second_save_waits_for_the_first(tmp_path: Path, gate: Gate) -> None:
    told: list[str] = []
    writer = CheckpointWriter(tmp_path, Retention(5), lambda path: told.append(path.name))
    writer.save(state(torch.zeros(2)), {"step": 1})
    second = threading.Thread(target=lambda: writer.save(state(torch.ones(2)), {"step": 2}))
    second.start()
    assert told == []
    gate.open.set()
    second.join()
    writer.wait()
    writer.close()
    assert told == ["step-00000001", "step-00000002"]


def test_an_error_of_the_thread_comes_back_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = CheckpointWriter(tmp_path / "file", Retention(2), lambda path: None)
    writer.save(state(torch.zeros(2)), {"step": 1})
    with pytest.raises(UnlabeledError, match=r"file: cannot be written \(File exists\)"):
        writer.wait()
    writer.wait()
    writer.close()


def train_until_error(recipe: Recipe, run: Path) -> str:
    with pytest.raises(UnlabeledError) as error:
        unlabeled.train(recipe, run=run, quiet=True)
    (problem,) = error.value.problems
    return problem


@pytest.mark.parametrize("last", [False, True])
def test_a_failed_save_stops_the_run_and_keeps_what_was_there(
    tmp_path: Path, rows_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    fails = 12 if last else 8

    def fail_once(folder: Path, checkpoint: Checkpoint) -> Path:
        if checkpoint.trainer["step"] == fails:
            raise UnlabeledError("disk full")
        return write_checkpoint(folder, checkpoint)

    whole = unlabeled.train(rows_recipe, run=tmp_path / "whole", quiet=True)
    monkeypatch.setattr(saving, "write_checkpoint", fail_once)
    assert train_until_error(rows_recipe, tmp_path / "run") == "disk full"
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")][-1] == f"step-{fails - 4:08d}"
    monkeypatch.undo()
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert_same_model(whole.checkpoints, run.checkpoints)


def assert_same_model(one: Path, other: Path) -> None:
    first, second = (load_checkpoint(list_checkpoints(folder)[-1]) for folder in (one, other))
    for file, tensors in first.tensors.items():
        assert tensors.keys() == second.tensors[file].keys()
        assert all(torch.equal(value, second.tensors[file][name]) for name, value in tensors.items())
    assert first.trainer == second.trainer


def test_whatever_ends_training_the_last_save_is_whole(
    tmp_path: Path, rows_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unlabeled_rows

    loss: Callable[..., Any] = unlabeled_rows.AlignUniform.loss
    gate = Gate()
    monkeypatch.setattr(saving, "write_checkpoint", gate)

    def failing(self: Any, own: Any, all: Any, context: Any) -> Any:
        if context.step == 5:
            gate.open.set()
            raise RuntimeError("a bug of a plugin")
        return loss(self, own, all, context)

    monkeypatch.setattr(unlabeled_rows.AlignUniform, "loss", failing)
    with pytest.raises(RuntimeError, match="a bug of a plugin"):
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    (path,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert load_checkpoint(path).trainer["step"] == 4


def steps_kept(run: unlabeled.Run) -> list[int]:
    return [load_checkpoint(path).trainer["step"] for path in list_checkpoints(run.checkpoints)]


def test_a_run_keeps_the_last_every_nth_and_the_best(tmp_path: Path, rows_recipe: Recipe) -> None:
    rows_recipe["training"].update(checkpoint_every=1, keep_checkpoints=1, keep_every=5)
    rows_recipe["training"]["keep_best"] = {"metric": "loss", "mode": "max"}
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    losses = {line["step"]: line["loss"] for line in run.read("metrics.jsonl")}
    best = max(losses, key=losses.__getitem__)
    assert steps_kept(run) == sorted({5, 10, 12, best})
    assert load_checkpoint(list_checkpoints(run.checkpoints)[-1]).trainer["best"] == {
        "metric": "loss", "mode": "max", "step": best, "value": losses[best]
    }  # fmt: skip


def test_what_is_kept_may_change_and_the_best_is_remembered(tmp_path: Path, rows_recipe: Recipe) -> None:
    rows_recipe["evaluation"] = [{"id": "standard/knn"}]
    rows_recipe["training"].update(evaluate_every=4, keep_checkpoints=1, keep_best={"metric": "acuracy", "mode": "max"})
    problem = train_until_error(rows_recipe, tmp_path / "run")
    assert problem.startswith(
        "training.keep_best.metric: no metric acuracy at step 4; the same command continues with one"
    )
    assert "standard/knn/row/accuracy" in problem
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000004"]
    # Step 4's evaluation lies behind, so the best is one of those after it.
    rows_recipe["training"]["keep_best"]["metric"] = "accuracy"
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    accuracy = {line["step"]: line["metrics"]["accuracy"] for line in run.read("evaluations.jsonl")}
    best = max((8, 12), key=accuracy.__getitem__)
    assert steps_kept(run) == sorted({best, 12})
    rows_recipe["training"]["keep_best"] = None
    unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
