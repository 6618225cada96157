"""Out of memory: the same run in smaller micro-batches."""

import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import unlabeled
from unlabeled.training.safety.memory import OutOfMemory, attempt, halve

Recipe = dict[str, Any]


def limit_rows(monkeypatch: pytest.MonkeyPatch, most: int, error: Callable[[], RuntimeError]) -> list[int]:
    """Encoders of more than `most` rows run out of memory in their backward pass; the rows of every forward pass."""
    import unlabeled_rows

    seen: list[int] = []
    encode = unlabeled_rows.Perceptron.encode

    def refuse(gradient: torch.Tensor) -> None:
        raise error()

    def limited(self: Any, tokens: Any, **options: Any) -> Any:
        encoded = encode(self, tokens, **options)
        if self.training:
            seen.append(len(tokens.values))
            if len(tokens.values) > most and encoded.values.requires_grad:
                encoded.values.register_hook(refuse)
        return encoded

    monkeypatch.setattr(unlabeled_rows.Perceptron, "encode", limited)
    return seen


def on_gpu() -> RuntimeError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore follows")


def on_cpu() -> RuntimeError:
    with pytest.raises(RuntimeError) as error:
        torch.empty(10**15)
    return error.value


@pytest.mark.parametrize("error", [on_gpu, on_cpu])
@pytest.mark.parametrize("objective", ["rows/align-uniform", "standard/simclr"])
def test_it_goes_on_as_a_run_that_began_in_small_micro_batches(
    rows_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Callable[[], RuntimeError],
    objective: str,
) -> None:
    rows_recipe["training"].update(precision="float64", drop_last=False, batch_size=60, steps=7)
    rows_recipe["objectives"] = [{"id": objective}]  # the second has batch normalisation in its head
    small = unlabeled.train(rows_recipe, ["training.micro_batches=4"], run=tmp_path / "small", quiet=True)
    with monkeypatch.context() as patch:
        seen = limit_rows(patch, 15, error)
        run = unlabeled.train(rows_recipe, run=tmp_path / "run")
    assert {60, 30, 15} <= set(seen)
    assert max(seen[-8:]) == 15
    found, expected = ([line["loss"] for line in each.read("metrics.jsonl")] for each in (run, small))
    assert found == pytest.approx(expected, rel=1e-9)
    weights, expected_weights = (
        load_file(max(each.checkpoints.iterdir()) / "model.safetensors") for each in (run, small)
    )
    for name, value in weights.items():  # statistics of batch normalisation among them
        torch.testing.assert_close(value, expected_weights[name], rtol=1e-9, atol=1e-12)
    said = capsys.readouterr().err
    assert "step 1: out of memory with 60 rows in a micro-batch, going on with 30; the batch stays as it is" in said
    assert "out of memory with 30 rows in a micro-batch, going on with 15" in said
    assert "the result is the same up to dropout and rounding" in said
    assert "training.micro_batches=4" in said
    newest = max(run.checkpoints.iterdir())
    assert json.loads((newest / "trainer.json").read_text())["micro_batches"] == 4
    assert [path.name for path in (newest, max(small.checkpoints.iterdir()))] == ["step-00000007"] * 2


def test_what_was_learned_of_memory_is_kept(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        limit_rows(patch, 16, on_gpu)
        with pytest.raises(unlabeled.Stopped):
            unlabeled.train(rows_recipe, ["training.max_time=0"], run=tmp_path / "run", quiet=True)
        seen = limit_rows(patch, 16, on_gpu)
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert set(seen) == {16}


def test_one_row_that_is_too_much_is_told(rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_rows(monkeypatch, 0, on_gpu)
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    (problem,) = error.value.problems
    assert (
        "step 1: out of memory with one row in a micro-batch (CUDA out of memory. Tried to allocate 20.00 MiB.)"
        in problem
    )
    assert "make the samples smaller" in problem


def test_no_memory_for_the_optimizer_is_told(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise on_gpu()

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(unlabeled.UnlabeledError, match="out of memory outside of the passes over a micro-batch"):
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)


def test_halving_ends_at_one_row() -> None:
    failure = OutOfMemory("full")
    assert halve(1, [10], 3, failure)[0] == 2
    assert halve(4, [2, 3, 2, 3], 3, failure)[0] == 8
    assert halve(8, [1, 1, 1, 1, 1, 1, 2, 2], 3, failure)[0] == 10
    with pytest.raises(unlabeled.UnlabeledError):
        halve(10, [1] * 10, 3, failure)


def test_nothing_holds_the_failed_attempt() -> None:
    references = []

    def work() -> int:
        kept = torch.ones(3)
        references.append(weakref.ref(kept))
        raise on_gpu()

    gc.disable()
    try:
        assert isinstance(attempt(work), OutOfMemory)
        assert references[0]() is None
    finally:
        gc.enable()
    with pytest.raises(RuntimeError, match="shapes"):
        attempt(wrong_shapes)


def wrong_shapes() -> int:
    raise RuntimeError("shapes do not fit")


@pytest.mark.slow
def test_two_processes_leave_a_note_and_the_same_command_goes_on(
    rows_recipe: Recipe, rows_plugin: Path, tmp_path: Path
) -> None:
    """The second process has room for 8 rows; started again, both end as if they had begun so."""
    path = tmp_path / "rows.yaml"
    path.write_text(yaml.safe_dump(rows_recipe))
    script = [str(Path(__file__).with_name("faulty.py")), "memory", "8", "train", str(path)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}

    def start(name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        line = [*launch, "--run-folder", str(tmp_path / name), *overrides]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    first = start("run")
    assert "out of memory with 16 rows in a micro-batch, going on with 8" in first.stderr
    assert "the same command continues" in first.stderr
    assert "exitcode  : 75" in first.stderr
    assert "unexpected" not in first.stderr
    assert json.loads((tmp_path / "run" / "micro_batches.json").read_text()) == {"micro_batches": 2, "process": 1}
    for done in (start("run"), start("small", "training.micro_batches=2")):
        assert done.returncode == 0, done.stderr[-3000:]
    one, other = ((tmp_path / name / "metrics.jsonl").read_text() for name in ("run", "small"))
    assert one == other
