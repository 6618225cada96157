"""How well the nearest neighbours' labels tell a sample's label."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled_standard.evaluators.labelled import Labelled, normalised, score_labels

_CHUNK = 1024


class KNNConfig(Config):
    """Options of the nearest neighbours."""

    neighbours: Annotated[int, Field(ge=1)] = Field(default=20, description="k (DINO, Caron et al., 2021: 20)")
    temperature: Annotated[float, Field(gt=0)] = Field(default=0.07, description="T of the weights exp(s / T)")


class KNN(Evaluator):
    """Accuracy of a vote of the k nearest train samples by cosine s, weighted by exp(s / T) (Wu et al., 2018, section 3.4)."""

    Config = KNNConfig
    config: KNNConfig
    needs_label = True

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`accuracy` of each encoder."""
        return score_labels(subjects, data, context, self._score)

    def _score(self, labelled: Labelled) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        train, test = normalised(labelled.train), normalised(labelled.test)
        correct = 0
        for start in range(0, len(test), _CHUNK):
            votes = self._votes(test[start : start + _CHUNK] @ train.T, labelled.train_labels)
            correct += int((votes.argmax(axis=1) == labelled.test_labels[start : start + _CHUNK]).sum())
        return {"accuracy": correct / len(test)}, {}

    def _votes(self, similarity: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(n, classes) the summed weights of each class among the nearest, from cosines (n, train samples)."""
        count = min(self.config.neighbours, similarity.shape[1])
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        cosines = np.take_along_axis(similarity, nearest, axis=1).astype(np.float64)
        weights = np.exp((cosines - 1.0) / self.config.temperature)
        votes = np.zeros((len(similarity), int(labels.max()) + 1))
        np.add.at(votes, (np.arange(len(similarity))[:, None], labels[nearest]), weights)
        return votes
