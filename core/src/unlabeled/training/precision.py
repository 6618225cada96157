"""Half precision: where the network computes in it, and the scale that keeps float16's small gradients from vanishing."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

_HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Where `represent` runs. A context of its own for each pass: it keeps weights it cast, and a pass without gradient would
    leave the next one weights that have none.
    """
    half = _HALVES.get(precision)
    return nullcontext() if half is None else torch.autocast(device.type, half)


@dataclass
class LossScale:
    """What gradients are multiplied by on their way through the network (Micikevicius et al., 2018, section 3.2).

    1 for other precisions than float16. It is a power of two, so that dividing by it again is exact, is halved when a gradient
    overflows, and doubled after `patience` steps in which none did.
    """

    value: float = 1.0
    steps: int = 0
    """Steps taken since it last changed."""
    dynamic: bool = False
    patience: int = 2000

    @classmethod
    def of(cls, precision: str) -> "LossScale":
        """The scale a run begins with."""
        return cls(2.0**16, dynamic=True) if precision == "float16" else cls()

    def overflows(self, loss: float, norm: float) -> bool:
        """Whether a step failed by the scale alone, which is then halved. At 1 there is nothing left to blame on it."""
        if self.value == 1.0 or not math.isfinite(loss) or math.isfinite(norm):
            return False
        self.value, self.steps = self.value / 2, 0
        return True

    def count(self) -> None:
        """A step was taken."""
        self.steps += 1
        if self.dynamic and self.steps >= self.patience:
            self.value, self.steps = self.value * 2, 0
