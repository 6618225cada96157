"""A stream of several shards: every row once an epoch, whatever is killed, and whoever reads it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import unlabeled
from unlabeled.runs.run import Run

SHARDS = (70, 1, 90, 33, 46)
ROWS = sum(SHARDS)
BLOCK = 16
BAD = {3, 4, 70, 100, 200, 239}
LONELY = 70
"""The row that is alone in its shard."""
KINDS = ("jsonl", "parquet")


@pytest.fixture(scope="module", params=KINDS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Five shards of 240 rows, six of which cannot be decoded."""
    generator = np.random.default_rng(0)
    root = tmp_path_factory.mktemp(request.param)
    first = 0
    for number, rows in enumerate(SHARDS):
        ids = range(first, first + rows)
        values = [generator.normal(size=3 if row in BAD else 32).tolist() for row in ids]
        if request.param == "jsonl":
            text = "".join(
                json.dumps({"values": cell, "label": row % 5}) + "\n" for row, cell in zip(ids, values, strict=True)
            )
            (root / f"{number}.jsonl").write_text(text)
        else:
            table = pyarrow.table({"values": values, "label": [row % 5 for row in ids]})
            pyarrow.parquet.write_table(table, root / f"{number}.parquet", row_group_size=40)
        first += rows
    return [str(path) for path in sorted(root.iterdir())]


def parts(files: list[str]) -> list[int]:
    group = 40 if files[0].endswith(".parquet") else ROWS
    return [min(group, rows - first) for rows in SHARDS for first in range(0, rows, group)]


@pytest.fixture
def recipe(rows_recipe: dict[str, Any], rows_table: Path, files: list[str]) -> dict[str, Any]:
    """Two epochs of a stream, the last batch of each smaller."""
    rows_recipe["data"] = {
        "source": files,
        "streaming": True,
        "block_rows": BLOCK,
        "interleave": 2,
        "workers": 0,
        "splits": {"test": {"source": str(rows_table), "streaming": False}},
    }
    rows_recipe["training"] |= {"steps": 16, "batch_size": 32, "drop_last": False, "checkpoint_every": 3}
    return rows_recipe


