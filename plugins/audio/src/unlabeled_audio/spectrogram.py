"""audio/spectrogram: log-mel spectrograms."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Batch, ComponentSpec, Draws, Modality, Sample
from unlabeled_audio.clips import ClipConfig, pad_right, take_clip
from unlabeled_audio.decoding import read_audio
from unlabeled_audio.log_mel import RAW_PARTS, frames, log_mel, summary
from unlabeled_audio.picture import draw_spectrogram


class SpectrogramConfig(ClipConfig):
    """Options of audio/spectrogram."""

    mels: int = Field(64, ge=4, description="mel bands; 40 suit 8 kHz, AST (Gong et al., 2021) has 128 at 16 kHz")

    def frames(self, role: str) -> int:
        """The length of one view in frames."""
        return frames(self.samples(role), self.sampling_rate)


class Spectrogram(Modality):
    """Sound as `pixel_values` (B, 1, T, mels) float32: log-mel energies in units of 40 dB, 100 frames a second.

    What transformers' ASTFeatureExtractor gives with mean 0 and std 2 ln 10, as an image of one channel. Every view has the
    same number of frames: a clip from a random place, role `plain` the whole sound or the middle of a longer one, zeros
    after its end. `extra["lengths"]` (B,) int64 are the real frames.
    """

    Config = SpectrogramConfig
    config: SpectrogramConfig
    columns: ClassVar[tuple[str, ...]] = ("audio",)
    input_name: ClassVar[str] = "pixel_values"
    extras: ClassVar[tuple[str, ...]] = ("lengths",)
    cached: ClassVar[bool] = True

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, T, mels) of a training clip."""
        return (1, self.config.frames("strong"), self.config.mels)

    def decode(self, cell: Any) -> Sample:
        """`log_mel` (frames, mels) float32; `ValueError` where the cell is unreadable, empty, too short or not finite."""
        waveform = read_audio(cell, self.config.sampling_rate, self.config.shortest)
        return {"log_mel": log_mel(waveform, self.config.sampling_rate, self.config.mels)}

    def take(self, sample: Sample, draws: Draws, role: str) -> Sample:
        """`pixel_values` (1, T, mels) and `lengths` (): a clip padded to its full length."""
        length = self.config.frames(role)
        clip = take_clip(sample["log_mel"], length, draws, role)
        return {"pixel_values": pad_right(clip, length)[None], "lengths": np.asarray(len(clip), dtype=np.int64)}

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """`pixel_values` (B, 1, T, mels) and `lengths` (B,)."""
        batch = super().collate(samples)
        return {**batch, "lengths": batch["lengths"].flatten()}

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """weak: the level alone; strong: what another speaker, microphone or room would change, and masks."""
        gain = {"id": "audio/gain"}
        return {
            "weak": [gain],
            "strong": [
                {"id": "audio/crop"},
                {"id": "audio/speed"},
                {"id": "audio/pitch"},
                {"id": "audio/equalizer"},
                gain,
                {"id": "audio/noise"},
                {"id": "audio/time-mask"},
                {"id": "audio/frequency-mask"},
            ],
        }

    def raw(self, batch: Batch) -> Tensor:
        """(B, 8 * mels) float32: the mean energies of eight equal parts of each sound."""
        rows = zip(batch.inputs["pixel_values"][:, 0], batch.extra["lengths"].tolist(), strict=True)
        return torch.stack([summary(row[:length].to(torch.float32), RAW_PARTS) for row, length in rows])

    def blank(self) -> Sample:
        """A clip of zeros."""
        return {"log_mel": np.zeros((self.config.frames("strong"), self.config.mels), np.float32)}

    def show(self, sample: Sample) -> np.ndarray:
        """(mels, T, 3) uint8."""
        return draw_spectrogram(sample["log_mel"])
