"""How long training stands still for a checkpoint, beside the time of a step and of the writing in the background.

    python tests/benchmarks/checkpoints.py RECIPE [key=value ...]

prints the size of a checkpoint, and medians and maxima in milliseconds: of a step, of a step while a checkpoint is being
written, of the stall (waiting for the last checkpoint, and copying), and of the writing.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import unlabeled
from unlabeled.training.checkpoints import saving
from unlabeled.training.checkpoints.saving import CheckpointWriter
from unlabeled.training.trainer import Trainer


def timed(function: Callable[..., Any], times: Callable[..., list[float]]) -> Callable[..., Any]:
    """The function, its seconds appended to a list that is chosen by its arguments."""

    def run(*arguments: Any) -> Any:
        chosen = times(*arguments)
        began = time.perf_counter()
        result = function(*arguments)
        chosen.append(time.perf_counter() - began)
        return result

    return run


def main(recipe: str, overrides: list[str]) -> None:
    """Train, and print."""
    quiet, busy, stalls, writes = [], [], [], []  # type: list[float], list[float], list[float], list[float]

    def of_step(trainer: Trainer, *_: Any) -> list[float]:
        writing = trainer.writer._writing
        return busy if writing is not None and not writing.done() else quiet

    Trainer._step = timed(Trainer._step, of_step)  # type: ignore[method-assign]
    CheckpointWriter.save = timed(CheckpointWriter.save, lambda *_: stalls)  # type: ignore[method-assign]
    saving.write_checkpoint = timed(saving.write_checkpoint, lambda *_: writes)
    with tempfile.TemporaryDirectory() as folder:
        run = unlabeled.train(recipe, overrides, run=Path(folder) / "run", quiet=True)
        newest = sorted(run.checkpoints.iterdir())[-1]
        size = sum(path.stat().st_size for path in newest.iterdir())
    print(f"checkpoint: {size / 2**20:.1f} MiB")
    names = ("step", "step while writing", "stall", "first stall", "writing")
    for name, times in zip(names, (quiet, busy, stalls[1:], stalls[:1], writes), strict=True):
        if times:
            middle, largest = statistics.median(times) * 1000, max(times) * 1000
            print(f"{name:20} median {middle:8.1f} ms  largest {largest:8.1f} ms  of {len(times)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
