"""Out of memory: the step is repeated in micro-batches of half the size; the global batch stays.

Several processes cannot repeat a step in place, as the others wait within it. There the process that failed leaves a note
in the run folder and ends, and the next start of the same command goes on as the note says.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from unlabeled.errors import Stopped, UnlabeledError

Result = TypeVar("Result")
NOTE = "micro_batches.json"
# Where torch has no exception class for it: the CPU's allocator, and libraries that allocate for themselves.
_TEXTS = ("DefaultCPUAllocator: ", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class OutOfMemory:
    """Why something could not be computed, in one line."""

    reason: str


def attempt(work: Callable[[], Result]) -> Result | OutOfMemory:
    """What `work` gives, or that memory ran out; nothing holds the tensors of the failed attempt then."""
    try:
        return work()
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0]
    # Only here, after the exception with its frames is gone, can what they held be given back.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return OutOfMemory(reason)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether this says that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _TEXTS)


def halve(now: int, sizes: Sequence[int], step: int, failure: OutOfMemory) -> tuple[int, str]:
    """The number of micro-batches to go on with, up to one for each row, and what to tell of it.

    now: the number that was too small; sizes: rows of each micro-batch of this process in `step` (counted from 1).
    `UnlabeledError` where each has one row already.
    """
    rows = sum(sizes)
    if max(sizes) == 1:
        raise UnlabeledError(
            f"step {step}: out of memory with one row in a micro-batch ({failure.reason}); make the samples smaller (shorter, "
            "fewer pixels) or the encoder, or set training.precision=bfloat16"
        )
    more = min(2 * now, rows)
    return more, (
        f"step {step}: out of memory with {max(sizes)} rows in a micro-batch, going on with {math.ceil(rows / more)}; the batch "
        "stays as it is, and the result is the same up to dropout and rounding; to begin so, set "
        f"training.micro_batches={more} ({failure.reason})"
    )


def write_note(folder: Path, micro_batches: int, process: int) -> None:
    """Leave for the next start that a process needs so many micro-batches."""
    partial = folder / f".{NOTE}.{process}"
    partial.write_text(json.dumps({"micro_batches": micro_batches, "process": process}) + "\n")
    partial.replace(folder / NOTE)


def read_note(folder: Path) -> int:
    """The number of micro-batches that a process of an earlier start needed; 1 where none ran out of memory."""
    path = folder / NOTE
    return int(json.loads(path.read_text())["micro_batches"]) if path.is_file() else 1


def explain(error: RuntimeError, elsewhere: bool) -> Exception:
    """What to raise for an error that ended training; elsewhere: another process has left a note, and so broke the connection."""
    if elsewhere:
        return Stopped("stopped, as another process ran out of memory; the same command continues")
    if out_of_memory(error):
        return UnlabeledError(
            f"out of memory outside of the passes over a micro-batch ({str(error).strip().splitlines()[0]}), where smaller "
            "ones do not help; make the encoder smaller, free the device of other programs, or shard over more processes"
        )
    return error
