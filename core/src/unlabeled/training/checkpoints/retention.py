"""Which checkpoints are kept: the last few, every n-th step's, and the best by a metric."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlabeled.errors import UnlabeledError
from unlabeled.recipes.schema import KeepBest


@dataclass(frozen=True)
class Retention:
    """The newest `last` checkpoints are kept, and those whose step is a multiple of `every`."""

    last: int
    every: int | None = None

    def surplus(self, steps: Iterable[int], newest: int, best: int | None) -> list[int]:
        """The steps whose checkpoints may go, now that that of step `newest` is written.

        Later ones than that are damaged ones that were passed over; they are replaced when training comes there.
        """
        past = sorted(step for step in steps if step <= newest)
        spared = {*past[-self.last :], best}
        return [step for step in past if step not in spared and not (self.every and step % self.every == 0)]


def choose_best(
    best: Mapping[str, Any] | None, wanted: KeepBest | None, step: int, scores: Mapping[str, float]
) -> dict[str, Any] | None:
    """The best checkpoint, {metric, mode, step, value}, now that there is one of `step`; None where none was measured.

    A best by another metric or mode is forgotten, and a value that is not finite is never the best.
    """
    if wanted is None:
        return None
    key = wanted.model_dump()
    if best is not None and {name: best.get(name) for name in key} != key:
        best = None
    names = _names_of(wanted.metric, scores)
    value = scores[names[0]] if len(names) == 1 else math.nan
    sign = 1 if wanted.mode == "max" else -1
    if math.isfinite(value) and (best is None or sign * value > sign * best["value"]):
        return {**key, "step": step, "value": value}
    return None if best is None else dict(best)


def check_metric(wanted: KeepBest, step: int, scores: Mapping[str, float]) -> None:
    """`UnlabeledError` where not exactly one of a step's scores, all measured, is the one that is wanted."""
    names = _names_of(wanted.metric, scores)
    if len(names) != 1:
        problem = f"several metrics are called {wanted.metric}" if names else f"no metric {wanted.metric}"
        raise UnlabeledError(
            f"training.keep_best.metric: {problem} at step {step}; the same command continues with one of: "
            f"{', '.join(names or scores)}"
        )


def collect_scores(metrics: Mapping[str, float], evaluations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Name -> value of a step's line of metrics.jsonl and its evaluations, these called `evaluator/on/metric`."""
    scores = {name: value for name, value in metrics.items() if name != "step"}
    for line in evaluations:
        scores |= {f"{line['evaluator']}/{line['on']}/{name}": value for name, value in line["metrics"].items()}
    return scores


def _names_of(metric: str, scores: Mapping[str, float]) -> list[str]:
    """The score of this name, else those whose names end with it."""
    return [metric] if metric in scores else [name for name in scores if name.endswith(f"/{metric}")]
