"""Every recipe reads real files of its modality through the options that a user has.

The files are those of `tests/benchmarks/quality.py`, in the folder that UNLABELED_TEST_DATA names; without it these tests skip.
"""

import math
import os
import runpy
from pathlib import Path

import pytest

import unlabeled

CASES = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "quality.py"))["CASES"]
SHORT = ["training.steps=2", "training.batch_size=8", "training.log_every=1", "data.workers=0"]
RANK = "evaluation=[{id: standard/rankme, max_samples: 64}]"


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_trains_on_real_data(name: str, tmp_path: Path) -> None:
    folder = os.environ.get("UNLABELED_TEST_DATA")
    if folder is None:
        pytest.skip(f"{name}: UNLABELED_TEST_DATA does not name a folder of real data")
    case = CASES[name]
    overrides = [*case.overrides(Path(folder), case.parts[0]), *SHORT, RANK]
    run = unlabeled.train(case.recipe, overrides, run=tmp_path / "run", quiet=True)
    assert [line["step"] for line in run.read("metrics.jsonl")] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in run.read("metrics.jsonl"))
    assert not run.read("quarantine.jsonl"), "every cell of these files can be decoded"
    assert {line["evaluator"] for line in run.read("evaluations.jsonl")} == {"standard/rankme"}
    assert all(line["metrics"]["rankme"] > 1 for line in run.read("evaluations.jsonl"))
