"""Every format, mode and orientation ends as RGB; what cannot be read says why."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from unlabeled_vision.decoding import open_image, to_rgb

WHITE = (255, 255, 255)


def encoded(image: Pillow.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_all_kinds_of_cells_give_the_same_picture(photo: np.ndarray, tmp_path: Path) -> None:
    content = encoded(Pillow.fromarray(photo))
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    cells = [content, {"bytes": content, "path": None}, {"bytes": None, "path": str(path)}, str(path), path]
    for cell in [*cells, Pillow.open(path), photo]:
        assert np.array_equal(np.asarray(open_image(cell)), photo)


def test_opening_leaves_a_pillow_cell_as_it_is(photo: np.ndarray) -> None:
    cell = Pillow.fromarray(photo)
    assert open_image(cell) is not cell
    assert np.array_equal(np.asarray(cell), photo)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(photo: np.ndarray, orientation: int) -> None:
    # What a camera held that way stores (Exif 2.32, tag 274), undone by hand.
    stored = {
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.transpose(1, 0, 2),
        6: np.rot90(photo, 1),
        7: np.rot90(photo, 2).transpose(1, 0, 2),
        8: np.rot90(photo, -1),
    }[orientation]
    exif = Pillow.Exif()
    exif[274] = orientation
    content = encoded(Pillow.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(np.asarray(open_image(content)), photo)


def test_grey_palette_and_bilevel_pictures_become_rgb(photo: np.ndarray) -> None:
    image = Pillow.fromarray(photo)
    grey = to_rgb(open_image(encoded(image.convert("L"))), WHITE)
    assert np.array_equal(np.asarray(grey)[..., 0], np.asarray(image.convert("L")))
    palette = image.convert("P")
    assert np.array_equal(np.asarray(to_rgb(open_image(encoded(palette)), WHITE)), np.asarray(palette.convert("RGB")))
    for mode, form in (("1", "PNG"), ("CMYK", "JPEG"), ("YCbCr", "JPEG")):
        assert to_rgb(open_image(encoded(image.convert(mode), form)), WHITE).mode == "RGB"


def test_sixteen_bits_are_scaled_to_eight(photo: np.ndarray) -> None:
    levels = photo[..., 0].astype(np.uint16) * 257
    rgb = np.asarray(to_rgb(open_image(encoded(Pillow.fromarray(levels))), WHITE))
    assert np.array_equal(rgb, np.repeat(photo[..., :1], 3, axis=2))


def test_transparency_is_laid_over_the_background(photo: np.ndarray) -> None:
    opacity = np.random.default_rng(1).integers(0, 256, photo.shape[:2]).astype(np.uint8)
    cell = np.dstack([photo, opacity])
    background = (10, 200, 90)
    share = opacity[..., None] / 255
    expected = photo * share + np.array(background) * (1 - share)
    assert np.abs(np.asarray(to_rgb(open_image(cell), background)) - expected).max() <= 1.01


def test_transparent_palette_and_grey_pictures_show_the_background() -> None:
    palette = Pillow.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 2), 1)
    rgb = np.asarray(to_rgb(open_image(encoded(palette, transparency=0)), (1, 2, 3)))
    assert tuple(rgb[0, 0]) == (1, 2, 3)
    assert tuple(rgb[2, 1]) == (0, 0, 255)
    faint = Pillow.new("LA", (4, 4), (200, 0))
    assert tuple(np.asarray(to_rgb(open_image(encoded(faint)), (1, 2, 3)))[0, 0]) == (1, 2, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_says_so(photo: np.ndarray, form: str) -> None:
    content = encoded(Pillow.fromarray(photo), form)
    with pytest.raises(ValueError, match="corrupt or truncated|no known image format"):
        open_image(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (b"", "no known image format"),
        (b"no picture at all", "no known image format"),
        ({"bytes": None, "path": "/nowhere/cat.png"}, "/nowhere/cat.png does not exist"),
        ({"bytes": None, "path": None}, "the image cell is empty"),
        (None, "the image cell is empty"),
        (7, "not int"),
        (np.zeros((4, 4, 3)), "must be uint8, not float64"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
    ],
)
def test_what_is_no_picture_says_why(cell: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        open_image(cell)


def test_float_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="float pixels"):
        to_rgb(Pillow.new("F", (4, 4)), WHITE)
