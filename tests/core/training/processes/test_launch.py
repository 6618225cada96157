"""Launchers: two machines (as two agents of torchrun on one), and accelerate's FSDP2."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import unlabeled

Recipe = dict[str, Any]


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_machines_with_caches_of_their_own(rows_recipe: Recipe, rows_plugin: Path, tmp_path: Path) -> None:
    rows_recipe["training"]["precision"] = "float64"
    (tmp_path / "rows.yaml").write_text(json.dumps(rows_recipe))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    options = ["--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint, "--rdzv-id", "test"]
    train = ["-m", "unlabeled", "train", str(tmp_path / "rows.yaml"), "--run-folder", str(tmp_path / "two")]
    agents = [
        subprocess.Popen(
            [*launch, *options, *train],
            env={**os.environ, "PYTHONPATH": str(rows_plugin), "UNLABELED_CACHE": str(tmp_path / f"cache-{node}")},
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in range(2)
    ]
    said = [agent.communicate()[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    one = unlabeled.train(rows_recipe, run=tmp_path / "one", quiet=True)
    assert losses(tmp_path / "two") == pytest.approx(losses(one.folder), rel=1e-9)
    assert losses(tmp_path / "two") != losses(one.folder), "equal bits would mean that only one process ran"


@pytest.mark.slow
def test_accelerate_launch_shards(rows_recipe: Recipe, rows_plugin: Path, tmp_path: Path) -> None:
    rows_recipe["training"]["precision"] = "float64"
    (tmp_path / "rows.yaml").write_text(json.dumps(rows_recipe))
    launch = ["-m", "accelerate.commands.launch", "--use_fsdp", "--fsdp_version", "2", "--num_processes", "2"]
    options = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    train = ["-m", "unlabeled", "train", str(tmp_path / "rows.yaml"), "--run", str(tmp_path / "two")]
    done = subprocess.run(
        [sys.executable, *launch, *options, *train],
        env={**os.environ, "PYTHONPATH": str(rows_plugin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (checkpoint, *_) = (tmp_path / "two" / "checkpoints").iterdir()
    assert (checkpoint / "model-1.safetensors").is_file(), "sharded"
    one = unlabeled.train(rows_recipe, run=tmp_path / "one", quiet=True)
    assert losses(tmp_path / "two") == pytest.approx(losses(one.folder), rel=1e-9)
