"""Promises of evaluators: each is one small function in `PROMISES`, by its id."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from unlabeled.interfaces.evaluator import Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled.testing.promises import copies, promise, unchanged

BASELINES = ("untrained", "raw")


@dataclass(frozen=True)
class EvaluatorCase:
    """An evaluator, and an untrained run to try it on, whose trained encoders are those of another seed."""

    build: Callable[[], Evaluator]
    subjects: Callable[[], Sequence[Subject]]
    """trained, untrained and raw, whose features are computed when asked for."""
    data: EvaluationData
    context: EvaluationContext
    learners: Mapping[str, nn.Module]

    def evaluate(self, subjects: Sequence[Subject] | None = None) -> Sequence[Evaluation]:
        return self.build().evaluate(subjects or self.subjects(), self.data, self.context)


@dataclass(frozen=True)
class Noted:
    """A subject that notes whether it was asked for features, and may stand for another."""

    name: str
    subject: Subject
    asked: set[str] = field(default_factory=set)

    def features(self, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
        self.asked.add("features")
        return self.subject.features(split, encoder, projected=projected)

    def losses(self, split: str) -> Mapping[str, float]:
        self.asked.add("losses")
        return self.subject.losses(split)


@dataclass(frozen=True)
class Changed:
    """A subject whose features of one split are noise, and whose losses of it are larger."""

    name: str
    subject: Subject
    split: str

    def features(self, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
        found = self.subject.features(split, encoder, projected=projected)
        noise = np.random.default_rng(0).normal(size=found.shape).astype(found.dtype)
        return noise if split == self.split else found

    def losses(self, split: str) -> Mapping[str, float]:
        more = float(split == self.split)
        return {name: value + more for name, value in self.subject.losses(split).items()}


Check = Callable[[EvaluatorCase], None]


def _baselines(case: EvaluatorCase) -> None:
    evaluator = case.build()
    subjects = [Noted(subject.name, subject) for subject in case.subjects()]
    evaluations = evaluator.evaluate(subjects, case.data, case.context)
    promise(bool(evaluations), evaluator, "gives no evaluation")
    # Losses of objectives are no features, so raw has none.
    of_features = any("features" in subject.asked for subject in subjects)
    for evaluation in evaluations:
        trained = evaluation.metrics.get("trained", {})
        promise(bool(trained), evaluator, "gives no metric of the trained encoder")
        for baseline in BASELINES if of_features else BASELINES[:1]:
            found = evaluation.metrics.get(baseline, {})
            promise(
                found.keys() == trained.keys(), evaluator, f"gives {baseline} other metrics than the trained encoder"
            )


def _metrics(case: EvaluatorCase) -> None:
    evaluator = case.build()
    for evaluation in case.evaluate():
        promise(bool(evaluation.on), evaluator, "does not say on which encoder it measured")
        for subject, metrics in evaluation.metrics.items():
            for name, value in metrics.items():
                kept = isinstance(value, float | int) and math.isfinite(value)
                promise(kept, evaluator, f"{name} of {subject} is {value!r}, no finite number")


def _protocol(case: EvaluatorCase) -> None:
    evaluator = case.build()
    for evaluation in case.evaluate():
        try:
            json.dumps(dict(evaluation.protocol), allow_nan=False)
        except (TypeError, ValueError):
            raise AssertionError(f"{type(evaluator).__name__}: its protocol is no JSON") from None
        promise(isinstance(evaluation.protocol, dict), evaluator, "its protocol is no mapping")


def _deterministic(case: EvaluatorCase) -> None:
    first, again = ([each.metrics for each in case.evaluate()] for _ in range(2))
    promise(repr(first) == repr(again), case.build(), "measures something else the second time")


def _alike(case: EvaluatorCase) -> None:
    """Whatever their name: with the features of the trained encoders, the untrained score as these do."""
    named = {subject.name: subject for subject in case.subjects()}
    twins = [Noted(name, named["raw" if name == "raw" else "trained"]) for name in named]
    for evaluation in case.evaluate(twins):
        one, other = evaluation.metrics.get("trained", {}), evaluation.metrics.get("untrained", {})
        text = "measures the untrained encoder otherwise than the trained one; all subjects are measured alike"
        kept = one.keys() == other.keys() and all(
            math.isclose(value, other[name], rel_tol=1e-6, abs_tol=1e-9) for name, value in one.items()
        )
        promise(kept, case.build(), text)


def _held_out(case: EvaluatorCase) -> None:
    """Scored is the test split: where its features are noise, the metrics are others."""
    changed = [Changed(subject.name, subject, case.context.test) for subject in case.subjects()]
    first, other = ([each.metrics for each in case.evaluate(subjects)] for subjects in (None, changed))
    promise(repr(first) != repr(other), case.build(), "scores the same whatever the features of the test split are")


def _encoders(case: EvaluatorCase) -> None:
    before = {name: copies(module.state_dict()) for name, module in case.learners.items()}
    case.evaluate()
    for name, module in case.learners.items():
        promise(unchanged(module.state_dict(), before[name]), case.build(), f"changes the {name} encoder")
        kept = all(parameter.grad is None for parameter in module.parameters())
        promise(kept, case.build(), f"leaves gradients in the {name} encoder")
    promise(torch.is_grad_enabled(), case.build(), "leaves gradients switched off")


PROMISES: Mapping[str, Check] = {
    "baselines": _baselines,
    "metrics": _metrics,
    "protocol": _protocol,
    "deterministic": _deterministic,
    "alike": _alike,
    "held-out": _held_out,
    "encoders": _encoders,
}
