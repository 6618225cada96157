"""Transforms of values: jitter, scaling, magnitude-warp. Time stays as it is.

Shapes: B rows, T steps, C channels. The padding on the right is left untouched.
"""

import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Config, Draws, Transform, View
from unlabeled_timeseries.transforms.series import inside, lengths, smooth_curve

_SURVEY = "Iwana and Uchida, 2021, An empirical survey of data augmentation for time series classification"


class JitterConfig(Config):
    """Options of `timeseries/jitter`."""

    sigma: float = Field(0.03, ge=0, description=f"standard deviation of the noise in normalised units ({_SURVEY})")


class Jitter(Transform):
    """Independent normal noise on every step of every channel (Um et al., 2017, section 3.2)."""

    Config = JitterConfig
    config: JitterConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """past_values (B, T, C) + N(0, sigma)."""
        values = view.inputs["past_values"]
        noise = draws("noise").normal(*values.shape[1:]).to(values.dtype)
        return _with_values(view, values + self.config.sigma * noise)


class ScalingConfig(Config):
    """Options of `timeseries/scaling`."""

    mean: float = Field(
        1.0, description="mean of the factor (Um et al., 2017; TS-TCC's code, Eldele et al., 2021, has 2)"
    )
    sigma: float = Field(0.1, ge=0, description=f"standard deviation of the factor ({_SURVEY})")


class Scaling(Transform):
    """One normal factor for each channel of each row (Um et al., 2017, section 3.2)."""

    Config = ScalingConfig
    config: ScalingConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """past_values (B, T, C) * N(mean, sigma) of (B, 1, C)."""
        values = view.inputs["past_values"]
        factor = draws("factor").normal(values.shape[2]).to(values.dtype) * self.config.sigma + self.config.mean
        return _with_values(view, values * factor.unsqueeze(1))


class MagnitudeWarpConfig(Config):
    """Options of `timeseries/magnitude-warp`."""

    sigma: float = Field(0.2, ge=0, description=f"standard deviation of the knots about 1 (Um et al., 2017; {_SURVEY})")
    knots: int = Field(4, ge=0, description="knots of the curve between its two ends (Um et al., 2017)")


class MagnitudeWarp(Transform):
    """A smooth factor over time, drawn for each channel of each row (Um et al., 2017, section 3.2).

    The factor is the natural cubic spline through `knots` + 2 values N(1, sigma), evenly spaced over the row's own length.
    """

    Config = MagnitudeWarpConfig
    config: MagnitudeWarpConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """past_values (B, T, C) * curve (B, T, C)."""
        values = view.inputs["past_values"]
        knots = 1 + self.config.sigma * draws("knots").normal(self.config.knots + 2, values.shape[2])
        return _with_values(view, values * smooth_curve(knots.to(values.dtype), values.shape[1], lengths(view)))


def _with_values(view: View, changed: Tensor) -> View:
    values = view.inputs["past_values"]
    return view.with_inputs(past_values=torch.where(inside(values, lengths(view)), changed, values))
