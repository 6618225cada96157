"""The bridge between colours in [0, 1] and what a model sees, which is what its exported image processor gives."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import ViTImageProcessorPil

from unlabeled import Modality
from unlabeled_vision.modality import RESAMPLE, Image


class Normalize(nn.Module):
    """(values - mean) / std of each channel, the one place where colours are normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def forward(self, colors: Tensor) -> Tensor:
        """(..., 3, H, W) as the model sees it, from colours in [0, 1]."""
        return (colors - self.mean) / self.std


def image_modality(modality: Modality, encoder: str) -> Image:
    """The modality, which must be vision/image: encoders need its size and its normalisation."""
    if not isinstance(modality, Image):
        raise ValueError(f"{encoder} reads vision/image, not {type(modality).__name__}")
    return modality


def save_image_processor(modality: Image, folder: Path) -> None:
    """Write the image processor that resizes, crops, rescales and normalises as training did."""
    config = modality.config
    side = {"height": config.size, "width": config.size}
    crop = config.fit == "crop"
    processor = ViTImageProcessorPil(
        do_convert_rgb=True,
        do_resize=True,
        size={"shortest_edge": config.size} if crop else side,
        resample=int(RESAMPLE[config.resample]),
        do_center_crop=crop,
        crop_size=side,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=list(config.mean),
        image_std=list(config.std),
    )
    processor.save_pretrained(folder)
