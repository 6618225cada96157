"""What every evaluator that predicts a label needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from unlabeled import Evaluation, EvaluationContext, EvaluationData, Subject


@dataclass(frozen=True)
class Labelled:
    """Features (n, D) and labels (n,) of the split to fit on and of the split to score on."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    seed: int

    def standardised(self) -> "Labelled":
        """The same with every feature at mean 0 and standard deviation 1 over the train split."""
        mean, deviation = self.train.mean(axis=0), self.train.std(axis=0)
        scale = np.where(deviation > 1e-12, deviation, 1.0)
        train, test = (self.train - mean) / scale, (self.test - mean) / scale
        return Labelled(train, self.train_labels, test, self.test_labels, self.seed)

    def divided(self, share: float) -> "Labelled":
        """The train split alone: fit on one part, score on the other `share`, each with every class where that can be."""
        smallest = int(np.unique(self.train_labels, return_counts=True)[1].min())
        held = round(share * len(self.train))
        stratify = self.train_labels if smallest > 1 and held >= self.train_labels.max() + 1 else None
        parts = train_test_split(
            self.train, self.train_labels, test_size=share, random_state=self.seed % 2**32, stratify=stratify
        )
        return Labelled(parts[0], parts[2], parts[1], parts[3], self.seed)

    def first(self, rows: int) -> "Labelled":
        """At most `rows` samples to fit on, drawn by the seed."""
        if len(self.train) <= rows:
            return self
        chosen = np.sort(np.random.default_rng(self.seed).permutation(len(self.train))[:rows])
        return Labelled(self.train[chosen], self.train_labels[chosen], self.test, self.test_labels, self.seed)


Score = Callable[[Labelled], tuple[Mapping[str, float], Mapping[str, Any]]]
"""Metrics of one subject, and what was chosen for it on the train split."""


def score_labels(
    subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext, score: Score, **protocol: Any
) -> list[Evaluation]:
    """One Evaluation for each encoder; `ValueError` where there is no label, or nothing to tell apart."""
    if context.label is None:
        raise ValueError("needs labels; name the column as data.label, or as label beside this evaluator's id")
    train_labels, test_labels = (data.labels(split, context.label) for split in (context.train, context.test))
    if len(np.unique(train_labels)) < 2:
        raise ValueError(f"column {context.label} has a single class in split {context.train}; choose another label")
    evaluations = []
    for encoder in data.encoders:
        metrics: dict[str, dict[str, float]] = {}
        chosen: dict[str, Mapping[str, Any]] = {}
        for subject in subjects:
            features = [finite_features(subject, split, encoder) for split in (context.train, context.test)]
            found = score(Labelled(features[0], train_labels, features[1], test_labels, context.seed))
            metrics[subject.name], chosen[subject.name] = dict(found[0]), found[1]
        counts = {"train_samples": len(train_labels), "test_samples": len(test_labels)}
        selected = {"chosen": chosen} if any(chosen.values()) else {}
        evaluations.append(Evaluation(encoder, metrics, {**protocol, **counts, **selected}))
    return evaluations


def finite_features(subject: Subject, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
    """The features (n, D) of a split; `ValueError` where some are not finite."""
    features = subject.features(split, encoder, projected=projected)
    if not np.isfinite(features).all():
        raise ValueError(f"{subject.name} features of {encoder} on split {split} are not finite; was training stable?")
    return features


def normalised(features: np.ndarray) -> np.ndarray:
    """Rows of (n, D) with length 1; rows of zeros stay zeros."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
