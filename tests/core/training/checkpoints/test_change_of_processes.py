"""From one process to two and back, at the same batch size: the same samples, augmentations and learning rate."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("record_steps.py")


def steps_seen(files: list[Path]) -> dict[int, dict[tuple[int, str], str]]:
    """Step -> (view, sample id) -> hash, of all processes together."""
    found: dict[int, dict[tuple[int, str], str]] = {}
    for file in files:
        for line in map(json.loads, file.read_text().splitlines()):
            rows = {(line["view"], sample): digest for sample, digest in line["rows"].items()}
            step = found.setdefault(line["step"], {})
            assert not step.keys() & rows.keys(), "no sample is seen by two processes"
            step |= rows
    return found


def test_a_step_is_the_same_on_any_number_of_processes(
    rows_recipe: dict[str, Any], rows_plugin: Path, tmp_path: Path
) -> None:
    rows_recipe["training"].update(micro_batches=2, batch_size=31, drop_last=False, warmup_steps=5)
    (tmp_path / "rows.yaml").write_text(json.dumps(rows_recipe))
    line = [sys.executable, str(SCRIPT), str(tmp_path / "rows.yaml"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    whole = steps_seen([tmp_path / "whole-0-0.jsonl"])
    starts = [sorted(tmp_path.glob(f"changed-{number}-*.jsonl")) for number in range(3)]
    assert [len(files) for files in starts] == [1, 2, 1]
    seen = [steps_seen(files) for files in starts]
    assert [sorted(part) for part in seen] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert seen[0] | seen[1] | seen[2] == whole
    assert len(whole[0]) == 2 * 31
    assert len({digest for step in whole.values() for digest in step.values()}) == sum(map(len, whole.values()))
    one, changed = ([json.loads(text) for text in (tmp_path / way / "metrics.jsonl").read_text().splitlines()] for way in ("whole", "changed"))  # fmt: skip
    assert [(item["step"], item["learning_rate"]) for item in one] == [(item["step"], item["learning_rate"]) for item in changed]  # fmt: skip
    assert [item["loss"] for item in changed] == pytest.approx([item["loss"] for item in one], rel=1e-5)
