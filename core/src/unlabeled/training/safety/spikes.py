"""Loss spikes: a loss far above those before it."""

import math
from dataclasses import dataclass

_FLOOR = 0.01


@dataclass(frozen=True)
class Spike:
    """A loss far above those before it."""

    loss: float
    mean: float
    deviation: float

    def __str__(self) -> str:
        return (
            f"the loss rose to {self.loss:.4g} (running mean {self.mean:.4g}, standard deviation {self.deviation:.2g})"
        )


@dataclass
class LossStatistics:
    """Running mean and variance of the loss, exponentially weighted (Finch, 2009, section 9).

    A function of the losses alone, which are the same on every process and after every restart.
    """

    mean: float = 0.0
    variance: float = 0.0
    count: int = 0

    def observe(self, loss: float, window: int, threshold: float) -> Spike | None:
        """Take in the loss of a step; a spike where it is `threshold` deviations over the mean of some `window` steps.

        None in the first `window` steps. The deviation is taken as one percent of the mean at least, or a loss that
        hardly moves would report its rounding. A spike is counted as if it were at the threshold, so that one outlier does
        not hide the next, and a loss that stays on a new level is reported for a few steps only.
        """
        deviation = max(math.sqrt(self.variance), _FLOOR * abs(self.mean))
        limit = self.mean + threshold * deviation
        spike = Spike(loss, self.mean, deviation) if self.count >= window and loss > limit else None
        self.count = min(self.count + 1, window)
        weight = max(1.0 / self.count, 2.0 / (window + 1))
        change = (loss if spike is None else limit) - self.mean
        self.mean += weight * change
        self.variance = (1.0 - weight) * (self.variance + weight * change * change)
        return spike