class Runs:
    """Runs of one recipe that write down the ids of each step."""

    def __init__(self, root: Path, recipe: dict[str, Any], plugin: Path) -> None:
        self.root, self.recipe = root, recipe
        (root / "recipe.json").write_text(json.dumps(recipe))
        self.environment = {**os.environ, "PYTHONPATH": str(plugin)}

    def start(self, name: str, *, workers: int = 0, kill_at: int = -1, processes: int = 1) -> int:
        """In processes of its own; the first is killed at the end of step `kill_at`."""
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        arguments = [self.root / "recipe.json", self.root / name, self.root / f"{name}.jsonl", workers, kill_at]
        script = Path(__file__).with_name("stream_run.py")
        line = [sys.executable, *(launch if processes > 1 else []), str(script), *map(str, arguments)]
        done = subprocess.run(line, env=self.environment, capture_output=True, text=True, check=False)
        assert kill_at >= 0 or done.returncode == 0, done.stderr[-3000:]
        return done.returncode

    def run_here(self, name: str, *, workers: int = 0) -> None:
        """In this process, to the end."""
        import unlabeled_rows

        def write_down(*arguments: Any) -> None:
            context = arguments[-1]
            with open(self.root / f"{name}.jsonl", "a") as file:
                line = {"step": context.step, "epoch": context.epoch, "ids": context.ids.tolist()}
                file.write(json.dumps(line) + "\n")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(unlabeled_rows.AlignUniform, "after_step", write_down)
            unlabeled.train(self.recipe, [f"data.workers={workers}"], run=self.root / name, quiet=True)

    def ids(self, name: str) -> dict[int, list[int]]:
        """Step -> ids; a step that was taken again after a kill had the same."""
        found: dict[int, list[int]] = {}
        for line in map(json.loads, (self.root / f"{name}.jsonl").read_text().splitlines()):
            assert found.setdefault(line["step"], line["ids"]) == line["ids"]
            assert line["epoch"] == line["step"] // 8
        return dict(sorted(found.items()))

    def result(self, name: str) -> tuple[bytes, str]:
        """Weights, to the bit, and metrics."""
        run = self.root / name
        return (run / "checkpoints/step-00000016/model.safetensors").read_bytes(), (run / "metrics.jsonl").read_text()

    def losses(self, name: str) -> list[float]:
        return [json.loads(line)["loss"] for line in (self.root / name / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def runs(tmp_path: Path, recipe: dict[str, Any], rows_plugin: Path) -> Runs:
    return Runs(tmp_path, recipe, rows_plugin)


def check_epochs(ids: dict[int, list[int]], files: list[str]) -> None:
    """Each good row is seen in each epoch; what repeats stands for bad rows, one for each."""
    assert list(ids) == list(range(16))
    block_of = [(part, row // BLOCK) for part, rows in enumerate(parts(files)) for row in range(rows)]
    good = Counter(row for row in range(ROWS) if row not in BAD)
    near = Counter(block_of[row] for row in BAD if row != LONELY)
    for epoch in (0, 1):
        seen = Counter(id_ for step in range(8 * epoch, 8 * epoch + 8) for id_ in ids[step])
        assert seen.keys() == good.keys(), "no good row is lost, and no bad one seen"
        substitutes = list((seen - good).elements())
        assert len(substitutes) == len(BAD)
        far = Counter(block_of[row] for row in substitutes) - near
        assert far.total() == 1, "all but one lie in the block of a bad row; that of row 70 has no other row"


def test_kills_and_workers_lose_and_repeat_nothing(runs: Runs, files: list[str]) -> None:
    runs.run_here("whole")
    check_epochs(runs.ids("whole"), files)
    assert runs.start("killed", workers=2, kill_at=7) == -signal.SIGKILL
    runs.run_here("killed", workers=1)
    assert runs.ids("killed") == runs.ids("whole")
    assert runs.result("killed") == runs.result("whole")
    lines = [json.loads(line) for line in (runs.root / "killed" / "quarantine.jsonl").read_text().splitlines()]
    assert Counter((line["epoch"], line["id"]) for line in lines) == Counter((e, row) for e in (0, 1) for row in BAD)


@pytest.mark.slow
def test_a_stream_is_continued_by_any_number_of_processes(runs: Runs, files: list[str]) -> None:
    runs.run_here("one")
    runs.start("two", processes=2, workers=1)
    assert runs.ids("two") == runs.ids("one")
    assert runs.losses("two") == pytest.approx(runs.losses("one"), rel=1e-5)
    for processes, workers, kill_at in ((1, 2, 3), (2, 0, 6), (1, 1, 9), (2, 2, 12)):
        assert runs.start("changed", processes=processes, workers=workers, kill_at=kill_at) != 0
    runs.run_here("changed")
    assert runs.ids("changed") == runs.ids("one")
    assert runs.losses("changed") == pytest.approx(runs.losses("one"), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_many_kills_change_no_bit(runs: Runs, seed: int) -> None:
    runs.run_here("whole")
    moments = sorted(np.random.default_rng(seed).choice(15, 6, replace=False).tolist())
    for number, moment in enumerate(moments):
        runs.start("killed", workers=number % 4, kill_at=moment)
    runs.run_here("killed", workers=3)
    assert runs.ids("killed") == runs.ids("whole")
    assert runs.result("killed") == runs.result("whole")


def test_a_stream_that_holds_out_its_own_test_rows(runs: Runs) -> None:
    del runs.recipe["data"]["splits"]
    runs.recipe["data"] |= {"holdout": 0.2, "label": "label"}
    runs.recipe["training"] |= {"steps": 6}
    runs.recipe["evaluation"] = [{"id": "standard/knn"}]
    runs.run_here("held")
    seen = {id_ for line in (runs.root / "held.jsonl").read_text().splitlines() for id_ in json.loads(line)["ids"]}
    assert 192 - len(BAD) <= len(seen) <= 192
    (line,) = Run(runs.root / "held").read("evaluations.jsonl")
    assert line["data"]["samples"] == {"train": 192, "test": 48}
