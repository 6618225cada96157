"""Stretches of time and frequency blanked out."""

import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Draws
from unlabeled_audio.transforms.base import RandomConfig, Share, Signal, SoundTransform


class TimeMaskConfig(RandomConfig):
    """Options of audio/time-mask."""

    count: int = Field(2, ge=1, description="stretches; SpecAugment (Park et al., 2019), policies LD and SM: 2")
    width: Share = Field(0.2, description="the longest stretch as share of the row's length; SpecAugment's p: 0.2 to 1")


class TimeMask(SoundTransform):
    """Stretches of time set to silence: zeros in a waveform, the mean of each row in a spectrogram (Park et al., 2019)."""

    Config = TimeMaskConfig
    config: TimeMaskConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        mask = _stretches(signal.lengths, signal.values.shape[1], self.config.count, self.config.width, draws)
        return _blanked(signal, mask.unsqueeze(2))


class FrequencyMaskConfig(RandomConfig):
    """Options of audio/frequency-mask."""

    count: int = Field(2, ge=1, description="stretches; SpecAugment (Park et al., 2019), policies LD and SM: 2")
    width: Share = Field(0.3, description="the widest stretch as share of the mel bands; SpecAugment's LD: 27 of 80")


class FrequencyMask(SoundTransform):
    """Stretches of mel bands set to the mean of the row (Park et al., 2019); for spectrograms."""

    Config = FrequencyMaskConfig
    config: FrequencyMaskConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        if not signal.spectral:
            return signal
        bands = signal.values.shape[2]
        mask = _stretches(torch.full_like(signal.lengths, bands), bands, self.config.count, self.config.width, draws)
        return _blanked(signal, mask.unsqueeze(1))


def _stretches(lengths: Tensor, size: int, count: int, width: float, draws: Draws) -> Tensor:
    """(B, size) bool: `count` stretches, each of uniform width up to `width * length`, uniformly placed in the length."""
    limit = lengths.unsqueeze(1).to(torch.float32)
    wide = torch.floor(draws("width").uniform(count) * (limit * width + 1)).minimum(limit)
    start = torch.floor(draws("start").uniform(count) * (limit - wide + 1))
    places = torch.arange(size, device=lengths.device).reshape(1, -1, 1)
    inside = (places >= start.unsqueeze(1)) & (places < (start + wide).unsqueeze(1))
    return inside.any(dim=2)


def _blanked(signal: Signal, mask: Tensor) -> Signal:
    """The signal with the chosen places, (B, T, F) when broadcast, silent or at their row's mean."""
    if not signal.spectral:
        return signal.with_values(torch.where(mask, 0, signal.values))
    sums = torch.where(signal.real, signal.values, 0).sum(dim=(1, 2), keepdim=True)
    mean = sums / (signal.lengths * signal.values.shape[2]).clamp(min=1).reshape(-1, 1, 1)
    return signal.with_values(torch.where(mask, mean, signal.values))
