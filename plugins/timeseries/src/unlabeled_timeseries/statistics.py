"""Means and deviations of channels, gathered series by series."""

import numpy as np


class SeriesStatistics:
    """Moments of each channel over all steps of all series, merged pairwise (Chan, Golub and LeVeque, 1979)."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.series = 0
        self.steps = 0
        self.longest = 0
        self.mean = np.zeros(channels)
        self._squares = np.zeros(channels)

    def add(self, values: np.ndarray) -> None:
        """Take in a series (T, C)."""
        count, mean = len(values), values.mean(axis=0)
        total, shift = self.steps + count, mean - self.mean
        self._squares += ((values - mean) ** 2).sum(axis=0) + shift**2 * (self.steps * count / total)
        self.mean = self.mean + shift * (count / total)
        self.series, self.steps, self.longest = self.series + 1, total, max(self.longest, count)

    @property
    def std(self) -> np.ndarray:
        """(C,) standard deviation of each channel over all steps."""
        return np.sqrt(self._squares / max(self.steps, 1))
