"""The canvas, the batch and the defaults of vision/image."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoImageProcessor

from unlabeled import View
from unlabeled_vision.modality import Image, ImageConfig
from unlabeled_vision.processor import Normalize, save_image_processor

SHAPES = [(40, 50), (50, 40), (16, 16), (7, 9), (33, 100), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_pictures_of_all_sizes_fill_the_canvas(shape: tuple[int, int], fit: str) -> None:
    image = Image(ImageConfig(size=16, fit=fit))
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    sample = image.decode(picture)
    assert sample["pixel_values"].shape == image.input_shape
    assert sample["pixel_values"].dtype == np.uint8
    if shape == (16, 16):
        assert np.array_equal(image.show(sample), picture)


def test_crop_takes_the_centre_and_stretch_takes_all() -> None:
    picture = np.zeros((16, 48, 3), np.uint8)
    picture[:, 16:32] = 255
    assert (Image(ImageConfig(size=16)).decode(picture)["pixel_values"] == 255).all()
    stretched = Image(ImageConfig(size=16, fit="stretch", resample="bilinear")).decode(picture)["pixel_values"]
    assert stretched[0, 0, 0] == 0 and stretched[0, 0, 8] == 255


def test_a_strip_is_no_picture() -> None:
    with pytest.raises(ValueError, match="4 x 500 pixels: too thin"):
        Image(ImageConfig(size=16)).decode(np.zeros((500, 4, 3), np.uint8))


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_exported_processor_gives_what_the_model_saw(tmp_path, photo, fit, resample, shape) -> None:  # type: ignore[no-untyped-def]
    config = ImageConfig(size=16, fit=fit, resample=resample, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    image = Image(config)
    save_image_processor(image, tmp_path)
    picture = np.ascontiguousarray(np.resize(photo, (*shape, 3)))
    given = AutoImageProcessor.from_pretrained(tmp_path)(
        picture, input_data_format="channels_last", return_tensors="pt"
    )
    seen = Normalize(image.config.mean, image.config.std)(image.collate([image.decode(picture)])["pixel_values"])
    assert torch.allclose(given["pixel_values"], seen, atol=1e-6)


def test_collate_gives_colours_between_0_and_1(image: Image, photo: np.ndarray) -> None:
    samples = [image.decode(photo), image.blank()]
    pixels = image.collate(samples)["pixel_values"]
    assert pixels.shape == (2, 3, 16, 16) and pixels.dtype == torch.float32
    assert torch.equal((pixels * 255).round(), torch.from_numpy(np.stack([s["pixel_values"] for s in samples])).float())
    assert float(pixels.max()) <= 1


def test_raw_features_of_large_pictures_are_area_means(view: View) -> None:
    small = Image(ImageConfig(size=12)).raw(view)
    assert torch.equal(small, view.inputs["pixel_values"].flatten(1))
    large = view.with_inputs(pixel_values=view.inputs["pixel_values"].repeat_interleave(8, 2).repeat_interleave(8, 3))
    raw = Image(ImageConfig(size=96)).raw(large)
    assert raw.shape == (6, 3 * 32 * 32)
    assert torch.allclose(raw.mean(dim=1), small.mean(dim=1), atol=1e-6)


def test_pipelines_follow_the_size_of_the_canvas() -> None:
    def ids(size: int, role: str) -> list[str]:
        return [step["id"].removeprefix("vision/") for step in Image(ImageConfig(size=size)).pipelines()[role]]

    assert ids(32, "strong") == ["resized-crop", "flip", "color-jitter", "grayscale"]
    assert ids(224, "strong") == ["resized-crop", "flip", "color-jitter", "grayscale", "blur"]
    assert ids(224, "weak") == ["resized-crop", "flip"]
    assert ids(224, "global") == ["resized-crop", "flip", "color-jitter", "grayscale", "blur", "solarize"]
    sizes = {size: Image(ImageConfig(size=size)).pipelines()["local"][0]["size"] for size in (32, 64, 224, 384)}
    assert sizes == {32: 16, 64: 32, 224: 96, 384: 160}
    assert Image(ImageConfig(size=224, local_size=98)).pipelines()["local"][0]["size"] == 98


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"fit": "pad"}, {"resample": "nearest"}, {"std": (0.0, 1, 1)}, {"background": (0, 0, 300)}]
)
def test_impossible_options_are_refused(options: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValidationError):
        ImageConfig(**options)
