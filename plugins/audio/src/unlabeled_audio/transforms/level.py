"""Changes of level: gain, polarity, noise, equaliser."""

import math

import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Draws, Stream
from unlabeled_audio.log_mel import DECIBELS
from unlabeled_audio.transforms.base import RandomConfig, Range, Signal, SoundTransform, column


class GainConfig(RandomConfig):
    """Options of audio/gain."""

    decibels: Range = Field((-6.0, 6.0), description="range of the change of level in dB")


class Gain(SoundTransform):
    """Another level."""

    Config = GainConfig
    config: GainConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        low, high = self.config.decibels
        gain = column(draws("decibels").uniform(low=low, high=high), signal.values)
        return amplified(signal, gain)


class PolarityConfig(RandomConfig):
    """Options of audio/polarity."""

    probability: float = Field(0.5, ge=0, le=1, description="share of rows that change")


class Polarity(SoundTransform):
    """The waveform upside down, which ears do not hear; a spectrogram has no polarity and stays."""

    Config = PolarityConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        return signal if signal.spectral else signal.with_values(-signal.values)


class NoiseConfig(RandomConfig):
    """Options of audio/noise."""

    probability: float = Field(0.5, ge=0, le=1, description="share of rows that change")
    snr: Range = Field((5.0, 40.0), description="range of the signal-to-noise ratio in dB, over the real part of a row")
    slope: Range = Field((-6.0, 6.0), description="spectrograms: range of the noise's tilt over the mel axis in dB")


class Noise(SoundTransform):
    """Gaussian noise: white on waveforms; on spectrograms of a random tilt, its powers added band by band.

    The power of one band of one frame of Gaussian noise is exponentially distributed about its mean.
    """

    Config = NoiseConfig
    config: NoiseConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        low, high = self.config.snr
        snr = column(draws("snr").uniform(low=low, high=high), signal.values)
        steps, bands = signal.values.shape[1:]
        if not signal.spectral:
            noise = draws("noise").normal(steps, bands).to(signal.values.dtype)
            return signal.with_values(signal.values + noise * torch.sqrt(signal.level * 10 ** (-snr / 10)))
        flatter, steeper = self.config.slope
        slope = column(draws("slope").uniform(low=flatter, high=steeper), signal.values)
        tilt = slope * torch.linspace(-0.5, 0.5, bands, device=slope.device, dtype=slope.dtype)
        power = -torch.log(_quick_uniform(draws("noise"), steps, bands).to(signal.values.dtype))
        noise = signal.level - snr + tilt + 10 * torch.log10(power)
        return signal.with_values(added_powers(signal.values * DECIBELS, noise) / DECIBELS)


class EqualizerConfig(RandomConfig):
    """Options of audio/equalizer."""

    decibels: float = Field(6.0, ge=0, description="standard deviation of each band's change of level in dB")
    waves: int = Field(
        3, ge=1, description="half periods of cosine over the mel axis that the curve is made of at most"
    )


class Equalizer(SoundTransform):
    """A smooth random response over frequency, as of another voice, microphone or room; for spectrograms.

    The curve is a sum of `waves` cosines of equal variance, the first being a tilt.
    """

    Config = EqualizerConfig
    config: EqualizerConfig

    def change(self, signal: Signal, draws: Draws) -> Signal:
        if not signal.spectral:
            return signal
        bands, waves = signal.values.shape[2], self.config.waves
        weights = draws("weights").normal(waves).to(signal.values.dtype) * self.config.decibels * math.sqrt(2 / waves)
        places = (torch.arange(bands, device=weights.device, dtype=weights.dtype) + 0.5) / bands
        orders = torch.arange(1, waves + 1, device=weights.device, dtype=weights.dtype)
        curves = torch.cos(math.pi * orders.unsqueeze(1) * places)
        return amplified(signal, (weights.unsqueeze(2) * curves).sum(dim=1).unsqueeze(1))


def amplified(signal: Signal, gain: Tensor) -> Signal:
    """The signal changed by `gain` in dB, broadcast to (B, T, F)."""
    if signal.spectral:
        return signal.with_values(signal.values + gain / DECIBELS)
    return signal.with_values(signal.values * 10 ** (gain / 20))


def _quick_uniform(stream: Stream, steps: int, bands: int) -> Tensor:
    """(B, steps, bands) float32 uniform in (0, 1) of 16 random bits: four numbers of each hash, which is most of the cost."""
    bits = stream.bits(steps, -(-bands // 4)).unsqueeze(3)
    shifts = torch.tensor([0, 16, 32, 48], device=bits.device)
    return ((bits >> shifts) & 0xFFFF).flatten(2)[:, :, :bands].to(torch.float32).add(0.5).mul(2.0**-16)


def added_powers(first: Tensor, second: Tensor) -> Tensor:
    """The level in dB of two independent sounds together."""
    scale = 10 / math.log(10)
    return torch.logaddexp(first / scale, second / scale) * scale
