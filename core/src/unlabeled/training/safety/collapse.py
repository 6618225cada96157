"""Signs of collapse in the metrics of a step: what was measured, against which threshold, and what to do.

Spread and effective rank are measured by the trainer on what an objective gathers. The others are monitors that objectives
return under the names that `Loss.monitors` lists. Of several signs of one objective the first in this file's order is told,
as the others follow from it: equal features have rank one, and leave a contrastive loss at its chance level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PATIENCE = 5
"""Logged steps in a row after which `training.stop_on_collapse` stops a run."""
CHANCE_SHARE = 0.5
"""Share of a run before which a contrastive loss at its chance level is no sign: all start there, and the shipped wav2vec 2.0
recipe leaves it only after two fifths of its steps (measured with batches of 16)."""


@dataclass(frozen=True)
class Collapse:
    """A sign of collapse, as it is told to a person and written to incidents.jsonl."""

    sign: str
    place: str
    """`objective/output`, `objective/term` or `objective/monitor`."""
    value: float
    threshold: float
    meaning: str
    source: str
    remedy: str

    @property
    def key(self) -> str:
        """Names the sign and the place."""
        return f"{self.sign} of {self.place}"

    def __str__(self) -> str:
        return (
            f"{self.place}: {self.meaning} ({self.sign} {self.value:.3g}, threshold {self.threshold:.3g}; {self.source}); "
            f"{self.remedy}"
        )


def find_collapse(metrics: Mapping[str, float], share: float = 1.0) -> list[Collapse]:
    """The signs of collapse in the metrics of a logged step, one an objective at most; share: of the run that is over."""
    checks = (_spread, _rank, _codebook, _teacher, *((_chance,) if share >= CHANCE_SHARE else ()))
    found: dict[str, Collapse] = {}
    for check in checks:
        for sign in check(metrics):
            found.setdefault(sign.place.partition("/")[0], sign)
    return list(found.values())


def _spread(metrics: Mapping[str, float]) -> Sequence[Collapse]:
    return [
        Collapse(
            "spread",
            place,
            value,
            0.05,
            "the features of a batch are nearly all the same",
            "1 is an even spread, 0 a full collapse: Chen and He, 2021, SimSiam, section 4.1",
            "lower the learning rate, lengthen the warm-up, or strengthen the augmentations",
        )
        for place, value in _ending(metrics, "/spread")
        if value < 0.05
    ]


def _rank(metrics: Mapping[str, float]) -> Sequence[Collapse]:
    return [
        Collapse(
            "effective rank",
            place,
            value,
            1.5,
            "the features of a batch lie nearly on one line",
            "1 is a line: Garrido et al., 2023, RankMe, equation 1; Jing et al., 2022, on why it happens",
            "weaken the augmentations, or use a projector, or a loss that keeps variance",
        )
        for place, value in _ending(metrics, "/effective_rank")
        if value < 1.5
    ]


def _codebook(metrics: Mapping[str, float]) -> Sequence[Collapse]:
    return [
        Collapse(
            "perplexity",
            name,
            value,
            2.0,
            "nearly everything is quantised to one entry of the codebook",
            "the number of entries in use, by entropy: Baevski et al., 2020, wav2vec 2.0, equation 4",
            "raise the weight of the diversity loss, lower the learning rate, or lengthen the warm-up",
        )
        for name, value in metrics.items()
        if name.partition("/")[2].startswith("codebook_perplexity") and value < 2.0
    ]


def _teacher(metrics: Mapping[str, float]) -> Sequence[Collapse]:
    found = []
    for name, entropy in metrics.items():
        objective, _, monitor = name.partition("/")
        classes = metrics.get(f"{objective}/teacher_classes", 0.0)
        threshold = 0.99 * math.log(max(classes, 1.0))
        if monitor == "teacher_entropy" and classes > 1 and entropy > threshold:
            found.append(
                Collapse(
                    "entropy",
                    name,
                    entropy,
                    threshold,
                    f"the teacher says the same of every sample: all of {classes:.0f} classes are equally likely",
                    f"99 % of the uniform ln {classes:.0f}: Caron et al., 2021, DINO, section 5.3",
                    "lower the teacher's temperature, lengthen its warm-up, or centre less",
                )
            )
    return found


def _chance(metrics: Mapping[str, float]) -> Sequence[Collapse]:
    found = []
    for name, chance in _ending(metrics, ".chance_loss"):
        told = chance - metrics.get(name, -math.inf)
        if chance > math.log(2) and told < 0.02:
            found.append(
                Collapse(
                    "information",
                    name,
                    told,
                    0.02,
                    f"the loss stays at {chance:.4g}, the logarithm of the number of candidates, where nothing is told apart",
                    "that logarithm less the loss bounds the mutual information in nats: van den Oord et al., 2018, section 2.3",
                    "raise the learning rate, weaken the augmentations, or check that the pairs belong together",
                )
            )
    return found


def _ending(metrics: Mapping[str, float], suffix: str) -> list[tuple[str, float]]:
    return [(name.removesuffix(suffix), value) for name, value in metrics.items() if name.endswith(suffix)]
