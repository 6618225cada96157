"""Processes that were started with something else refuse together, in one line that names it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from unlabeled.errors import UnlabeledError
from unlabeled.training.processes.agreement import agree, together

Answers = dict[str, list[dict[str, Any]]]


def write_table(path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(64, 32))
    pyarrow.parquet.write_table(pyarrow.table({"values": values.tolist(), "label": [0, 1] * 32}), path)


@pytest.fixture(scope="module")
def answers(rows_plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What two real processes said, case by case."""
    root = tmp_path_factory.mktemp("disagreement")
    here, there = root / "here", root / "there"
    for seed, folder in enumerate((here, there)):
        folder.mkdir()
        write_table(folder / "rows.parquet", seed)
    recipe = {
        "modalities": {"row": {"id": "rows/row", "width": 32}},
        "data": {"source": "rows.parquet", "label": "label", "workers": 0},
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {"steps": 2, "batch_size": 16},
    }
    (root / "rows.yaml").write_text(json.dumps(recipe))
    newer = root / "newer"
    shutil.copytree(rows_plugin, newer)
    (newer / "unlabeled_rows-0.1.0.dist-info").rename(newer / "unlabeled_rows-0.2.0.dist-info")
    (root / "another").mkdir()
    (root / "another" / "recipe.yaml").write_text("training: {seed: 1}\n")
    plain = {"folder": str(here), "plugins": str(rows_plugin), "arguments": [str(root / "rows.yaml")]}

    def case(name: str, **other: Any) -> list[dict[str, Any]]:
        both = [plain, {**plain, **other}]
        return [{**own, "arguments": [*own["arguments"], "--run", str(root / name)]} for own in both]

    arguments = plain["arguments"]
    plan = {
        "data": case("data", folder=str(there)),
        "recipe": case("recipe", arguments=[*arguments, "training.learning_rate=0.5"]),
        "plugin": case("plugin", plugins=str(newer)),
        "missing": case("missing", folder=str(root)),
        "another": case("another"),
        # The last one, as a command that ends well leaves the group.
        "workers": case("workers", arguments=[*arguments, "data.workers=1"]),
    }
    (root / "plan.json").write_text(json.dumps(plan))
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = str(Path(__file__).with_name("each_its_own.py"))
    done = subprocess.run([*line, script, str(root / "plan.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: [json.loads((root / f"{name}-{rank}.json").read_text()) for rank in range(2)] for name in plan}


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("data", ["rank 1: the data differ: train is ", ", on rank 0 ", "start every process with the same"]),
        ("recipe", ["rank 1: the recipes differ: training.learning_rate is 0.5, on rank 0 0.001; "]),
        ("plugin", ["rank 1: the plugins differ: unlabeled-rows is 0.2.0, on rank 0 0.1.0; "]),
        ("missing", ["rank 1: ", "rows.parquet"]),
        ("another", ["rank 0: ", "holds a run of another recipe"]),
    ],
)
def test_all_refuse_in_one_line_that_names_what_differs(answers: Answers, case: str, says: list[str]) -> None:
    for answer in answers[case]:
        assert answer["code"] == 2
        (line,) = answer["lines"]
        assert line.startswith("error: ")
        assert all(part in line for part in says), line


def test_what_changes_no_result_may_differ(answers: Answers) -> None:
    assert [answer["code"] for answer in answers["workers"]] == [0, 0]


def test_one_process_agrees_with_itself_and_names_no_rank() -> None:
    agree({"the data": {"train": "abc"}})
    assert together(lambda: 1) == 1

    def fail() -> None:
        raise UnlabeledError("data: gone")

    with pytest.raises(UnlabeledError, match=r"^data: gone$"):
        together(fail)
