"""Transforms of time: time-warp, crop, permutation. All channels of a row move together, each with its own values.

Shapes: B rows, T steps, C channels. Each row uses its own length L; the padding on the right is left untouched.
"""

from dataclasses import replace

import torch
from pydantic import Field, field_validator
from torch import Tensor

from unlabeled import Config, Draws, Transform, View
from unlabeled_timeseries.transforms.series import inside, lengths, resample, smooth_curve

_SLOWEST = 0.05  # of the mean speed: time never stands still or runs backwards


class TimeWarpConfig(Config):
    """Options of `timeseries/time-warp`."""

    sigma: float = Field(0.2, ge=0, description="standard deviation of the speed's knots about 1 (Um et al., 2017)")
    knots: int = Field(4, ge=0, description="knots of the speed between its two ends (Um et al., 2017)")


class TimeWarp(Transform):
    """Time runs at a smoothly varying speed (Um et al., 2017, section 3.2).

    The speed is the natural cubic spline through `knots` + 2 values N(1, sigma), evenly spaced over the row's own length;
    summed up and stretched to that length it says at which moment of the series each step of the view is read.
    """

    Config = TimeWarpConfig
    config: TimeWarpConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """past_values (B, T, C) read at moments (B, T) that keep the first and the last step in place."""
        values, own = view.inputs["past_values"], lengths(view)
        knots = 1 + self.config.sigma * draws("knots").normal(self.config.knots + 2, 1).to(torch.float64)
        speed = smooth_curve(knots, values.shape[1], own).squeeze(2).clamp(min=_SLOWEST)
        travelled = torch.nn.functional.pad((speed[:, 1:] + speed[:, :-1]) / 2, (1, 0)).cumsum(dim=1)
        last = (own - 1).clamp(min=0).unsqueeze(1)
        moments = travelled * (last / travelled.gather(1, last).clamp(min=_SLOWEST))
        warped = resample(values, torch.minimum(moments, last.to(moments.dtype)))
        return view.with_inputs(past_values=torch.where(inside(values, own), warped, values))


class CropConfig(Config):
    """Options of `timeseries/crop`."""

    ratio: tuple[float, float] = Field(
        (0.9, 0.9), description="least and greatest share of the steps in the window (0.9: Le Guennec et al., 2016)"
    )
    resize: bool = Field(
        True, description="stretch the window to the row's length; False: keep its steps, padded on the right"
    )

    @field_validator("ratio")
    @classmethod
    def _shares(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        if not 0 < ratio[0] <= ratio[1] <= 1:
            raise ValueError("must be two shares with 0 < least <= greatest <= 1")
        return ratio


class Crop(Transform):
    """A window of consecutive steps at a random place (window slicing, Le Guennec et al., 2016, section 3.1).

    `View.window` (B, 2) says where it lies in the sample, as shares of its length.
    """

    Config = CropConfig
    config: CropConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """past_values (B, T, C) of the window's steps, at least two of them where the row has two."""
        values, own = view.inputs["past_values"], lengths(view)
        share = draws("share").uniform(low=self.config.ratio[0], high=self.config.ratio[1]).to(torch.float64)
        steps = (share * own).round().to(torch.int64).clamp(min=2).minimum(own)
        start = draws("start").integers(0, own - steps + 1)
        places = torch.arange(values.shape[1], device=values.device, dtype=torch.float64)
        pace = (steps - 1).double() / (own - 1).clamp(min=1) if self.config.resize else torch.ones_like(share)
        cropped = resample(values, start.unsqueeze(1) + places * pace.unsqueeze(1))
        window = _within(view.window, torch.stack([start, start + steps], dim=1) / own.clamp(min=1).unsqueeze(1))
        if self.config.resize:
            kept = torch.where(inside(values, own), cropped, values)
            return replace(view.with_inputs(past_values=kept), window=window)
        kept = inside(values, steps)
        shorter = {"past_values": cropped * kept, "past_observed_mask": kept.expand_as(values)}
        return replace(view.with_inputs(**shorter), window=window)


class PermutationConfig(Config):
    """Options of `timeseries/permutation`."""

    segments: int = Field(
        5,
        ge=1,
        description="most segments of a row; their number is uniform in 1..segments (TS-TCC, Eldele et al., 2021: 5 to 12)",
    )


class Permutation(Transform):
    """Each row is cut at random into 1 to `segments` segments, which change places (TS-TCC, Eldele et al., 2021, section 3.1).

    All channels of a row are cut and ordered alike.
    """

    Config = PermutationConfig
    config: PermutationConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """past_values (B, T, C) with the steps of each row in the order of its shuffled segments."""
        values, own = view.inputs["past_values"], lengths(view)
        count = draws("count").integers(1, self.config.segments + 1).minimum(own.clamp(min=1))
        places = torch.arange(values.shape[1], device=values.device)
        is_cut = (places > 0) & (places < own.unsqueeze(1))
        segment = draws("cuts").subset(is_cut, count - 1).cumsum(dim=1)
        rank = draws("order").permutation(count, self.config.segments).gather(1, segment)
        # Padding follows all segments, and within a segment the steps keep their order.
        order = torch.where(places < own.unsqueeze(1), rank, self.config.segments).argsort(dim=1, stable=True)
        return view.with_inputs(past_values=values.gather(1, order.unsqueeze(2).expand_as(values)))


def _within(outer: Tensor | None, window: Tensor) -> Tensor:
    """(B, 2) float32: a window of the window `outer`, as shares of the whole sample."""
    window = window.to(torch.float32)
    if outer is None:
        return window
    return outer[:, :1] + window * (outer[:, 1:] - outer[:, :1])
