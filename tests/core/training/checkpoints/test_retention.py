"""Which checkpoints stay, and which is the best."""

import math
from typing import Any

import pytest

from unlabeled import UnlabeledError
from unlabeled.recipes.schema import KeepBest, TrainingConfig
from unlabeled.training.checkpoints.retention import Retention, check_metric, choose_best, collect_scores

LOSS = KeepBest(metric="loss", mode="min")


def test_the_last_every_nth_and_the_best_stay() -> None:
    steps = range(10, 101, 10)
    assert Retention(2).surplus(steps, 100, None) == [10, 20, 30, 40, 50, 60, 70, 80]
    assert Retention(2, 40).surplus(steps, 100, 30) == [10, 20, 50, 60, 70]
    assert Retention(20).surplus(steps, 100, None) == []


def test_damaged_later_ones_push_out_no_sound_one() -> None:
    assert Retention(1).surplus([10, 20, 90, 100], 20, None) == [10]


def test_the_best_is_decided_by_the_value_and_the_direction() -> None:
    values = [(10, 3.0), (20, 1.0), (30, math.nan), (40, 1.0), (50, 2.0)]
    best: dict[str, Any] | None = None
    steps = []
    for step, value in values:
        best = choose_best(best, LOSS, step, {"loss": value})
        assert best is not None
        steps.append(best["step"])
    assert steps == [10, 20, 20, 20, 20], "an equal or undefined value does not replace it"
    assert choose_best(None, KeepBest(metric="loss", mode="max"), 10, {"loss": math.inf}) is None
    highest = choose_best(best, KeepBest(metric="loss", mode="max"), 60, {"loss": -5.0})
    assert highest == {"metric": "loss", "mode": "max", "step": 60, "value": -5.0}, "another direction begins anew"
    assert choose_best(best, LOSS, 60, {"other": 0.0}) == best, "a step without the metric changes nothing"
    assert choose_best(best, None, 60, {"loss": 0.0}) is None


def evaluation(evaluator: str, on: str, **metrics: float) -> dict[str, Any]:
    return {"evaluator": evaluator, "on": on, "metrics": metrics}


def test_evaluations_are_called_by_their_end_where_one_has_it() -> None:
    lines = [
        evaluation("standard/knn", "image", accuracy=0.5, f1=0.4),
        evaluation("standard/svm", "image", accuracy=0.7),
    ]
    scores = collect_scores({"step": 3, "loss": 1.0}, lines)
    assert list(scores) == [
        "loss",
        "standard/knn/image/accuracy",
        "standard/knn/image/f1",
        "standard/svm/image/accuracy",
    ]
    for name, value in (("f1", 0.4), ("svm/image/accuracy", 0.7), ("standard/knn/image/accuracy", 0.5)):
        best = choose_best(None, KeepBest(metric=name, mode="max"), 3, scores)
        assert best is not None
        assert best["value"] == value
        check_metric(KeepBest(metric=name, mode="max"), 3, scores)
    with pytest.raises(UnlabeledError) as error:
        check_metric(KeepBest(metric="accuracy", mode="max"), 3, scores)
    assert str(error.value) == (
        "training.keep_best.metric: several metrics are called accuracy at step 3; the same command continues with one of: "
        "standard/knn/image/accuracy, standard/svm/image/accuracy"
    )
    with pytest.raises(
        UnlabeledError, match=r"no metric acuracy at step 3; .* one of: loss, standard/knn/image/accuracy, "
    ):
        check_metric(KeepBest(metric="acuracy", mode="max"), 3, scores)


def test_what_is_kept_must_have_been_written() -> None:
    with pytest.raises(ValueError, match=r"keep_every \(30\) is not a multiple of checkpoint_every \(20\)"):
        TrainingConfig(steps=100, checkpoint_every=20, keep_every=30)
