"""Changes of place: cropping and stretching of time, shifting and stretching of frequency."""

import torch
from pydantic import Field, field_validator
from torch import Tensor

from unlabeled import Draws
from unlabeled_audio.transforms.base import RandomConfig, Range, Signal, SoundTransform


class CropConfig(RandomConfig):
    """Options of audio/crop."""

    share: Range = Field((0.7, 1.0), description="range of the share of a row's length that is kept")

    @field_validator("share")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError("share must lie above 0 and up to 1")
        return value


class Crop(SoundTransform):
    """A part of the row, moved to its start: also a sound that is shorter than the clip is shifted in time."""

    Config = CropConfig
    config: CropConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        low, high = self.config.share
        kept = torch.ceil(signal.lengths * draws("share").uniform(low=low, high=high)).to(torch.int64)
        kept = kept.clamp(min=1).minimum(signal.lengths)
        start = draws("start").integers(0, signal.lengths - kept + 1)
        places = torch.arange(signal.values.shape[1], device=kept.device) + start.unsqueeze(1)
        places = places.clamp(max=signal.values.shape[1] - 1).unsqueeze(2).expand_as(signal.values)
        return Signal(signal.values.gather(1, places), kept, signal.spectral)


class SpeedConfig(RandomConfig):
    """Options of audio/speed."""

    factor: Range = Field(
        (0.8, 1.25),
        description="range of the factor; 1.25 lasts 1/1.25 as long. Speed perturbation (Ko et al., 2015): 0.9 to 1.1",
    )

    @field_validator("factor")
    @classmethod
    def _positive(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] <= 0:
            raise ValueError("factor must be above 0")
        return value


class Speed(SoundTransform):
    """Faster or slower: a waveform changes its pitch with its tempo (Ko et al., 2015), a spectrogram its tempo alone.

    Steps are interpolated linearly; a slowed sound is cut at the end of the clip.
    """

    Config = SpeedConfig
    config: SpeedConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        low, high = self.config.factor
        factor = draws("factor").uniform(low=low, high=high)
        steps = signal.values.shape[1]
        lengths = torch.floor((signal.lengths - 1).clamp(min=0) / factor).to(torch.int64) + 1
        places = torch.arange(steps, device=factor.device) * factor.unsqueeze(1)
        places = places.minimum((signal.lengths - 1).clamp(min=0).unsqueeze(1))
        values = interpolated(signal.values, places, axis=1)
        return Signal(values, lengths.clamp(max=steps), signal.spectral)


class PitchConfig(RandomConfig):
    """Options of audio/pitch."""

    shift: float = Field(0.06, ge=0, le=0.5, description="largest move along the mel axis, as share of it")
    stretch: float = Field(0.12, ge=0, lt=1, description="largest change of the mel axis's scale about its lowest band")


class Pitch(SoundTransform):
    """Another voice: the mel axis stretched and moved, after vocal tract length perturbation; for spectrograms.

    Jaitly and Hinton (2013) warp the frequency by 0.9 to 1.1. Bands are interpolated linearly; beyond the ends of the axis
    the outermost band repeats.
    """

    Config = PitchConfig
    config: PitchConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        if not signal.spectral:
            return signal
        bands, shift, stretch = signal.values.shape[2], self.config.shift, self.config.stretch
        scale = 1 + draws("stretch").uniform(1, low=-stretch, high=stretch)
        offset = draws("shift").uniform(1, low=-shift, high=shift) * bands
        places = torch.arange(bands, device=scale.device) * scale + offset
        return signal.with_values(interpolated(signal.values, places.clamp(0, bands - 1), axis=2))


def interpolated(values: Tensor, places: Tensor, axis: int) -> Tensor:
    """(B, T, F) values read at fractional places (B, N), N the size of `axis` (1 or 2), by linear interpolation."""
    below = places.floor().clamp(max=values.shape[axis] - 1).to(torch.int64)
    above = (below + 1).clamp(max=values.shape[axis] - 1)
    share = (places - below).to(values.dtype).unsqueeze(3 - axis)
    first, second = (values.gather(axis, index.unsqueeze(3 - axis).expand_as(values)) for index in (below, above))
    return torch.lerp(first, second, share)
