"""What the encoders of videos share: how pixels are normalised, and the processor that does the same in transformers."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import VideoMAEImageProcessorPil

from unlabeled import Modality
from unlabeled_video.modality import Video


class Normalize(nn.Module):
    """(..., 3, H, W) in [0, 1] as the model sees it: less the mean, divided by the deviation, of each colour."""

    mean: Tensor
    std: Tensor

    def __init__(self, modality: Video) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(modality.config.mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(modality.config.std).reshape(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The normalised pixels, in the dtype of the module."""
        return (pixels - self.mean) / self.std


def clip_modality(modality: Modality, encoder: str) -> Video:
    """The modality, which must be video/video: encoders need its normalisation. `ValueError` otherwise."""
    if not isinstance(modality, Video):
        raise ValueError(f"{encoder} reads video/video, not {type(modality).__name__}")
    return modality


def export_processor(folder: Path, modality: Video) -> None:
    """Write the processor that turns a list of frames (H, W, 3) uint8 into pixel_values (1, T, 3, size, size)."""
    size = modality.config.size
    VideoMAEImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=list(modality.config.mean),
        image_std=list(modality.config.std),
    ).save_pretrained(folder)
