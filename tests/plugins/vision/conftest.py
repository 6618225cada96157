"""Small pictures and views of them."""

import numpy as np
import pytest
import torch

from unlabeled import View
from unlabeled.testing import make_view
from unlabeled_vision.modality import Image, ImageConfig


@pytest.fixture
def photo() -> np.ndarray:
    """(40, 50, 3) uint8: smooth colours with noise, different in every direction."""
    down, across = np.mgrid[0:40, 0:50]
    colors = np.stack([down * 6, across * 5, 255 - down * 3 - across * 2], axis=2)
    noise = np.random.default_rng(0).integers(-20, 20, colors.shape)
    return (colors + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def view() -> View:
    """Six pictures of 12 x 12 pixels: noise, one grey, one black, one white."""
    pixels = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    pixels[1] = pixels[1, :1]
    pixels[2], pixels[3] = 0, 1
    return make_view({"pixel_values": pixels}, encoder="image", role="strong")


@pytest.fixture
def image() -> Image:
    return Image(ImageConfig(size=16))
