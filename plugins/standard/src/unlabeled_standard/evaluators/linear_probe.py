"""How well a linear classifier reads a label from the features."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled_standard.evaluators.labelled import Labelled, score_labels


class LinearProbeConfig(Config):
    """Options of the linear probe."""

    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.001, 0.01, 0.1, 1.0, 10.0),
        min_length=1,
        description="inverse strengths C of the L2 penalty to choose from, on a held-out part of the train split",
    )
    holdout: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.2, description="share of the held-out part")
    selection_samples: Annotated[int, Field(ge=10)] = Field(
        default=5000, description="train samples that C is chosen with at most; the final fit uses all"
    )
    iterations: Annotated[int, Field(ge=1)] = Field(default=100, description="of L-BFGS at most, for each fit")


class LinearProbe(Evaluator):
    """Accuracy of logistic regression on standardised features (Alain and Bengio, 2017).

    C is chosen on a held-out part of the train split; the test split is used once. The solver is L-BFGS in float32.
    """

    Config = LinearProbeConfig
    config: LinearProbeConfig
    needs_label = True

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`accuracy` of each encoder."""
        return score_labels(subjects, data, context, self._score, classifier="logistic regression, L-BFGS, float32")

    def _score(self, labelled: Labelled) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        labelled = labelled.standardised()
        strength = self._strength(labelled.first(self.config.selection_samples).divided(self.config.holdout))
        return {"accuracy": _accuracy(self._model(), strength, labelled)}, {"strength": strength}

    def _strength(self, part: Labelled) -> float:
        """The C of the best accuracy on the held-out part, from the strongest penalty on until accuracy falls.

        Every fit starts from the one before.
        """
        strengths = sorted(self.config.strengths)
        if len(strengths) == 1:
            return strengths[0]
        model, chosen, best = self._model(), strengths[0], -1.0
        for strength in strengths:
            accuracy = _accuracy(model, strength, part)
            if accuracy < best:
                break
            if accuracy > best:
                chosen, best = strength, accuracy
        return chosen

    def _model(self) -> LogisticRegression:
        return LogisticRegression(max_iter=self.config.iterations, tol=1e-3, warm_start=True)


def _accuracy(model: LogisticRegression, strength: float, labelled: Labelled) -> float:
    """Accuracy on the part to score on, of the model fitted with C = strength on the part to fit on."""
    model.set_params(C=strength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(labelled.train, labelled.train_labels)
    return float(model.score(labelled.test, labelled.test_labels))
