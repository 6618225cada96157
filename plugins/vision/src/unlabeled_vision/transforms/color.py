"""Random changes of colour."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Draws
from unlabeled_vision.transforms.base import PixelTransform, Probability, RandomConfig, column, luma


class ColorJitterConfig(RandomConfig):
    """Options of vision/color-jitter; 0 leaves a property as it is."""

    brightness: float = Field(
        0.8, ge=0, description="factor within 1 +- this, not below 0. SimCLR (Chen et al., 2020, A): 0.8"
    )
    contrast: float = Field(0.8, ge=0, description="factor within 1 +- this, not below 0. SimCLR: 0.8")
    saturation: float = Field(0.8, ge=0, description="factor within 1 +- this, not below 0. SimCLR: 0.8")
    hue: float = Field(
        0.2, ge=0, le=0.5, description="shift within +- this, in turns of the colour circle. SimCLR: 0.2"
    )
    order: Literal["fixed", "random"] = Field(
        "fixed",
        description="fixed: brightness, contrast, saturation, hue; random: each row in an order of its own, slower",
    )


class ColorJitter(PixelTransform):
    """Random brightness, contrast, saturation and hue, each row's own (Howard, 2013; strengths of Chen et al., 2020).

    Each step ends within [0, 1]. Hue turns on the hexagon of HSV.
    """

    Config = ColorJitterConfig
    config: ColorJitterConfig

    def parameters(self, draws: Draws, pixels: Tensor) -> Sequence[Tensor]:
        config = self.config
        strengths = (config.brightness, config.contrast, config.saturation)
        factors = [
            draws(name).uniform(low=max(0.0, 1 - strength), high=1 + strength)
            for name, strength in zip(("brightness", "contrast", "saturation"), strengths, strict=True)
        ]
        order = draws("order").bits(4).argsort(dim=1)
        return (*factors, draws("hue").uniform(low=-config.hue, high=config.hue), order)

    def change(self, pixels: Tensor, *parameters: Tensor) -> Tensor:
        *amounts, order = parameters
        config = self.config
        used = [config.brightness > 0, config.contrast > 0, config.saturation > 0, config.hue > 0]
        steps = (brighten, stretch_contrast, saturate, turn_hue)
        if config.order == "fixed":
            for step, amount, wanted in zip(steps, amounts, used, strict=True):
                pixels = step(pixels, amount) if wanted else pixels
            return pixels
        pixels = pixels.clone()
        for place in range(len(steps)):
            for number, (step, amount, wanted) in enumerate(zip(steps, amounts, used, strict=True)):
                rows = (order[:, place] == number).nonzero().squeeze(1)
                if wanted and len(rows):
                    pixels[rows] = step(pixels[rows], amount[rows])
        return pixels


def brighten(pixels: Tensor, factor: Tensor) -> Tensor:
    """(R, 3, H, W) times factor (R,), within [0, 1]."""
    return (pixels * column(factor)).clamp_(0, 1)


def stretch_contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """(R, 3, H, W) moved away from each picture's mean luma by factor (R,), within [0, 1]."""
    mean = luma(pixels.mean(dim=(2, 3), keepdim=True))
    return (pixels * column(factor)).add_(mean * column(1 - factor)).clamp_(0, 1)


def saturate(pixels: Tensor, factor: Tensor) -> Tensor:
    """(R, 3, H, W) moved away from each pixel's luma by factor (R,), within [0, 1]."""
    return torch.lerp(luma(pixels), pixels, column(factor)).clamp_(0, 1)


def turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """(R, 3, H, W) with hue shifted by turns (R,), at the same value and saturation of HSV (Smith, 1978).

    With m the least channel and c the greatest less m, the hue in sixths of the circle, counted from red, is
    u = 1 + (green + blue - red - m) / c towards green, and -u where blue exceeds green. Turned, red is
    m + c clamp(|u - 3| - 1, 0, 1); green and blue are m + c clamp(2 - |u - p|, 0, 1) around p = 2 and 4. This needs neither
    the value nor the saturation, and no choice between cases, which are slow on a CPU.
    """
    red, green, blue = pixels.split(1, dim=1)
    least = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue).sub_(least)
    # Grey pixels have chroma 0: their hue is a finite number that nothing depends on.
    hue = (green + blue).sub_(red).sub_(least).div_(chroma.clamp(min=1e-20)).add_(1)
    hue = torch.copysign(hue, green - blue).add_(column(6 * turns))
    hue.sub_((hue / 6).floor_(), alpha=6)
    turned = torch.cat(
        [(hue - 3).abs_().sub_(1), (hue - 2).abs_().neg_().add_(2), (hue - 4).abs_().neg_().add_(2)], dim=1
    )
    return turned.clamp_(0, 1).mul_(chroma).add_(least)


class GrayscaleConfig(RandomConfig):
    """Options of vision/grayscale."""

    probability: Probability = Field(
        0.2, description="share of rows without colour. SimCLR (Chen et al., 2020, A): 0.2"
    )


class Grayscale(PixelTransform):
    """Colours replaced by their luma, on all three channels."""

    Config = GrayscaleConfig

    def change(self, pixels: Tensor, *parameters: Tensor) -> Tensor:
        return luma(pixels).expand_as(pixels)


class SolarizeConfig(RandomConfig):
    """Options of vision/solarize."""

    threshold: float = Field(
        0.5, ge=0, le=1, description="channels from this value on are inverted. BYOL (Grill et al., 2020, B): 0.5"
    )


class Solarize(PixelTransform):
    """Bright values inverted."""

    Config = SolarizeConfig
    config: SolarizeConfig

    def change(self, pixels: Tensor, *parameters: Tensor) -> Tensor:
        bright = torch.ge(pixels, self.config.threshold, out=torch.empty_like(pixels))  # as numbers: `where` is slow
        return bright.mul_(1 - 2 * pixels).add_(pixels)
