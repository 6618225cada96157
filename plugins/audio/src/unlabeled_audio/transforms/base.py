"""What all transforms of sound share: waveforms and spectrograms seen alike, as steps of features."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, BaseModel, Field
from torch import Tensor

from unlabeled import Config, Draws, Transform, View
from unlabeled_audio.log_mel import DECIBELS

Share = Annotated[float, Field(ge=0, le=1)]


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError("must be two numbers, the smaller one first")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class RandomConfig(Config):
    """Options of a transform that changes some rows."""

    probability: Share = Field(1.0, description="share of rows that change")


@dataclass(frozen=True)
class Signal:
    """The sounds of a view."""

    values: Tensor
    """(B, T, F): a waveform's samples (F = 1), or a spectrogram's frames (F mel bands)."""
    lengths: Tensor
    """(B,) int64: the real steps of each row, which come first; zeros follow."""
    spectral: bool
    """True for a spectrogram in units of 40 dB, False for a waveform."""

    @property
    def real(self) -> Tensor:
        """(B, T, 1) bool: no padding."""
        places = torch.arange(self.values.shape[1], device=self.values.device)
        return (places < self.lengths.unsqueeze(1)).unsqueeze(2)

    @property
    def level(self) -> Tensor:
        """(B, 1, 1) the mean power of the real steps: of a waveform the power itself, of a spectrogram its level in dB."""
        values = self.values * DECIBELS if self.spectral else self.values
        power = 10 ** (values / 10) if self.spectral else values.square()
        sums = torch.where(self.real, power, 0).sum(dim=(1, 2), keepdim=True)
        mean = sums / (self.lengths * values.shape[2]).clamp(min=1).reshape(-1, 1, 1)
        return 10 * torch.log10(mean.clamp(min=1e-12)) if self.spectral else mean

    def with_values(self, values: Tensor) -> "Signal":
        """The same sounds with other values (B, T, F)."""
        return replace(self, values=values)


def signal_of(view: View) -> Signal:
    """The sounds of a view of audio/audio or audio/spectrogram."""
    if "pixel_values" in view.inputs:
        return Signal(view.inputs["pixel_values"].squeeze(1), view.extra["lengths"], True)
    return Signal(view.inputs["input_values"].unsqueeze(2), view.inputs["attention_mask"].sum(dim=1), False)


def view_of(signal: Signal, view: View) -> View:
    """The view with these sounds in place of its own."""
    if signal.spectral:
        changed = view.with_inputs(pixel_values=signal.values.unsqueeze(1))
        return replace(changed, extra={**view.extra, "lengths": signal.lengths})
    mask = signal.real.squeeze(2).to(view.inputs["attention_mask"].dtype)
    return view.with_inputs(input_values=signal.values.squeeze(2), attention_mask=mask)


class SoundTransform(Transform):
    """A random change of the real steps of sounds; padding stays zero."""

    Config: ClassVar[type[BaseModel]] = RandomConfig
    config: RandomConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """The view with the chosen rows changed; dtype and device stay."""
        signal = signal_of(view)
        rows = draws("chosen").coin(self.config.probability).nonzero().squeeze(1)
        if len(rows) == 0:
            return view
        if len(rows) == view.rows:
            changed = self.change(signal, draws)
            return view_of(replace(changed, values=torch.where(changed.real, changed.values, 0)), view)
        part = Signal(signal.values[rows], signal.lengths[rows], signal.spectral)
        changed = self.change(part, replace(draws, ids=draws.ids[rows]))
        values = signal.values.index_copy(0, rows, torch.where(changed.real, changed.values, 0))
        return view_of(Signal(values, signal.lengths.index_copy(0, rows, changed.lengths), signal.spectral), view)

    @abstractmethod
    def change(self, signal: Signal, draws: Draws) -> Signal:
        """Every row changed by its own draws; what it does to padding does not matter."""


def column(values: Tensor, like: Tensor) -> Tensor:
    """(B, 1, 1) from (B,): one number for each row, in the dtype of `like`."""
    return values.to(like.dtype).reshape(-1, 1, 1)
