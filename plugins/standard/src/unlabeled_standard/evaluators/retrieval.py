"""How often a sample of one encoder finds its counterpart of another."""

from collections.abc import Sequence
from itertools import permutations
from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.linear_model import Ridge

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled_standard.evaluators.labelled import finite_features, normalised


class RetrievalConfig(Config):
    """Options of retrieval."""

    ranks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 5, 10), min_length=1, description="k of recall@k"
    )
    name: str | None = Field(
        default=None, description="column whose equal cells are one candidate; default: every sample is its own"
    )
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1.0, 10.0, 100.0, 1e3, 1e4),
        min_length=1,
        description="of the ridge baseline, chosen on the train split",
    )
    baseline_samples: Annotated[int, Field(ge=10)] = Field(
        default=5000, description="train samples the ridge baseline is fitted on at most"
    )


class Retrieval(Evaluator):
    """Recall@k and median rank by cosine in the objective's space, between every two encoders in both directions.

    The raw baseline is a ridge regression from the raw features of one to those of the other, fitted on the train split,
    its penalty chosen on a fifth of that.
    """

    Config = RetrievalConfig
    config: RetrievalConfig

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`recall@k` and `median_rank` (1 is best) of each direction."""
        if len(data.encoders) < 2:
            raise ValueError(f"needs two encoders and the run has one, {data.encoders[0]}; remove it from evaluation")
        evaluations = []
        for query, candidate in permutations(data.encoders, 2):
            metrics = {}
            for subject in subjects:
                pair = self._pair(subject, query, candidate, context)
                metrics[subject.name] = self._metrics(*pair, self._names(data, context, len(pair[0])))
            protocol = {"queries": len(pair[0]), "candidates": len(np.unique(self._names(data, context, len(pair[0]))))}
            evaluations.append(Evaluation(f"{query}->{candidate}", metrics, protocol))
        return evaluations

    def _names(self, data: EvaluationData, context: EvaluationContext, count: int) -> np.ndarray:
        """(n,) int64: samples with the same number are one candidate."""
        if self.config.name is None:
            return np.arange(count)
        cells = [str(cell) for cell in data.column(context.test, self.config.name)]
        return np.unique(cells, return_inverse=True)[1]

    def _pair(
        self, subject: Subject, query: str, candidate: str, context: EvaluationContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Queries and candidates (n, D) in one space."""
        if subject.name == "raw":
            return self._ridge(
                *(finite_features(subject, context.train, encoder) for encoder in (query, candidate)),
                *(finite_features(subject, context.test, encoder) for encoder in (query, candidate)),
                seed=context.seed,
            )
        pair = [finite_features(subject, context.test, each, projected=True) for each in (query, candidate)]
        if pair[0].shape[1] != pair[1].shape[1]:
            raise ValueError(
                f"{query} and {candidate} have no common space ({pair[0].shape[1]} and {pair[1].shape[1]} dimensions); "
                "train them with an objective that aligns them, such as crossmodal/clip"
            )
        return pair[0], pair[1]

    def _metrics(self, queries: np.ndarray, candidates: np.ndarray, names: np.ndarray) -> dict[str, float]:
        ranks = ranks_of_names(normalised(queries) @ normalised(candidates).T, names)
        recalls = {f"recall@{rank}": float((ranks <= rank).mean()) for rank in self.config.ranks}
        return {**recalls, "median_rank": float(np.median(ranks))}

    def _ridge(
        self, train_from: np.ndarray, train_to: np.ndarray, test_from: np.ndarray, test_to: np.ndarray, *, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true features of the test split, about the train split's mean."""
        chosen = np.random.default_rng(seed).permutation(len(train_from))[: self.config.baseline_samples]
        mean_from, mean_to = train_from[chosen].mean(axis=0), train_to[chosen].mean(axis=0)
        # In float64, as a weak penalty leaves the system close to singular.
        inputs, outputs = (train_from[chosen] - mean_from).astype(np.float64), train_to[chosen] - mean_to
        scale = max(float(inputs.std()), 1e-12)
        inputs, test_inputs, test_outputs = inputs / scale, (test_from - mean_from) / scale, test_to - mean_to
        held = max(len(inputs) // 5, 1)

        def held_out_rank(penalty: float) -> float:
            model = Ridge(alpha=penalty, fit_intercept=False).fit(inputs[held:], outputs[held:])
            similarity = normalised(model.predict(inputs[:held])) @ normalised(outputs[:held]).T
            return float(ranks_of_names(similarity, np.arange(held)).mean())

        penalty = min(self.config.penalties, key=held_out_rank)
        model = Ridge(alpha=penalty, fit_intercept=False).fit(inputs, outputs)
        return model.predict(test_inputs), test_outputs


def ranks_of_names(similarity: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(n,) int64: the rank, from 1, of each query's own name among all names; equals count against the query.

    similarity (n, n): row i's query with every sample; names (n,): a name is as similar as its most similar sample.
    """
    count = int(names.max()) + 1
    best = np.full((len(similarity), count), -np.inf)
    for number in range(count):
        best[:, number] = similarity[:, names == number].max(axis=1)
    own = np.take_along_axis(best, names[:, None], axis=1)
    return np.asarray((best >= own).sum(axis=1))
