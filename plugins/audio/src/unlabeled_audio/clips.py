"""What one view takes of a sound."""

import numpy as np
from pydantic import Field, model_validator

from unlabeled import Config, Draws


class ClipConfig(Config):
    """Options that waveforms and spectrograms have in common."""

    sampling_rate: int = Field(16000, ge=1000, description="Hz; files of other rates are resampled")
    clip: float = Field(1.0, gt=0, description="seconds of one view; wav2vec 2.0 (Baevski et al., 2020): 15.6")
    evaluation_clip: float | None = Field(
        None, gt=0, description="seconds of a sample that evaluation sees at most, about its centre; default: as `clip`"
    )
    shortest: float = Field(0.1, ge=0.025, description="seconds; shorter files are errors")

    @model_validator(mode="after")
    def _sensible(self) -> "ClipConfig":
        if self.shortest > min(self.clip, self.evaluation_clip or self.clip):
            raise ValueError("shortest must not exceed clip and evaluation_clip")
        return self

    def samples(self, role: str) -> int:
        """The length of one view in samples."""
        seconds = self.evaluation_clip if role == "plain" and self.evaluation_clip else self.clip
        return round(seconds * self.sampling_rate)


def take_clip(sound: np.ndarray, length: int, draws: Draws, role: str) -> np.ndarray:
    """`length` of the (T, ...) steps of a sound: from a random place, role `plain` from the middle; all where fewer."""
    latest = max(len(sound) - length, 0)
    start = latest // 2 if role == "plain" else int(draws("clip").integers(0, latest + 1))
    return sound[start : start + length]


def pad_right(sound: np.ndarray, length: int) -> np.ndarray:
    """(length, ...) the sound (T, ...) with zeros after it."""
    padding = [(0, length - len(sound))] + [(0, 0)] * (sound.ndim - 1)
    return np.pad(sound, padding)
