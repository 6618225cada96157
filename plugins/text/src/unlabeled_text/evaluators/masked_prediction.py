"""text/masked-prediction: how well hidden tokens are guessed, beside guessing by frequency."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from unlabeled import Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject
from unlabeled_text.words import NO_WORD

LOSS, ACCURACY = "masked", "accuracy"
"""What text/masked-language-modelling calls its term and its monitor."""


class MaskedPrediction(Evaluator):
    """The run's masked language modelling on the test split, under the run's own masking (15 % unless the recipe says
    otherwise), drawn once by the run's seed.

    `loss` in nats a token, `perplexity` exp(loss), `accuracy` the share guessed right. Raw: every token's probability is
    its frequency in the train split plus one, so its loss is the entropy of words without any context; its accuracy is that
    of always guessing the most frequent token.
    """

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """One Evaluation for each encoder; `ValueError` where the run has no masked language modelling."""
        if len(data.encoders) != 1:
            raise ValueError("scores runs of one encoder; leave it out of recipes with several")
        (encoder,) = data.encoders
        raw = _by_frequency(data.samples(context.train, encoder), data.samples(context.test, encoder))
        metrics = {
            subject.name: raw if subject.name == "raw" else _by_model(subject.losses(context.test))
            for subject in subjects
        }
        return [
            Evaluation(
                encoder, metrics, {"masks": "drawn once", "unit": "nats a token", "raw": "train frequencies plus one"}
            )
        ]


def _by_model(losses: Mapping[str, float]) -> dict[str, float]:
    names = [name.removesuffix(f"/{LOSS}") for name in losses if name.endswith(f"/{LOSS}")]
    scored = [name for name in names if f"{name}/{ACCURACY}" in losses]
    if not scored:
        raise ValueError("the run has no objective text/masked-language-modelling, whose loss this scores")
    return _metrics(losses[f"{scored[0]}/{LOSS}"], losses[f"{scored[0]}/{ACCURACY}"])


def _by_frequency(
    train: Iterable[Mapping[str, np.ndarray]], test: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, float]:
    seen, scored = _counts(train), _counts(test)
    size = max(len(seen), len(scored))
    seen, scored = np.pad(seen, (0, size - len(seen))), np.pad(scored, (0, size - len(scored)))
    if not scored.any():
        raise ValueError("the test split holds no words")
    frequencies = (seen + 1) / (seen + 1).sum()
    loss = -float((scored * np.log(frequencies)).sum() / scored.sum())
    return _metrics(loss, float(scored[seen.argmax()] / scored.sum()))


def _counts(samples: Iterable[Mapping[str, np.ndarray]]) -> np.ndarray:
    """(largest id + 1,) float64: how often each token stands in the samples, special tokens left out."""
    ids = [sample["input_ids"][sample["words"] != NO_WORD] for sample in samples]
    return np.bincount(np.concatenate([np.empty(0, dtype=np.int64), *ids])).astype(np.float64)


def _metrics(loss: float, accuracy: float) -> dict[str, float]:
    return {"loss": loss, "perplexity": math.exp(loss), "accuracy": accuracy}
