"""vision/blur: Gaussian blur, each row by its own width."""

import math
from collections.abc import Sequence

from pydantic import Field, model_validator
from torch import Tensor

from unlabeled import Draws
from unlabeled_vision.transforms.base import PixelTransform, RandomConfig
from unlabeled_vision.transforms.resampling import resample, smoothing


class BlurConfig(RandomConfig):
    """Options of vision/blur."""

    sigma: tuple[float, float] = Field(
        (0.1, 2.0), description="range of the standard deviation in pixels. SimCLR (Chen et al., 2020, A): 0.1 to 2.0"
    )
    reach: int | None = Field(
        None,
        ge=1,
        description="pixels to each side; default 3 standard deviations. SimCLR: a twentieth of the picture",
    )

    @model_validator(mode="after")
    def _sensible(self) -> "BlurConfig":
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError("sigma must be two numbers above 0, the smaller one first")
        return self


class Blur(PixelTransform):
    """A normalised Gaussian along both axes; edges are mirrored."""

    Config = BlurConfig
    config: BlurConfig

    def parameters(self, draws: Draws, pixels: Tensor) -> Sequence[Tensor]:
        return (draws("sigma").uniform(low=self.config.sigma[0], high=self.config.sigma[1]),)

    def change(self, pixels: Tensor, *parameters: Tensor) -> Tensor:
        (sigma,) = parameters
        reach = self.config.reach or math.ceil(3 * self.config.sigma[1])
        down = smoothing(sigma, pixels.shape[-2], reach, pixels.dtype)
        across = smoothing(sigma, pixels.shape[-1], reach, pixels.dtype)
        return resample(pixels, down, across).clamp_(0, 1)
