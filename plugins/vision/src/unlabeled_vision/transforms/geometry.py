"""Random changes of place: crops and mirror images, which keep track of where the view lies in its picture."""

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from unlabeled import Config, Draws, Transform, View
from unlabeled_vision.transforms.base import Probability, RandomConfig, rows_at_once
from unlabeled_vision.transforms.resampling import resample, scaling

ATTEMPTS = 10  # boxes tried before the largest fitting one is taken, as the usual implementations do


class ResizedCropConfig(Config):
    """Options of vision/resized-crop."""

    scale: tuple[float, float] = Field(
        (0.08, 1.0),
        description="range of the crop's share of the area. Inception (Szegedy et al., 2015), SimCLR: 0.08 to 1",
    )
    ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3),
        description="range of width over height, uniform in its logarithm. Inception, SimCLR: 3/4 to 4/3",
    )
    size: int | None = Field(None, ge=1, description="side of the result in pixels; default: the side of the picture")
    resample: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="how pixels are interpolated, never aliased"
    )

    @model_validator(mode="after")
    def _sensible(self) -> "ResizedCropConfig":
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale must be two numbers above 0 and at most 1, the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("ratio must be two numbers above 0, the smaller one first")
        return self


class ResizedCrop(Transform):
    """A box of random area, shape and place, resized to a square; sets `View.window`."""

    Config = ResizedCropConfig
    config: ResizedCropConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """`pixel_values` (B, C, size, size); dtype and device stay."""
        pixels = view.inputs["pixel_values"]
        height, width = pixels.shape[-2:]
        size = (self.config.size,) * 2 if self.config.size else (height, width)
        top, left, tall, wide = self.boxes(draws, height, width)
        method, dtype = self.config.resample, pixels.dtype
        cropped = pixels.new_empty(len(pixels), pixels.shape[1], *size)
        for start in range(0, len(pixels), rows_at_once(pixels)):
            rows = slice(start, start + rows_at_once(pixels))
            down = scaling(top[rows], tall[rows], height, size[0], method, dtype)
            across = scaling(left[rows], wide[rows], width, size[1], method, dtype)
            cropped[rows] = resample(pixels[rows], down, across)
        inner = torch.stack([top / height, (top + tall) / height, left / width, (left + wide) / width], dim=1)
        return replace(view.with_inputs(pixel_values=cropped.clamp_(0, 1)), window=within(view.window, inner))

    def boxes(self, draws: Draws, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Top, left, height and width (B,) of each row's box in pixels, with fractions."""
        area = draws("area").uniform(ATTEMPTS, low=self.config.scale[0], high=self.config.scale[1]) * (height * width)
        low, high = (math.log(ratio) for ratio in self.config.ratio)
        ratio = draws("ratio").uniform(ATTEMPTS, low=low, high=high).exp()
        tall, wide = (area / ratio).sqrt(), (area * ratio).sqrt()
        # Behind the attempts stands a box that always fits: the largest one of an allowed shape.
        shape = min(max(width / height, self.config.ratio[0]), self.config.ratio[1])
        tall = torch.cat([tall, torch.full_like(tall[:, :1], min(height, width / shape))], dim=1)
        wide = torch.cat([wide, torch.full_like(wide[:, :1], min(width, height * shape))], dim=1)
        first = ((tall <= height) & (wide <= width)).to(torch.int8).argmax(dim=1, keepdim=True)
        tall, wide = tall.gather(1, first).squeeze(1), wide.gather(1, first).squeeze(1)
        place = draws("place").uniform(2)
        return (height - tall) * place[:, 0], (width - wide) * place[:, 1], tall, wide


class FlipConfig(RandomConfig):
    """Options of vision/flip."""

    probability: Probability = Field(0.5, description="share of rows that are mirrored")


class Flip(Transform):
    """Left and right exchanged; where the view has a window, so are its ends along the width."""

    Config = FlipConfig
    config: FlipConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """The view with the chosen rows mirrored."""
        pixels = view.inputs["pixel_values"]
        chosen = draws("chosen").coin(self.config.probability_of(view.index))
        mirrored = pixels.clone()
        mirrored[chosen] = pixels[chosen].flip(-1)
        flipped = view.with_inputs(pixel_values=mirrored)
        ends = torch.where(chosen.unsqueeze(1), chosen.new_tensor([1, 0]), chosen.new_tensor([0, 1])).to(torch.float32)
        inner = torch.cat([torch.zeros_like(ends[:, :1]), torch.ones_like(ends[:, :1]), ends], dim=1)
        return replace(flipped, window=within(view.window, inner))


def within(outer: Tensor | None, inner: Tensor) -> Tensor:
    """(B, 4) top, bottom, left and right of `inner` (B, 4), given in fractions of `outer` (B, 4; None: the picture)."""
    if outer is None:
        return inner
    start, end = outer[:, 0::2].repeat_interleave(2, dim=1), outer[:, 1::2].repeat_interleave(2, dim=1)
    return start + inner * (end - start)
