"""Series: numbers over time, one or several channels, of unequal length."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unlabeled import ComponentSpec, Config, Draws, Modality, Sample
from unlabeled_timeseries.cells import Missing, read_series
from unlabeled_timeseries.picture import draw_curves
from unlabeled_timeseries.statistics import SeriesStatistics

FILE_NAME = "series.json"


class SeriesConfig(Config):
    """Options of `timeseries/series`."""

    channels: int | None = Field(
        None, ge=1, description="channels of every series; default: as most training cells have"
    )
    length: int | None = Field(
        None, ge=2, description="steps every batch is padded to; default: those of the longest training series"
    )
    missing: Missing = Field(
        "error",
        description="what to do with NaN: quarantine the series, or interpolate each channel linearly over time",
    )
    normalization: Literal["none", "series", "dataset"] = Field(
        "dataset",
        description="mean 0 and standard deviation 1 of each channel: over its own series, or over the training data",
    )


class Series(Modality):
    """Series of floats as `past_values` (B, T, C) with `past_observed_mask` (B, T, C), False in the padding on the right.

    Cells are nested lists, arrays or .npy files, [T] or [T][C]. Every batch is padded to the same `length`, so that a row's
    features do not depend on its neighbours; of a longer series a view takes a random window, and evaluation the middle one.
    """

    Config = SeriesConfig
    columns: ClassVar[tuple[str, ...]] = ("series",)
    input_name: ClassVar[str] = "past_values"
    channel_axis: ClassVar[int | None] = 2
    config: SeriesConfig

    def __init__(self, config: SeriesConfig) -> None:
        super().__init__(config)
        self.channels, self.length = config.channels, config.length
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(T, C), known once `fit` or `restore` has run, or where the config says both."""
        if self.channels is None or self.length is None:
            raise ValueError("timeseries/series: fit the modality first, or set `channels` and `length`")
        return (self.length, self.channels)

    def decode(self, cell: Any) -> Sample:
        """`past_values` (T, C) float32, normalised; `ValueError` where the cell is no series of the right kind."""
        values = read_series(cell, self.config.missing)
        if self.channels is not None and values.shape[1] != self.channels:
            raise ValueError(f"series has {values.shape[1]} channels, the training data have {self.channels}")
        with np.errstate(over="ignore"):
            normalized = self._normalize(values).astype(np.float32)
        if not np.isfinite(normalized).all():
            raise ValueError("series has values too large for float32")
        return {"past_values": normalized}

    def take(self, sample: Sample, draws: Draws, role: str) -> Sample:
        """The whole series, or a window of `length` steps of a longer one."""
        values = sample["past_values"]
        if self.length is None or len(values) <= self.length:
            return sample
        spare = len(values) - self.length
        start = spare // 2 if role == "plain" else int(draws("window").integers(0, spare + 1))
        return {"past_values": values[start : start + self.length]}

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """`past_values` (B, T, C) float32 with zeros on the right, `past_observed_mask` (B, T, C) bool."""
        length, channels = self.input_shape
        values = torch.zeros(len(samples), length, channels)
        observed = torch.zeros(len(samples), length, channels, dtype=torch.bool)
        for row, sample in enumerate(samples):
            steps = len(sample["past_values"])
            values[row, :steps] = torch.from_numpy(sample["past_values"])
            observed[row, :steps] = True
        return {"past_values": values, "past_observed_mask": observed}

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """Augmentations of the roles; the constants and their sources stand in the Configs of the transforms."""
        crop, bend, jitter = {"id": "timeseries/crop"}, {"id": "timeseries/magnitude-warp"}, {"id": "timeseries/jitter"}
        return {
            "weak": [{"id": "timeseries/scaling"}, jitter],
            "strong": [crop, {"id": "timeseries/time-warp"}, bend, jitter],
            "global": [{**crop, "ratio": (0.5, 1.0)}, bend, jitter],
            "local": [{**crop, "ratio": (0.1, 0.5)}, bend, jitter],
        }

    def blank(self) -> Sample:
        """A series of zeros, as long as the longest."""
        length, channels = self.input_shape
        return {"past_values": np.zeros((length, channels), dtype=np.float32)}

    def show(self, sample: Sample) -> np.ndarray:
        """(96, 192, 3) uint8: the curve of each channel."""
        return draw_curves(sample["past_values"])

    def fit(self, cells: Iterable[Any]) -> None:
        """Learn channels, length, means and deviations; cells that cannot be read are left to quarantine."""
        found: dict[int, SeriesStatistics] = {}
        reason = "there are none"
        for cell in cells:
            try:
                values = read_series(cell, self.config.missing)
            except ValueError as error:
                reason = str(error)
            else:
                found.setdefault(values.shape[1], SeriesStatistics(values.shape[1])).add(values)
        if self.config.channels is not None:
            found = {channels: it for channels, it in found.items() if channels == self.config.channels}
            reason = f"none has {self.config.channels} channels"
        if not found:
            raise ValueError(f"no training cell can be read: {reason}")
        self._learn(max(found.values(), key=lambda statistics: statistics.series))

    def save(self, folder: Path) -> None:
        """Write series.json: channels, length, mean and std of each channel."""
        if self.mean is None or self.std is None:
            raise ValueError("timeseries/series: nothing to save before fit")
        learned = {
            "channels": self.channels,
            "length": self.length,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }
        (folder / FILE_NAME).write_text(json.dumps(learned, indent=2) + "\n", encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Read series.json."""
        learned = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        self.channels, self.length = learned["channels"], learned["length"]
        self.mean, self.std = np.array(learned["mean"]), np.array(learned["std"])

    def _learn(self, statistics: SeriesStatistics) -> None:
        self.channels = statistics.channels
        self.length = self.config.length or max(2, statistics.longest)
        self.mean, self.std = statistics.mean, _no_zero(statistics.std)

    def _normalize(self, values: np.ndarray) -> np.ndarray:
        match self.config.normalization:
            case "none":
                return values
            case "series":
                normalized: np.ndarray = (values - values.mean(axis=0)) / _no_zero(values.std(axis=0))
                return normalized
            case _:
                if self.mean is None or self.std is None:
                    raise ValueError("timeseries/series: fit the modality first, or set `normalization: series`")
                return (values - self.mean) / self.std


def _no_zero(std: np.ndarray) -> np.ndarray:
    """Deviations to divide by: a constant channel keeps its scale."""
    return np.where(std > 0, std, 1.0)
