"""Bad cells in training: what cannot be decoded, what hangs, and what ends its process; the run goes on, and exactly."""

import faulthandler
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import yaml

import unlabeled
from unlabeled.data.cache import SampleCache, cache_root
from unlabeled.data.order import sample_positions, step_positions
from unlabeled.training.trainer import Trainer

from ..checkpoints.test_continuation import assert_same_run, train_and_kill

Recipe = dict[str, Any]
ROWS, WIDTH, BATCH = 60, 8, 15
REASONS = {
    7: "row: decoding took longer than 1 s (data.decode_timeout)",
    23: "row: the decoder ended its process (signal SIGSEGV)",
    41: "row: the decoder ended its process (exit code 3)",
    52: "row: expected 8 finite numbers",
}
BEGINNINGS = {7: 1001.0, 23: 1002.0, 41: 1003.0, 52: float("nan")}
LOGGED = [(epoch, number) for epoch in range(3) for number in REASONS]


@pytest.fixture(scope="module", autouse=True)
def plugin(rows_plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the plugin of unruly decoders is installed, for these tests alone."""
    site = tmp_path_factory.mktemp("stubborn")
    source = Path(__file__).parents[3] / "third_party" / "unlabeled-stubborn"
    shutil.copytree(source / "src" / "unlabeled_stubborn", site / "unlabeled_stubborn")
    information = site / "unlabeled_stubborn-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: unlabeled-stubborn\nVersion: 0.1.0\n")
    (information / "entry_points.txt").write_text("[unlabeled.plugins]\nstubborn = unlabeled_stubborn\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("UNLABELED_CACHE", str(tmp_path_factory.mktemp("cache")))
        faulthandler.disable()  # a SIGSEGV is meant here
        yield site
    faulthandler.enable()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """60 rows, four of which are bad in ways of their own, in three epochs of four steps; and 20 to evaluate on."""
    folder = tmp_path_factory.mktemp("stubborn-data")
    generator = np.random.default_rng(0)
    values = generator.normal(size=(ROWS, WIDTH))
    write(folder / "test.parquet", values[:20])
    for number, beginning in BEGINNINGS.items():
        values[number, 0] = beginning
    write(folder / "train.parquet", values)
    return {
        "modalities": {"row": {"id": "stubborn/row", "width": WIDTH}},
        "data": {
            "splits": {name: {"source": str(folder / f"{name}.parquet")} for name in ("train", "test")},
            "label": "label",
            "decode_timeout": 1.0,
        },
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {"epochs": 3, "batch_size": BATCH, "log_every": 1, "checkpoint_every": 2, "device": "cpu"},
    }


def write(path: Path, values: np.ndarray) -> None:
    labels = np.arange(len(values)) % 3
    pyarrow.parquet.write_table(pyarrow.table({"values": values.tolist(), "label": labels}), path)


def train(recipe: Recipe, run: Path, *overrides: str) -> unlabeled.Run:
    return unlabeled.train(recipe, overrides, run=run, quiet=True)


@pytest.fixture(scope="module")
def reference(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> unlabeled.Run:
    """The run with one worker, and the ids of each of its steps."""
    seen: list[list[int]] = []
    step = Trainer._step

    def recorded(self: Trainer, batches: Any) -> dict[str, float]:
        seen.append([int(number) for micro in batches.micro_batches for number in micro.ids])
        return step(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", recorded)
        run = train(recipe, tmp_path_factory.mktemp("runs") / "reference", "data.workers=1")
    (run.folder / "seen.json").write_text(json.dumps(seen))
    return run


def test_each_bad_cell_is_logged_once_an_epoch(reference: unlabeled.Run) -> None:
    lines = reference.read("quarantine.jsonl")
    assert sorted((line["epoch"], line["id"]) for line in lines) == LOGGED
    assert {line["id"]: line["reason"] for line in lines} == REASONS
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert all(line["step"] - 1 in range(4 * line["epoch"], 4 * line["epoch"] + 4) for line in lines)


def test_what_was_cut_off_is_remembered_with_the_step_from_which_it_holds(reference: unlabeled.Run) -> None:
    met = {line["id"]: line["step"] for line in reversed(reference.read("quarantine.jsonl"))}
    verdicts = {line["id"]: line for line in reference.read("cut-off.jsonl")}
    assert verdicts.keys() == REASONS.keys() - {52}, "what raised an error is found again by the decoder itself"
    for number, verdict in verdicts.items():
        assert f"{verdict['encoder']}: {verdict['reason']}" == REASONS[number]
        assert verdict["after"] < met[number]


def test_batches_stay_full_and_the_others_in_their_places(reference: unlabeled.Run) -> None:
    seen = json.loads((reference.folder / "seen.json").read_text())
    assert len(seen) == 12
    for step, ids in enumerate(seen):
        epoch, positions = step_positions(step, ROWS, BATCH, True)
        due = sample_positions(0, epoch, positions, ROWS)
        assert len(ids) == BATCH
        assert [found for found, number in zip(ids, due, strict=True) if number not in REASONS] == [
            number for number in due if number not in REASONS
        ]
        assert not set(ids) & set(REASONS)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["data.workers=3"], id="three workers"),
        pytest.param(["data.workers=2", "modalities.row.id=stubborn/cached-row"], id="decoded once into the cache"),
    ],
)
def test_workers_and_cache_change_nothing(
    overrides: list[str], recipe: Recipe, reference: unlabeled.Run, tmp_path: Path
) -> None:
    run = train(recipe, tmp_path / "run", *overrides)
    assert_same_run(reference.folder, run.folder)
    assert run.read("quarantine.jsonl") == reference.read("quarantine.jsonl")
    if len(overrides) > 1:
        assert {line["after"] for line in run.read("cut-off.jsonl")} == {0}
        caches = [SampleCache(folder) for folder in (cache_root() / "decoded").iterdir()]
        (cache,) = [cache for cache in caches if len(cache) == ROWS]
        assert [number for number, entry in enumerate(cache._index) if entry is None] == [7, 23, 41]
        assert not cache.complete, "another run, with more time, may decode them"


def test_kills_change_nothing_with_cells_that_hang_and_crash(
    recipe: Recipe, reference: unlabeled.Run, plugin: Path, rows_plugin: Path, tmp_path: Path
) -> None:
    path = tmp_path / "stubborn.yaml"
    path.write_text(yaml.safe_dump(recipe))
    places: Any = os.pathsep.join([str(plugin), str(rows_plugin)])
    codes = [
        train_and_kill(path, tmp_path / "run", places, at, f"data.workers={workers}")
        for at, workers in ((3, 2), (None, 1))
    ]
    assert codes == [-9, 0]
    assert_same_run(reference.folder, tmp_path / "run")
    assert (tmp_path / "run" / "quarantine.jsonl").read_text() == (reference.folder / "quarantine.jsonl").read_text()
    assert verdicts(tmp_path / "run") == verdicts(reference.folder)


def verdicts(run: Path) -> dict[int, Any]:
    """Id -> the verdict that holds. Workers are ahead, so a cell may be found in a later step first, and then in an earlier."""
    lines = [json.loads(line) for line in (run / "cut-off.jsonl").read_text().splitlines()]
    return {line["id"]: line for line in sorted(lines, key=lambda line: line["after"], reverse=True)}


def test_a_verdict_is_not_given_anew_in_a_continuation(
    recipe: Recipe, reference: unlabeled.Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    verdict = {**reference.read("cut-off.jsonl")[0], "id": 3, "after": 5, "reason": "it was slow that day"}
    (folder / "cut-off.jsonl").write_text(json.dumps(verdict) + '\n{"after": 1, "da')
    run = train(recipe, folder, "data.workers=1")
    lines = [line for line in run.read("quarantine.jsonl") if line["id"] == 3]
    due = [step for step, ids in enumerate(json.loads((reference.folder / "seen.json").read_text())) if 3 in ids]
    assert {line["step"] - 1 for line in lines} == {
        step for step in due if step >= 5 and 3 in sample_positions(0, *step_positions(step, ROWS, BATCH, True), ROWS)
    }
    assert lines and {line["reason"] for line in lines} == {"row: it was slow that day"}
    assert [line["id"] for line in run.read("cut-off.jsonl")][0] == 3, "the half line of a killed run is gone"


def test_evaluation_reads_through_the_same_workers(recipe: Recipe, tmp_path: Path) -> None:
    # One step in which none of the bad cells is due leaves them to evaluation.
    options = ["training.epochs=null", "training.steps=1", "training.batch_size=2", "evaluation=[{id: standard/knn}]"]
    run = train(recipe, tmp_path / "run", "data.workers=2", *options)
    (line,) = run.read("evaluations.jsonl")
    assert 0 <= line["metrics"]["accuracy"] <= 1
    assert {verdict["id"] for verdict in run.read("cut-off.jsonl")} == {7, 23, 41}


@pytest.mark.slow
def test_two_processes_write_one_quarantine(
    recipe: Recipe, reference: unlabeled.Run, plugin: Path, rows_plugin: Path, tmp_path: Path
) -> None:
    run = tmp_path / "two"
    (tmp_path / "plan.json").write_text(json.dumps({"two": [recipe, ["data.workers=1"], str(run)]}))
    script = Path(__file__).parents[1] / "processes" / "two_processes.py"
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin), str(rows_plugin)])}
    done = subprocess.run(
        [*line, str(tmp_path / "plan.json")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(run.glob("*-1.jsonl")), "the first process alone writes"
    assert (run / "quarantine.jsonl").read_text() == (reference.folder / "quarantine.jsonl").read_text()
    verdicts = [{**json.loads(line), "after": 0} for line in (run / "cut-off.jsonl").read_text().splitlines()]
    expected = [{**line, "after": 0} for line in reference.read("cut-off.jsonl")]
    assert sorted(verdicts, key=lambda line: line["id"]) == sorted(expected, key=lambda line: line["id"])
    states = [
        json.loads((folder / "checkpoints/step-00000012/trainer.json").read_text())
        for folder in (run, reference.folder)
    ]
    assert [(state["bad_cells"], state["samples"]) for state in states] == [(len(LOGGED), 3 * ROWS)] * 2


def test_no_bad_cell_at_all_can_be_asked_for(rows_recipe: Recipe, tmp_path: Path) -> None:
    values = np.zeros((100, 32))
    values[::20, 3] = np.nan
    write(tmp_path / "nan.parquet", values)
    rows_recipe["data"].update(source=str(tmp_path / "nan.parquet"), max_bad=0)
    with pytest.raises(
        unlabeled.UnlabeledError, match=r"\d of 32 cells .* more than data.max_bad=0.* see .*quarantine.jsonl, "
    ):
        train(rows_recipe, tmp_path / "run")
