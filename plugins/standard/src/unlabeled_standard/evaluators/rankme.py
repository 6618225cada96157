"""How many dimensions the features use."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled_standard.evaluators.labelled import finite_features


class RankMeConfig(Config):
    """Options of RankMe."""

    eps: Annotated[float, Field(gt=0)] = Field(default=1e-7, description="added to each share (section 3.2)")


class RankMe(Evaluator):
    """The effective rank of the features (Garrido et al., 2023, RankMe, equation 1): a measure of collapse, not of use.

    Steady from about ten samples a dimension on; `samples` and `dimensions` stand in the protocol.
    """

    Config = RankMeConfig
    config: RankMeConfig

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`rankme` of each encoder, from 1 to the number of dimensions."""
        evaluations = []
        for encoder in data.encoders:
            features = {subject.name: finite_features(subject, context.test, encoder) for subject in subjects}
            metrics = {name: {"rankme": rankme(values, self.config.eps)} for name, values in features.items()}
            dimensions = {name: values.shape[1] for name, values in features.items()}
            samples = len(next(iter(features.values())))
            evaluations.append(Evaluation(encoder, metrics, {"samples": samples, "dimensions": dimensions}))
        return evaluations


def rankme(features: np.ndarray, eps: float = 1e-7) -> float:
    """Exp of the entropy of the singular values' shares of features (n, D); 0 where all features are zero.

    The singular values are found as roots of the eigenvalues of the smaller Gram matrix, in float64.
    """
    wide = features.astype(np.float64)
    gram = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))
    if values.sum() == 0:
        return 0.0
    shares = values / values.sum() + eps
    return float(np.exp(-(shares * np.log(shares)).sum()))
