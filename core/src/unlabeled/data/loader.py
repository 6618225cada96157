"""Loader: the steps of one process, decoded, taken and collated by workers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unlabeled.data.cache import BadCell
from unlabeled.data.order import share, step_positions, steps_per_epoch
from unlabeled.data.quarantine import BadRow
from unlabeled.data.reader import Example, Reader
from unlabeled.data.workers import Watch, in_order
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.batch import Batch
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.modality import Modality, Sample

ViewKey = tuple[str, str, int]
_ATTEMPTS = 1000


@dataclass(frozen=True)
class MicroBatch:
    """The rows of one micro-batch: a batch for each view; views that take the same share one batch."""

    epoch: int
    batches: Mapping[ViewKey, Batch]

    @property
    def rows(self) -> int:
        return next(iter(self.batches.values())).rows

    @property
    def ids(self) -> torch.Tensor:
        return next(iter(self.batches.values())).ids


@dataclass(frozen=True)
class StepBatches:
    """What one process does in one step."""

    step: int
    epoch: int
    micro_batches: Sequence[MicroBatch]
    bad: Sequence[BadRow]
    cells: int
    """Rows that all processes read for this step, bad ones included."""


@dataclass(frozen=True)
class Plan:
    """What decides which rows a process sees; the number of workers is not in it."""

    seed: int
    steps: int
    batch_size: int
    drop_last: bool
    micro_batches: int
    process: int
    processes: int

    def step_rows(self, step: int, size: int) -> list[int]:
        """Rows of each process in a step."""
        _, positions = step_positions(step, size, self.batch_size, self.drop_last)
        shares = (share(len(positions), part, self.processes) for part in range(self.processes))
        return [part.stop - part.start for part in shares]

    def step_micro_batches(self, step: int, size: int) -> int:
        """Micro-batches of a step: as many on each process, since weights that are shared out are gathered in each, and none
        without a row.
        """
        return min(self.micro_batches, *self.step_rows(step, size))


class _Steps:
    """Step number -> the process's part of it."""

    def __init__(self, reader: Reader, views: Sequence[ViewKey], plan: Plan) -> None:
        self.reader, self.views, self.plan = reader, views, plan

    def load(self, step: int, watch: Watch) -> StepBatches:
        plan, size = self.plan, len(self.reader)
        epoch, positions = step_positions(step, size, plan.batch_size, plan.drop_last)
        own = positions[share(len(positions), plan.process, plan.processes)]
        bad: list[BadRow] = []
        rows = self.reader.order(plan.seed, epoch, own)
        examples = [
            self._example(step, epoch, int(position), int(row), bad, watch)
            for position, row in zip(own, rows, strict=True)
        ]
        count = plan.step_micro_batches(step, size)
        parts = [share(len(examples), part, count) for part in range(count)]
        micro = [
            MicroBatch(epoch, collate_views(examples[part], self.views, self.reader.modalities, plan.seed, epoch))
            for part in parts
        ]
        if not self.reader.packed:
            return StepBatches(step, epoch, micro, bad, len(positions))
        # Packing read all cells at once; its bad ones are told as those of each epoch's first step, by the first process.
        if positions[0] > 0:
            return StepBatches(step, epoch, micro, [], 0)
        rejected = self.reader.rejected.items() if plan.process == 0 else ()
        bad = [BadRow(step, epoch, number, reason) for number, reason in rejected]
        return StepBatches(step, epoch, micro, bad, len(self.reader.split))

    def _example(self, step: int, epoch: int, position: int, row: int, bad: list[BadRow], watch: Watch) -> Example:
        """The row at a position of the epoch, or the first substitute by key that can be decoded."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                row = int(self.reader.order(self.plan.seed, epoch, np.array([position]), attempt)[0])
            try:
                return self.reader.example(row, watch, step)
            except BadCell as error:
                if attempt == 0:  # a substitute that is bad is logged where its own turn comes
                    bad.append(BadRow(step, epoch, int(self.reader.split.numbers[row]), str(error)))
        raise UnlabeledError(
            f"data.splits.{self.reader.split.name}: {_ATTEMPTS} cells in a row could not be decoded "
            f"(the last: {bad[-1].reason}); check data.source and data.columns"
        )


def collate_views(
    examples: Sequence[Example], views: Sequence[ViewKey], modalities: Mapping[str, Modality], seed: int, epoch: int
) -> dict[ViewKey, Batch]:
    """A batch for each view; where a modality takes the whole sample, all its views share one."""
    ids = torch.tensor([example.id for example in examples], dtype=torch.int64)
    shared: dict[str, Batch] = {}
    batches = {}
    for encoder, role, index in views:
        modality = modalities[encoder]
        whole = type(modality).take is Modality.take
        if whole and encoder in shared:
            batches[encoder, role, index] = shared[encoder]
            continue
        samples = [
            _take(modality, example, Draws(seed, epoch, ids[row : row + 1], encoder, role, index, path="/take"))
            for row, example in enumerate(examples)
        ]
        present = torch.tensor([example.present[encoder] for example in examples])
        batches[encoder, role, index] = shared[encoder] = collate(modality, samples, ids, present)
    return batches


def collate(modality: Modality, samples: Sequence[Sample], ids: torch.Tensor, present: torch.Tensor) -> Batch:
    """Samples of one modality as a batch."""
    tensors = modality.collate(samples)
    extra: dict[str, Any] = {name: tensors.pop(name) for name in modality.extras if name in tensors}
    return Batch(tensors, ids, present, extra)


def load_steps(reader: Reader, views: Sequence[ViewKey], plan: Plan, start: int, workers: int) -> Iterator[StepBatches]:
    """The process's steps from `start` on, in order; workers change nothing but the speed."""
    steps = _Steps(reader, views, plan)
    return in_order(steps.load, range(start, plan.steps), reader.supervision(workers, steps=True))


def _take(modality: Modality, example: Example, draws: Draws) -> Sample:
    return modality.take(example.samples[draws.encoder], draws, draws.role)


def check_size(samples: int, batch_size: int, drop_last: bool) -> None:
    """`UnlabeledError` where an epoch has no step."""
    if steps_per_epoch(samples, batch_size, drop_last) == 0:
        raise UnlabeledError(
            f"training.batch_size: {batch_size} is more than the {samples} training samples; "
            f"set training.batch_size to at most {samples}, or training.drop_last=false"
        )
