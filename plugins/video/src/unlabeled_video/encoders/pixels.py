"""What the encoders of videos share: how pixels are normalised, and the processor that does it in transformers."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import VideoMAEImageProcessorPil

Color = tuple[float, float, float]


class Normalize(nn.Module):
    """(..., 3, H, W) in [0, 1], less `mean`, divided by `std`, each of red, green and blue."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Color, std: Color) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The normalised pixels, in their own dtype."""
        return (pixels - self.mean) / self.std


def export_processor(folder: Path, size: int, mean: Color, std: Color) -> None:
    """Write the processor that turns a list of frames (H, W, 3) uint8 into pixel_values (1, T, 3, size, size)."""
    VideoMAEImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=list(mean),
        image_std=list(std),
    ).save_pretrained(folder)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Read the weights that `save_pretrained` wrote into `folder`."""
    model.load_state_dict(load_file(folder / "model.safetensors"))
