"""Evaluator: what a pretrained encoder is worth, always beside its baselines."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel

from unlabeled.interfaces.modality import Config


class Subject(Protocol):
    """One way to turn samples into features: the trained encoders, the same ones untrained, or raw features."""

    @property
    def name(self) -> str:
        """`trained`, `untrained` or `raw`."""
        ...

    def features(self, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
        """(n, D) float32 of every sample of a split, in order. projected: in the objective's space of comparison.

        `raw` has no projection; it returns `Modality.raw`.
        """
        ...

    def losses(self, split: str) -> Mapping[str, float]:
        """Mean of each loss term and monitor of the run's objectives over a split, by fixed draws; `raw` has none: {}."""
        ...


class EvaluationData(Protocol):
    """The labels and names that belong to the features."""

    @property
    def splits(self) -> Mapping[str, int]:
        """Split -> number of samples."""
        ...

    @property
    def encoders(self) -> Sequence[str]:
        """Names of the run's encoders, in the recipe's order."""
        ...

    def column(self, split: str, name: str) -> Sequence[Any]:
        """Every cell of a column, in the order of the features."""
        ...

    def samples(self, split: str, encoder: str) -> Iterator[Mapping[str, np.ndarray]]:
        """Every sample of an encoder, as its modality decoded or packed it."""
        ...

    def labels(self, split: str, name: str) -> np.ndarray:
        """(n,) int64 classes of a column, numbered alike in all splits."""
        ...


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator may know of the run.

    seed: the run's.
    train: the split to fit on.
    test: the split to score on.
    label: the label column, where the recipe or the source names one.
    """

    seed: int
    train: str
    test: str
    label: str | None


@dataclass(frozen=True)
class Evaluation:
    """One line of evaluations.jsonl.

    on: the encoder's name, or `image->text`.
    metrics: subject -> metric -> value; metric names are scikit-learn's and the field's.
    protocol: how it was measured: enough to repeat it.
    """

    on: str
    metrics: dict[str, dict[str, float]]
    protocol: dict[str, Any] = field(default_factory=dict)


class Evaluator(ABC):
    """Scores subjects. Subjects are measured alike: same data, same protocol, same seeds.

    needs_label: True where it scores against a label column; without one the evaluator is left out, and the run says
        so.
    """

    Config: ClassVar[type[BaseModel]] = Config
    needs_label: ClassVar[bool] = False

    def __init__(self, config: BaseModel) -> None:
        self.config = config

    @abstractmethod
    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """One Evaluation for each encoder or direction; `ValueError` with one line where the data do not allow it."""
