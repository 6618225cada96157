"""Saving in the background: training waits while tensors are copied, a thread does the rest."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.training.checkpoints.checkpoint import (
    Checkpoint,
    checkpoint_step,
    list_checkpoints,
    remove_checkpoint,
    write_checkpoint,
)
from unlabeled.training.checkpoints.retention import Retention

_Tensors = Mapping[str, Mapping[str, Tensor]]


class CheckpointWriter:
    """Writes checkpoints on a thread, one at a time, and removes those that need not be kept.

    A checkpoint that is complete is told to `announce`, and an `UnlabeledError` of the thread is raised, by the next
    `poll`, `save` or `wait`: always on the caller's thread.
    """

    def __init__(self, folder: Path, retention: Retention, announce: Callable[[Path], None]) -> None:
        self.folder, self.retention, self._announce = folder, retention, announce
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[Path] | None = None
        self._copies: dict[tuple[str, str], Tensor] = {}

    def save(self, tensors: _Tensors, trainer: Mapping[str, Any], best: int | None = None) -> None:
        """Copy file -> name -> tensor, and have the copies written; waits where the last checkpoint is not yet written.

        best: the step of the best checkpoint, which is kept.
        """
        self.wait()
        copies = {file: {name: self._copy(file, name, value) for name, value in named.items()}
                  for file, named in tensors.items()}  # fmt: skip
        copied = None
        if any(value.is_cuda for named in tensors.values() for value in named.values()):
            copied = torch.cuda.Event()
            copied.record()
        self._writing = self._thread.submit(self._write, Checkpoint(copies, dict(trainer)), copied, best)

    def poll(self) -> None:
        """Announce a checkpoint that was completed meanwhile."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Return when what was saved is written and announced."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self._announce(writing.result())

    def close(self) -> None:
        """Wait for the thread, whatever came of it; nothing can be saved any more."""
        self._thread.shutdown()

    def _copy(self, file: str, name: str, value: Tensor) -> Tensor:
        # The same memory each time: writing into fresh pages takes five times as long. From a GPU into pinned memory
        # the copy only has to be ordered before the next step, which its stream does.
        copy = self._copies.get((file, name))
        if copy is None or copy.shape != value.shape or copy.dtype != value.dtype:
            copy = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
            self._copies[file, name] = copy
        return copy.copy_(value.detach(), non_blocking=True)

    def _write(self, checkpoint: Checkpoint, copied: torch.cuda.Event | None, best: int | None) -> Path:
        if copied is not None:
            copied.synchronize()
        path = write_checkpoint(self.folder, checkpoint)
        there = {checkpoint_step(item): item for item in list_checkpoints(self.folder)}
        for step in self.retention.surplus(there, checkpoint_step(path), best):
            remove_checkpoint(there[step])
        return path
