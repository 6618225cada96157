"""A policy is asked on every rank: one that forbids a plugin imports nothing of it, and the run ends on all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def site(rows_plugin: Path, tmp_path: Path) -> Path:
    """The example plugin, installed where a test may change it."""
    return Path(shutil.copytree(rows_plugin, tmp_path / "site"))


def variables(site: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))}


def change(site: Path) -> None:
    with (site / "unlabeled_rows" / "__init__.py").open("a") as file:
        file.write("\n")


def allow(site: Path, policy: Path) -> None:
    """Write the policy of what is installed."""
    write = [sys.executable, "-m", "unlabeled", "plugins", "policy", "write", "--editable", "--out", str(policy)]
    subprocess.run(write, env=variables(site), check=True, capture_output=True)


def train(site: Path, root: Path, recipe: dict[str, Any], ranks: str) -> dict[int, dict[str, Any]]:
    """What each of two gloo processes said by its rank, of which `ranks` have the policy."""
    (root / "rows.yaml").write_text(json.dumps({**recipe, "training": {"steps": 2, "batch_size": 16}}))
    script = str(Path(__file__).with_name("each_its_policy.py"))
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    arguments = [str(root / "policy.toml"), ranks, str(root / "rows.yaml"), "--run-folder", str(root / "run")]
    subprocess.run([*line, *arguments], env=variables(site), capture_output=True, text=True, check=False)
    files = {rank: root / f"answer-{rank}.json" for rank in range(2)}
    return {rank: json.loads(file.read_text()) for rank, file in files.items() if file.exists()}


def test_two_processes_train_what_is_allowed(site: Path, tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    allow(site, tmp_path / "policy.toml")
    answers = train(site, tmp_path, rows_recipe, "0,1")
    assert [(answer["code"], answer["imported"]) for answer in answers.values()] == [(0, True)] * 2


def test_two_processes_refuse_what_was_changed(site: Path, tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    allow(site, tmp_path / "policy.toml")
    change(site)
    line = (
        f"error: plugin 'unlabeled-rows' is not allowed by {tmp_path}/policy.toml: unlabeled_rows/__init__.py was changed; "
        "ask who keeps that file"
    )
    answers = train(site, tmp_path, rows_recipe, "0,1")
    assert answers  # the first to end may end the other before that writes its own
    assert all(answer == {"code": 2, "lines": [line], "imported": False} for answer in answers.values())
    assert not (tmp_path / "run").exists()


def test_one_rank_that_forbids_it_ends_the_run_of_all(site: Path, tmp_path: Path, rows_recipe: dict[str, Any]) -> None:
    allow(site, tmp_path / "policy.toml")
    change(site)
    answer = train(site, tmp_path, rows_recipe, "1")[1]
    assert (answer["code"], answer["imported"]) == (2, False)
    assert not list((tmp_path / "run").glob("checkpoints/*"))
