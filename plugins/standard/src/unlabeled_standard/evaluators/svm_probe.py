"""How well a support vector machine reads a label from the features: the protocol of the time-series literature."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled_standard.evaluators.labelled import Labelled, score_labels


class SVMProbeConfig(Config):
    """Options of the support vector machine."""

    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4),
        min_length=1,
        description="values of C to choose from beside no penalty at all (TS2Vec, appendix C.2)",
    )
    folds: Annotated[int, Field(ge=2)] = Field(default=5, description="of the cross-validation on the train split")
    fit_samples: Annotated[int, Field(ge=10)] = Field(default=10000, description="to fit on at most (TS2Vec: 10000)")


class SVMProbe(Evaluator):
    """Accuracy of an RBF support vector machine (Franceschi et al., 2019; Yue et al., 2022, TS2Vec, section 4.1).

    C is chosen by cross-validation on the train split; with fewer than 50 samples or 5 a class there is no penalty.
    """

    Config = SVMProbeConfig
    config: SVMProbeConfig
    needs_label = True

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`accuracy` of each encoder."""
        return score_labels(subjects, data, context, self._score, classifier="support vector machine, RBF kernel")

    def _score(self, labelled: Labelled) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        labelled = labelled.first(self.config.fit_samples)
        model = SVC(
            C=np.inf, gamma="scale", random_state=0
        )  # it draws nothing, and would take its seed from numpy's state
        smallest = int(np.unique(labelled.train_labels, return_counts=True)[1].min())
        if len(labelled.train) >= 50 and smallest >= self.config.folds:
            grid = {"C": [*self.config.strengths, np.inf]}
            model = GridSearchCV(model, grid, cv=self.config.folds).fit(labelled.train, labelled.train_labels)
            strength = float(model.best_params_["C"])
        else:
            model.fit(labelled.train, labelled.train_labels)
            strength = float("inf")
        # JSON has no infinity.
        chosen = strength if np.isfinite(strength) else "no penalty"
        return {"accuracy": float(model.score(labelled.test, labelled.test_labels))}, {"strength": chosen}
