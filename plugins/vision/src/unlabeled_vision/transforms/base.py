"""What all transforms of images share: which rows change, and how a large batch stays within the processor's cache."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field
from torch import Tensor

from unlabeled import Config, Draws, Transform, View

Share = Annotated[float, Field(ge=0, le=1)]
Probability = Share | Annotated[list[Share], Field(min_length=1)]
CACHED_PIXELS = 1 << 16  # of one channel, at once; measured at 32, 48 and 224 pixels


class RandomConfig(Config):
    """Options of a transform that changes some rows."""

    probability: Probability = Field(
        1.0, description="share of rows that change. A list has one value for each view of the role, in turn"
    )

    def probability_of(self, view: int) -> float:
        """The share of rows that change in view number `view`."""
        if isinstance(self.probability, list):
            return self.probability[view % len(self.probability)]
        return self.probability


class PixelTransform(Transform):
    """A random change of `pixel_values` (B, C, H, W), float in [0, 1]: `parameters` draws it, `change` applies it."""

    Config: ClassVar[type[BaseModel]] = RandomConfig
    config: RandomConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """The view with the chosen rows changed; dtype and device stay."""
        pixels = view.inputs["pixel_values"]
        chosen = draws("chosen").coin(self.config.probability_of(view.index)).nonzero().squeeze(1)
        if len(chosen) == 0:
            return view
        parameters = [values.to(pixels.dtype) for values in self.parameters(draws, pixels)]
        changed = pixels.clone()
        for rows in chosen.split(rows_at_once(pixels)):
            some = pixels.index_select(0, rows)  # three times as fast as indexing
            changed[rows] = self.change(some, *(values[rows] for values in parameters))
        return view.with_inputs(pixel_values=changed)

    def parameters(self, draws: Draws, pixels: Tensor) -> Sequence[Tensor]:
        """What each row draws: tensors (B, ...), cast to the dtype of the pixels."""
        return ()

    @abstractmethod
    def change(self, pixels: Tensor, *parameters: Tensor) -> Tensor:
        """The changed rows (R, C, H, W) in [0, 1], by their own parameters (R, ...)."""


def rows_at_once(pixels: Tensor) -> int:
    """Rows to work on together. On a CPU small parts stay in its cache (up to twice as fast); a GPU takes them all."""
    if pixels.device.type != "cpu":
        return len(pixels)
    return max(1, CACHED_PIXELS // (pixels.shape[-1] * pixels.shape[-2]))


def luma(pixels: Tensor) -> Tensor:
    """(R, 1, H, W) brightness of (R, 3, H, W) by ITU-R BT.601, as pillow's mode L has it."""
    red, green, blue = pixels.split(1, dim=1)
    return (0.299 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def column(values: Tensor) -> Tensor:
    """(R, 1, 1, 1) from (R,): one number for each row's pixels."""
    return values.reshape(-1, 1, 1, 1)
