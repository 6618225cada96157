"""audio/audio: waveforms."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unlabeled import Batch, ComponentSpec, Draws, Modality, Sample
from unlabeled_audio.clips import ClipConfig, pad_right, take_clip
from unlabeled_audio.decoding import read_audio
from unlabeled_audio.log_mel import RAW_PARTS, log_mel, summary
from unlabeled_audio.picture import draw_waveform

RAW_MELS = 40


class AudioConfig(ClipConfig):
    """Options of audio/audio."""

    normalize: bool = Field(
        True, description="the encoder sees zero mean and unit variance; wav2vec 2.0 BASE: false, LARGE: true"
    )


class Audio(Modality):
    """Mono sound as `input_values` (B, T) float32 in [-1, 1] with `attention_mask` (B, T) int64, 1 where real.

    A view is a clip from a random place, of one length for all rows, so that nothing depends on the longest row of a
    batch; role `plain` is the whole sound, or the middle of a longer one, and padded to the longest row. Padding is zeros
    on the right. Levels stay as they are up to the encoder, which normalises; so augmentations act alike on all rows.
    """

    Config = AudioConfig
    config: AudioConfig
    columns: ClassVar[tuple[str, ...]] = ("audio",)
    input_name: ClassVar[str] = "input_values"
    channel_axis: ClassVar[int | None] = None
    cached: ClassVar[bool] = True

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(T,), the samples of a training clip."""
        return (self.config.samples("strong"),)

    def decode(self, cell: Any) -> Sample:
        """`input_values` (samples,) float32; `ValueError` where the cell is unreadable, empty, too short or not finite."""
        return {"input_values": read_audio(cell, self.config.sampling_rate, self.config.shortest)}

    def take(self, sample: Sample, draws: Draws, role: str) -> Sample:
        """`input_values` (T,) and `attention_mask` (T,): a clip padded to its full length; `plain` is not padded."""
        clip = self.config.samples(role)
        waveform = take_clip(sample["input_values"], clip, draws, role)
        length = len(waveform) if role == "plain" else clip
        return {
            "input_values": pad_right(waveform, length),
            "attention_mask": (np.arange(length) < len(waveform)).astype(np.int64),
        }

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """`input_values` and `attention_mask` (B, T), zeros after the end of a row."""
        return {
            name: pad_sequence([torch.from_numpy(sample[name]) for sample in samples], batch_first=True)
            for name in samples[0]
        }

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """weak: the level alone; strong: level, speed, noise and short gaps."""
        gain = {"id": "audio/gain"}
        return {
            "weak": [gain],
            "strong": [
                {"id": "audio/speed"},
                {"id": "audio/polarity"},
                gain,
                {"id": "audio/noise"},
                {"id": "audio/time-mask"},
            ],
        }

    def raw(self, batch: Batch) -> Tensor:
        """(B, 8 * 40) float32: the mean log-mel energies of eight equal parts of each sound."""
        lengths = batch.inputs["attention_mask"].sum(dim=1).tolist()
        waveforms = batch.inputs["input_values"].to(torch.float32).cpu().numpy()
        rows = [
            log_mel(waveform[:length], self.config.sampling_rate, RAW_MELS)
            for waveform, length in zip(waveforms, lengths, strict=True)
        ]
        return torch.stack([summary(torch.from_numpy(row), RAW_PARTS) for row in rows]).to(batch.device)

    def blank(self) -> Sample:
        """A clip of silence."""
        return {"input_values": np.zeros(self.config.samples("strong"), np.float32)}

    def show(self, sample: Sample) -> np.ndarray:
        """(H, W, 3) uint8: the envelope over time."""
        return draw_waveform(sample["input_values"])
