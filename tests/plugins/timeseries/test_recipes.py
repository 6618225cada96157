"""The shipped recipe on a little of the sample world, and on series of unequal length in a table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel

import unlabeled

SHORT = [
    "training.steps=4",
    "training.batch_size=8",
    "training.warmup_steps=1",
    "data.workers=0",
    "modalities.series.encoder.width=16",
]
WORLD = ["data.options={items: {train: 96, validation: 8, test: 16}, steps: 32}"]
PATCHTST = "modalities.series.encoder={id: timeseries/patchtst, width: 16, depth: 1, heads: 2, patch_length: 4}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """36 series of 2 channels and 9 to 20 steps; one has a value missing, one has 3 channels."""
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(9 + number % 12, 2)).cumsum(axis=0) + number % 2 for number in range(36)]
    cells: list[Any] = [row.tolist() for row in rows]
    cells[5][3][1] = None
    cells[7] = [[*step, 0.0] for step in cells[7]]
    for split in ("train", "test"):
        labels = [number % 2 for number in range(len(cells))]
        pq.write_table(pa.table({"series": cells, "label": labels}), tmp_path / f"{split}.parquet")
        cells[5][3][1], cells[7] = 0.0, rows[7].tolist()
    return tmp_path


def options_of(table: Path) -> list[str]:
    return [
        "data.source=null",
        f"data.splits.train.source={table / 'train.parquet'}",
        f"data.splits.test.source={table / 'test.parquet'}",
        "data.label=label",
    ]


def test_recipe_trains_and_is_evaluated_beside_its_baselines(tmp_path: Path) -> None:
    run = unlabeled.train("timeseries-simclr", [*SHORT, *WORLD], run=tmp_path / "run", quiet=True)
    for line in run.read("evaluations.jsonl"):
        assert set(line["baselines"]) == {"untrained", "raw"}
    losses = [line["loss"] for line in run.read("metrics.jsonl")]
    assert losses and np.isfinite(losses).all()
    learned = json.loads(next((run.exports / "series").rglob("series.json")).read_text())
    assert learned["channels"] == 5 and learned["length"] == 32


def test_patchtst_on_unequal_lengths_leaves_as_a_transformers_checkpoint(tmp_path: Path, table: Path) -> None:
    run = unlabeled.train(
        "timeseries-simclr",
        [*SHORT[1:-1], "training.steps=9", *options_of(table), PATCHTST],
        run=tmp_path / "run",
        quiet=True,
    )
    quarantined = run.read("quarantine.jsonl")
    assert {line["reason"].split("; ")[0] for line in quarantined} == {
        "series: series has missing values",
        "series: series has 3 channels, the training data have 2",
    }
    model = AutoModel.from_pretrained(run.exports / "series").eval()
    values = torch.zeros(1, 20, 2)
    with torch.no_grad():
        assert model(past_values=values).last_hidden_state.shape == (1, 2, 5, 16)


def test_masked_reconstruction_of_patches_runs_as_it_is(tmp_path: Path) -> None:
    objective = "objectives=[{id: standard/masked-reconstruction, on: [series]}]"
    options = [*SHORT[:-1], *WORLD, PATCHTST, objective, "augmentations={}", "evaluation=[]"]
    run = unlabeled.train("timeseries-simclr", options, run=tmp_path / "run", quiet=True)
    losses = [line["loss"] for line in run.read("metrics.jsonl")]
    assert losses and np.isfinite(losses).all()
