"""FSDP2 on real processes: what one process computes, and checkpoints that any number of them goes on from."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unlabeled.errors import UnlabeledError
from unlabeled.training.checkpoints.checkpoint import MODEL, OPTIMIZER, load_checkpoint
from unlabeled.training.processes.sharding import cut_parts, join_parts, sharding_plan

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
SMALL = [
    "data.options={items: {train: 96, validation: 16, test: 16}}",
    "data.workers=0",
    "training.steps=6",
    "training.batch_size=16",
    "training.log_every=1",
    "training.checkpoint_every=3",
    "training.precision=float64",
]
RECIPES = {
    # A teacher, a queue, parameters and BatchNorm in head, two passes; gradients are clipped.
    "taught": [],
    # Two encoders, a coupled loss, a frozen parameter, evaluation and exports.
    "clip": [
        "modalities.image.size=16",
        "modalities.image.encoder={id: vision/vit, hidden_size: 24, num_hidden_layers: 3}",
        "training.micro_batches=2",
    ],
    # Channels-last weights and BatchNorm in the encoder.
    "image-simclr": ["modalities.image.size=32"],
    # Tied weights, an uncoupled loss.
    "text-mlm": ["modalities.text.vocabulary_size=256", "training.micro_batches=2"],
}
LAST = "step-00000006"
Train = Callable[..., dict[str, Path]]


@pytest.fixture(scope="module")
def train(rows_plugin: Path, rows_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains every recipe on some processes; each from the first checkpoint of an earlier way where one is given."""
    root = tmp_path_factory.mktemp("sharded")
    taught = {
        "modalities": {"row": {"id": "rows/row", "width": 32}},
        "data": {"source": str(rows_table), "workers": 0},
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {"steps": 6, "batch_size": 31, "drop_last": False, "micro_batches": 2, "log_every": 1,
                     "checkpoint_every": 3, "precision": "float64", "clip_norm": 0.1},
    }  # fmt: skip

    def run(way: str, processes: int, *, fsdp: bool = True, after: dict[str, Path] | None = None) -> dict[str, Path]:
        folders = {name: root / f"{name}-{way}" for name in RECIPES}
        plan: dict[str, Any] = {name: [name, [*SMALL, *RECIPES[name]], str(folders[name])] for name in RECIPES}
        plan["taught"] = [taught, [], str(folders["taught"])]
        for name, earlier in (after or {}).items():
            shutil.copytree(earlier, folders[name])
            shutil.rmtree(folders[name] / "checkpoints" / LAST)
        (root / f"{way}.json").write_text(json.dumps(plan))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        script = [str(Path(__file__).with_name("sharded_runs.py")), str(root / f"{way}.json")]
        done = subprocess.run(
            [sys.executable, *(launch if processes > 1 else []), *script],
            env={**os.environ, "PYTHONPATH": str(rows_plugin), **(FSDP if fsdp else {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return folders

    return run


@pytest.fixture(scope="module")
def one(train: Train) -> dict[str, Path]:
    return train("one", 1)


@pytest.fixture(scope="module")
def two(train: Train) -> dict[str, Path]:
    return train("two", 2)


def state(run: Path) -> dict[str, Tensor]:
    checkpoint = load_checkpoint(run / "checkpoints" / LAST)
    return {**checkpoint.tensors[MODEL], **checkpoint.tensors[OPTIMIZER]}


def assert_equal_runs(run: Path, reference: Path) -> None:
    """Every loss and gradient norm to 1e-9, every weight, teacher, queue and optimizer state likewise."""
    lines, expected = ([json.loads(text) for text in (path / "metrics.jsonl").read_text().splitlines()]
                       for path in (run, reference))  # fmt: skip
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for key in ("loss", "gradient_norm"):
        assert [line[key] for line in lines] == pytest.approx([line[key] for line in expected], rel=1e-9), key
    found, wanted = state(run), state(reference)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_two_sharded_processes_compute_what_one_does(one: dict[str, Path], two: dict[str, Path], name: str) -> None:
    assert_equal_runs(two[name], one[name])
    files = {path.name for path in (two[name] / "checkpoints" / LAST).glob("*.safetensors")}
    assert files == {f"{stem}.safetensors" for stem in ("model", "model-1", "optimizer", "optimizer-1")}
    sizes = [
        (two[name] / "checkpoints" / LAST / file).stat().st_size
        for file in ("model.safetensors", "model-1.safetensors")
    ]
    assert max(sizes) < 0.7 * (one[name] / "checkpoints" / LAST / "model.safetensors").stat().st_size


@pytest.mark.slow
def test_evaluations_and_exports_of_sharded_runs_are_whole(one: dict[str, Path], two: dict[str, Path]) -> None:
    lines = [(run["clip"] / "evaluations.jsonl").read_text() for run in (one, two)]
    assert lines[0] == lines[1]
    for path in (one["clip"] / "export").rglob("*.safetensors"):
        other = two["clip"] / "export" / path.relative_to(one["clip"] / "export")
        assert other.stat().st_size == path.stat().st_size


@pytest.mark.slow
def test_the_same_number_of_processes_goes_on_bit_by_bit(train: Train, two: dict[str, Path]) -> None:
    for name, run in train("again", 2, after=two).items():
        assert (run / "metrics.jsonl").read_text() == (two[name] / "metrics.jsonl").read_text()
        for path in (run / "checkpoints" / LAST).iterdir():
            assert path.read_bytes() == (two[name] / "checkpoints" / LAST / path.name).read_bytes(), path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begun", "processes", "fsdp"), [("two", 1, False), ("two", 4, True), ("two", 2, False), ("one", 2, True)]
)
def test_any_number_of_processes_goes_on(
    train: Train, one: dict[str, Path], two: dict[str, Path], begun: str, processes: int, fsdp: bool
) -> None:
    """2 -> 1, 2 -> 4, FSDP2 -> DDP, and one process -> FSDP2."""
    runs = train(f"{begun}-{processes}-{fsdp}", processes, fsdp=fsdp, after=two if begun == "two" else one)
    for name, run in runs.items():
        assert_equal_runs(run, one[name])


def test_parts_join_to_the_whole_and_missing_rows_are_told() -> None:
    whole = {"weight": torch.arange(15.0).reshape(5, 3), "count": torch.tensor(2)}
    parts = [{"weight": whole["weight"][:3], "count": whole["count"]}, {"weight": whole["weight"][3:]}]
    joined = join_parts(parts, {"weight": [5, 3]})
    assert all(joined[name].equal(value) for name, value in whole.items())
    with pytest.raises(ValueError, match=r"weight has the shape \(3, 3\), not \(5, 3\)"):
        join_parts(parts[:1], {"weight": [5, 3]})
    assert cut_parts({"model": whole}) == ({"model": whole}, {})


def test_what_is_not_supported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlabeled.training.processes.sharding.process_count", lambda: 2)
    assert sharding_plan() is None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UnlabeledError, match="write --use_fsdp --fsdp_version 2"):
        sharding_plan()
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_OFFLOAD_PARAMS", "true")
    with pytest.raises(UnlabeledError, match="--fsdp_offload_params is not supported"):
        sharding_plan()
