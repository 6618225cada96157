"""Subjects of evaluation: features and losses of trained, untrained and raw encoders over whole splits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.loader import MicroBatch, collate_views
from unlabeled.data.reader import Example, Reader
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.batch import Batch
from unlabeled.interfaces.objective import Context
from unlabeled.training.embedding import embed_batch, plain_batch
from unlabeled.training.learner import Learner
from unlabeled.training.setup import Data, Setup
from unlabeled.training.step import StepEngine
from unlabeled.training.views import ViewBuilder

_BATCH = 128
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Features:
    """One pass over a split: what one subject makes of it."""

    positions: list[int]
    """Positions of the rows that could be decoded, the same for every subject."""
    arrays: Mapping[tuple[str, bool], np.ndarray]
    """(encoder, projected) -> (n, D) float32."""


@dataclass
class FeatureStore:
    """Computes the features of a split once for each subject, when they are asked for."""

    setup: Setup
    data: Data
    learners: Mapping[str, Learner]
    """`trained` and `untrained`."""
    limit: int | None = None
    """Only the first rows of each split."""
    _kept: dict[tuple[str, str], _Features] = field(default_factory=dict)
    _losses: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    _readers: dict[str, Reader] = field(default_factory=dict)

    def reader(self, split: str) -> Reader:
        """The reader of a split."""
        if split not in self.data.splits:
            raise ValueError(f"no split {split} in the data; there are: {', '.join(self.data.splits)}")
        if split not in self._readers:
            self._readers[split] = self.setup.reader(self.data.splits[split], self.data.columns)
        return self._readers[split]

    def features(self, subject: str, split: str) -> _Features:
        """What a subject makes of a split."""
        if (subject, split) not in self._kept:
            self._kept[subject, split] = self._compute(subject, split)
        return self._kept[subject, split]

    def positions(self, split: str) -> list[int]:
        """Positions of the rows of a split that could be decoded."""
        known = next((kept.positions for (_, name), kept in self._kept.items() if name == split), None)
        return known if known is not None else [position for position, _ in self.examples(split)]

    def losses(self, subject: str, split: str) -> dict[str, float]:
        """Mean of each loss term and monitor over a split, by fixed draws."""
        if (subject, split) not in self._losses:
            self._losses[subject, split] = self._mean_losses(self.learners[subject], split)
        return self._losses[subject, split]

    def examples(self, split: str) -> Iterator[tuple[int, Example]]:
        """Position and row of everything in a split that can be decoded."""
        reader = self.reader(split)
        positions = range(len(reader) if self.limit is None else min(self.limit, len(reader)))
        for position, found in zip(positions, reader.examples(positions), strict=True):
            if isinstance(found, Example):
                yield position, found

    def _compute(self, subject: str, split: str) -> _Features:
        positions: list[int] = []
        parts: dict[tuple[str, bool], list[np.ndarray]] = {}
        for chunk in _chunks(self.examples(split), _BATCH):
            positions += [position for position, _ in chunk]
            examples = [example for _, example in chunk]
            for name, modality in self.setup.modalities.items():
                batch = plain_batch(modality, name, examples)
                for projected, values in self._features_of(subject, name, batch).items():
                    parts.setdefault((name, projected), []).append(values.to(torch.float32).cpu().numpy())
        if not positions:
            raise UnlabeledError(
                f"data.splits.{split}: no row could be decoded; check data.columns and see quarantine.jsonl"
            )
        return _Features(positions, {key: np.concatenate(values) for key, values in parts.items()})

    def _features_of(self, subject: str, name: str, batch: Batch) -> dict[bool, Tensor]:
        """Projected or not -> (B, D) features of a plain batch."""
        if subject == "raw":
            return {False: self.setup.modalities[name].raw(batch).flatten(1)}
        learner = self.learners[subject]
        pooled = embed_batch(learner, name, batch)
        objective = next((part for key, part in learner.named() if name in learner.on[key]), None)
        with torch.no_grad():
            projected = pooled if objective is None else objective.embed(name, pooled)
        return {False: pooled, True: projected}

    def _mean_losses(self, learner: Learner, split: str) -> dict[str, float]:
        training = self.setup.recipe.recipe.training
        views = ViewBuilder.of(self.setup.recipe)
        engine = StepEngine(learner, learner, {entry.name: entry.weight for entry in self.setup.recipe.objectives})
        device = next(learner.parameters()).device
        learner.eval()
        sums: dict[str, float] = {}
        scored: dict[str, float] = {}
        for chunk in _chunks(self.examples(split), training.batch_size):
            examples = [example for _, example in chunk]
            batches = collate_views(examples, views.all_keys(), self.setup.modalities, training.seed, 0)
            built = views.build(MicroBatch(0, batches), learner, seed=training.seed, step=0, device=device)
            steps = self.setup.facts(max(len(self.reader("train")), training.batch_size)).steps
            context = Context(steps - 1, steps, 0, training.seed, ids=_ids(examples, device), training=False)
            for key, (value, count) in engine.evaluate(built, context).items():
                sums[key] = sums.get(key, 0.0) + value
                scored[key] = scored.get(key, 0.0) + count
        return {key: value / max(scored[key], 1.0) for key, value in sums.items()}


@dataclass(frozen=True)
class StoredSubject:
    """A subject whose features lie in a store."""

    name: str
    store: FeatureStore

    def features(self, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
        """(n, D) float32 of every row of a split that could be decoded."""
        return self.store.features(self.name, split).arrays[encoder, projected and self.name != "raw"]

    def losses(self, split: str) -> Mapping[str, float]:
        """Mean of each loss term and monitor of the run's objectives over a split; none for raw."""
        return {} if self.name == "raw" else self.store.losses(self.name, split)


@dataclass(frozen=True)
class StoredData:
    """Labels and columns in the order of the features."""

    store: FeatureStore

    @property
    def splits(self) -> Mapping[str, int]:
        """Split -> rows."""
        return {name: len(split) for name, split in self.store.data.splits.items()}

    @property
    def encoders(self) -> Sequence[str]:
        """Names of the run's encoders."""
        return tuple(self.store.setup.modalities)

    def column(self, split: str, name: str) -> Sequence[Any]:
        """Every cell of a column."""
        if self.store.reader(split).packed:
            raise ValueError(
                f"samples are packed from several rows, so column {name} has no value for each; set pack: false"
            )
        rows = self.store.data.splits[split]
        return [rows.source.row(int(rows.numbers[position]), [name])[name] for position in self.store.positions(split)]

    def samples(self, split: str, encoder: str) -> Iterator[Mapping[str, np.ndarray]]:
        """Every decoded sample of an encoder."""
        for _, example in self.store.examples(split):
            yield example.samples[encoder]

    def labels(self, split: str, name: str) -> np.ndarray:
        """(n,) int64, classes numbered by their sorted values over all splits."""
        cells = {part: self.column(part, name) for part in self.store.data.splits if part == split or part == "train"}
        if any(cell is None for part in cells.values() for cell in part):
            raise ValueError(f"column {name} has rows without a label; drop them with data.where or data.without")
        classes = sorted(set(cells.get("train", cells[split])))
        known = {value: number for number, value in enumerate(classes)}
        unseen = sorted({str(value) for value in cells[split] if value not in known})
        if unseen:
            raise ValueError(f"column {name}: split {split} has labels that train has not: {', '.join(unseen[:5])}")
        return np.array([known[value] for value in cells[split]], dtype=np.int64)


def _chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    chunk: list[_Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _ids(examples: Sequence[Example], device: torch.device) -> Tensor:
    return torch.tensor([example.id for example in examples], dtype=torch.int64, device=device)
