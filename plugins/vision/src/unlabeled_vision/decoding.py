"""From a cell to a picture in red, green and blue: whatever the file's format, mode, depth and orientation."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of grey pictures with 16 bits; it opens 16-bit colour with 8."""


def open_image(cell: Any) -> Image.Image:
    """The picture in a cell: {bytes, path}, bytes, a path, a pillow image, or a uint8 array (H, W) or (H, W, 1, 3 or 4).

    Fully read and turned upright. `ValueError` with a reason where it cannot be read.
    """
    if isinstance(cell, dict):
        content = cell.get("bytes")
        cell = content if content is not None else cell.get("path")
    if cell is None:
        raise ValueError("the image cell is empty")
    if isinstance(cell, np.ndarray):
        return _from_array(cell)
    if not isinstance(cell, bytes | str | Path | Image.Image):
        raise ValueError(f"an image cell holds bytes, a path, a pillow image or an array, not {type(cell).__name__}")
    name = str(cell) if isinstance(cell, str | Path) else "the image"
    try:
        if isinstance(cell, Image.Image):
            return ImageOps.exif_transpose(cell)
        with Image.open(io.BytesIO(cell) if isinstance(cell, bytes) else cell) as image:
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is in no known image format") from error
    except FileNotFoundError as error:
        raise ValueError(f"{name} does not exist") from error
    except Exception as error:  # pillow's format readers raise OSError, SyntaxError, struct.error and others
        raise ValueError(f"{name} is corrupt or truncated: {error}") from error


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The picture in mode RGB: 16-bit grey scaled to 8 bits, transparency laid over `background`."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in DEEP_MODES:
        levels = np.asarray(image)
        return Image.fromarray((levels.clip(0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("the image has float pixels, whose range is not known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, (*background, 255))
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert("RGB")
    return image.convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8:
        raise ValueError(f"an image array must be uint8, not {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ValueError(f"an image array must be (H, W) or (H, W, 1, 3 or 4), not {array.shape}")
    return Image.fromarray(np.ascontiguousarray(array))
