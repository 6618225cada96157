"""The evaluator: losses of the run beside word frequencies."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from unlabeled import Config, EvaluationContext
from unlabeled_text.evaluators.masked_prediction import MaskedPrediction


class Run:
    """Subject of fixed losses."""

    def __init__(self, name: str, losses: Mapping[str, float]) -> None:
        self.name, self._losses = name, losses

    def losses(self, split: str) -> Mapping[str, float]:
        assert split == "test"
        return self._losses


class Data:
    """Two splits of token ids."""

    splits: Mapping[str, int] = {"train": 2, "test": 1}
    encoders = ("text",)

    def __init__(self, train: list[list[int]], test: list[list[int]]) -> None:
        self._rows = {"train": train, "test": test}

    def samples(self, split: str, encoder: str) -> Iterator[Mapping[str, np.ndarray]]:
        for row in self._rows[split]:
            ids = np.array(row, dtype=np.int32)
            yield {"input_ids": ids, "words": np.where(ids < 5, -1, np.arange(len(ids)))}


CONTEXT = EvaluationContext(seed=0, train="train", test="test", label=None)


def evaluate(subjects: list[Run], data: Data) -> Any:
    (found,) = MaskedPrediction(Config()).evaluate(subjects, data, CONTEXT)  # type: ignore[arg-type]
    return found


def test_raw_is_the_cross_entropy_of_train_frequencies() -> None:
    found = evaluate([Run("raw", {})], Data([[2, 5, 5, 6, 3], [2, 7, 5, 3]], [[2, 5, 8, 6, 3]]))
    # Ids 0 to 8, one added to each: 5 was seen three times, 6 and 7 once, 8 never.
    expected = -(math.log(4 / 14) + math.log(1 / 14) + math.log(2 / 14)) / 3
    assert found.metrics["raw"]["loss"] == pytest.approx(expected)
    assert found.metrics["raw"]["perplexity"] == pytest.approx(math.exp(expected))
    assert found.metrics["raw"]["accuracy"] == pytest.approx(1 / 3)
    assert found.on == "text"


def test_trained_and_untrained_are_the_losses_of_the_run() -> None:
    subjects = [
        Run("trained", {"mlm/masked": 1.5, "mlm/accuracy": 0.4, "simclr/loss": 3.0}),
        Run("untrained", {"mlm/masked": 7.0, "mlm/accuracy": 0.0}),
    ]
    found = evaluate(subjects, Data([[5]], [[5]]))
    assert found.metrics["trained"] == {"loss": 1.5, "perplexity": pytest.approx(math.exp(1.5)), "accuracy": 0.4}
    assert found.metrics["untrained"]["loss"] == 7.0


def test_runs_without_masked_language_modelling_and_empty_splits_are_named() -> None:
    with pytest.raises(ValueError, match="no objective text/masked-language-modelling"):
        evaluate([Run("trained", {"simclr/loss": 3.0})], Data([[5]], [[5]]))
    with pytest.raises(ValueError, match="test split holds no words"):
        evaluate([Run("raw", {})], Data([[5]], [[2, 3]]))
