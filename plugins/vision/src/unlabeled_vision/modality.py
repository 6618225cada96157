"""vision/image: pictures on a square canvas."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image as Pillow
from pydantic import Field
from torch import Tensor

from unlabeled import Batch, ComponentSpec, Config, Modality, Sample
from unlabeled_vision.decoding import open_image, to_rgb
from unlabeled_vision.pipelines import pipelines

RESAMPLE = {"bilinear": Pillow.Resampling.BILINEAR, "bicubic": Pillow.Resampling.BICUBIC}
RAW_SIZE = 32
THINNEST = 100  # longer side in shorter sides; more is no picture, and would be resized to a huge strip
Mean = tuple[float, float, float]
Deviation = Annotated[float, Field(gt=0)]
Level = Annotated[int, Field(ge=0, le=255)]


class ImageConfig(Config):
    """Options of vision/image."""

    size: int = Field(32, ge=8, description="side of the square canvas in pixels")
    fit: Literal["crop", "stretch"] = Field(
        "crop",
        description="crop: the shorter side fills the canvas, then its centre is cut out; stretch: both sides are resized",
    )
    resample: Literal["bilinear", "bicubic"] = Field("bicubic", description="how pixels are interpolated")
    background: tuple[Level, Level, Level] = Field(
        (255, 255, 255), description="colour behind transparent pixels, 0 to 255"
    )
    mean: Mean = Field((0.5, 0.5, 0.5), description="subtracted from each channel in [0, 1] before the encoder")
    std: tuple[Deviation, Deviation, Deviation] = Field(
        (0.5, 0.5, 0.5), description="each channel is divided by it, after the mean is subtracted"
    )
    local_size: int | None = Field(
        None,
        ge=8,
        description="side of local crops; default 96/224 of `size` (DINO: Caron et al., 2021), as multiple of 16",
    )


class Image(Modality):
    """Pictures as `pixel_values` (B, 3, size, size), float32 in [0, 1].

    Colours stay in [0, 1] up to the encoder, whose `embed` normalises them first of all: so augmentations work on
    colours, role `plain` and augmented views reach the encoder alike, and there is one place that normalises. What the
    model itself sees is what the exported image processor gives.
    """

    Config = ImageConfig
    config: ImageConfig
    columns: ClassVar[tuple[str, ...]] = ("image",)
    input_name: ClassVar[str] = "pixel_values"
    cached: ClassVar[bool] = True

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (3, self.config.size, self.config.size)

    def decode(self, cell: Any) -> Sample:
        """`pixel_values` (3, size, size) uint8; `ValueError` where the picture is corrupt, truncated or no picture."""
        image = _on_canvas(to_rgb(open_image(cell), self.config.background), self.config)
        return {"pixel_values": np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))}

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """`pixel_values` (B, 3, size, size) float32 in [0, 1]."""
        return {name: values.to(torch.float32).div_(255) for name, values in super().collate(samples).items()}

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """The augmentations of SimCLR, BYOL and DINO, at this canvas."""
        return pipelines(self.config.size, self.config.local_size)

    def raw(self, batch: Batch) -> Tensor:
        """(B, F) float32: the pixels, of large pictures the means over an area of a grid of 32 x 32."""
        pixels = batch.inputs["pixel_values"].to(torch.float32)
        if self.config.size > RAW_SIZE:
            pixels = torch.nn.functional.adaptive_avg_pool2d(pixels, RAW_SIZE)
        return pixels.flatten(1)

    def blank(self) -> Sample:
        """A grey canvas."""
        return {"pixel_values": np.full(self.input_shape, 128, np.uint8)}

    def show(self, sample: Sample) -> np.ndarray:
        """(H, W, 3) uint8."""
        return sample["pixel_values"].transpose(1, 2, 0)


def _on_canvas(image: Pillow.Image, config: ImageConfig) -> Pillow.Image:
    """The picture at size x size. Sizes are rounded as transformers' image processors round them."""
    size, (width, height) = config.size, image.size
    if config.fit == "stretch":
        return image if image.size == (size, size) else image.resize((size, size), RESAMPLE[config.resample])
    shorter = min(width, height)
    if max(width, height) > THINNEST * shorter:
        raise ValueError(f"the image is {width} x {height} pixels: too thin for a square canvas")
    width, height = int(size * width / shorter), int(size * height / shorter)
    if image.size != (width, height):
        image = image.resize((width, height), RESAMPLE[config.resample])
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
