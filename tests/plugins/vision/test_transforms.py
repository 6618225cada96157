"""Each transform against a slow, plain version of itself, one picture at a time."""

import colorsys
import math
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import ValidationError
from torch import Tensor

from unlabeled import Transform, View
from unlabeled.testing import check_transform, make_draws
from unlabeled_vision.transforms import blur, color, geometry
from unlabeled_vision.transforms.resampling import KERNELS, resample, scaling, smoothing


def every_transform() -> list[Transform]:
    return [
        geometry.ResizedCrop(geometry.ResizedCropConfig()),
        geometry.ResizedCrop(geometry.ResizedCropConfig(size=7, resample="bicubic")),
        geometry.Flip(geometry.FlipConfig()),
        color.ColorJitter(color.ColorJitterConfig(probability=0.8)),
        color.ColorJitter(color.ColorJitterConfig(order="random")),
        color.Grayscale(color.GrayscaleConfig(probability=0.5)),
        color.Solarize(color.SolarizeConfig(probability=0.5)),
        blur.Blur(blur.BlurConfig(probability=0.5)),
    ]


@pytest.mark.parametrize("transform", every_transform(), ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transforms_keep_their_promises(transform: Transform, view: View, dtype: torch.dtype) -> None:
    view = view.with_inputs(pixel_values=view.inputs["pixel_values"].to(dtype))
    check_transform(transform, view)
    result = transform(view, make_draws(view)).inputs["pixel_values"]
    assert result.dtype == dtype
    assert float(result.min()) >= 0 and float(result.max()) <= 1


@pytest.mark.parametrize("transform", every_transform(), ids=lambda transform: type(transform).__name__)
def test_transforms_are_random(transform: Transform, view: View) -> None:
    pixels = view.inputs["pixel_values"][:1].expand(6, -1, -1, -1)
    view = view.with_inputs(pixel_values=pixels)
    first = transform(view, make_draws(view, seed=1)).inputs["pixel_values"]
    assert not torch.equal(first, transform(view, make_draws(view, seed=2)).inputs["pixel_values"])
    assert not torch.equal(first[0], first[1]) or not torch.equal(first[0], first[2])


def test_probability_may_differ_between_the_views_of_a_role(view: View) -> None:
    solarize = color.Solarize(color.SolarizeConfig(probability=[0.0, 1.0]))
    inverted = color.Solarize(color.SolarizeConfig())(view, make_draws(view)).inputs["pixel_values"]
    for index, expected in ((0, view.inputs["pixel_values"]), (1, inverted), (2, view.inputs["pixel_values"])):
        other = View(view.inputs, view.ids, view.present, index=index)
        assert torch.equal(solarize(other, make_draws(other)).inputs["pixel_values"], expected)


def test_probability_is_the_share_of_rows_that_change() -> None:
    pixels = torch.full((2000, 3, 1, 1), 0.9)
    view = View({"pixel_values": pixels}, torch.arange(2000), torch.ones(2000, dtype=torch.bool))
    result = color.Solarize(color.SolarizeConfig(probability=0.3))(view, make_draws(view)).inputs["pixel_values"]
    assert abs(float((result != pixels).flatten(1).any(dim=1).float().mean()) - 0.3) < 0.05


# Colours: one pixel at a time, with the standard library.


def pixel_by_pixel(pixels: Tensor, change) -> Tensor:  # type: ignore[no-untyped-def]
    """`change(row, red, green, blue)` of every pixel of (R, 3, H, W)."""
    result = torch.empty_like(pixels, dtype=torch.float64)
    for row, picture in enumerate(pixels.double().permute(0, 2, 3, 1)):
        for y, line in enumerate(picture.tolist()):
            for x, (red, green, blue) in enumerate(line):
                result[row, :, y, x] = torch.tensor(change(row, red, green, blue), dtype=torch.float64)
    return result


def luma(red: float, green: float, blue: float) -> float:
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_hue_agrees_with_colorsys(view: View) -> None:
    turns = torch.tensor([0.1, -0.3, 0.5, -0.5, 0.25, -0.01], dtype=torch.float64)
    pixels = view.inputs["pixel_values"].double()
    pixels[4, :, 0, :8] = torch.tensor(
        [[1, 0, 0, 1, 1, 0, 1, 0.5], [0, 1, 0, 1, 0, 1, 1, 0.5], [0, 0, 1, 0, 1, 1, 0.5, 0]]
    )

    def turn(row: int, *rgb: float) -> tuple[float, ...]:
        hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
        return colorsys.hsv_to_rgb((hue + float(turns[row])) % 1, saturation, value)

    assert torch.allclose(color.turn_hue(pixels, turns), pixel_by_pixel(pixels, turn), atol=1e-12)
    assert torch.allclose(
        color.turn_hue(pixels.float(), turns.float()).double(), pixel_by_pixel(pixels, turn), atol=3e-6
    )


def test_brightness_contrast_and_saturation(view: View) -> None:
    factor = torch.tensor([0.2, 1.8, 1.0, 0.5, 0.0, 1.4], dtype=torch.float64)
    pixels = view.inputs["pixel_values"].double()
    means = [pixel_by_pixel(pixels[[row]], lambda _, *rgb: [luma(*rgb)] * 3).mean() for row in range(6)]

    def limited(values: list[float]) -> list[float]:
        return [min(max(value, 0.0), 1.0) for value in values]

    def brighten(row: int, *rgb: float) -> list[float]:
        return limited([float(factor[row]) * value for value in rgb])

    def contrast(row: int, *rgb: float) -> list[float]:
        return limited([float(means[row] + factor[row] * (value - means[row])) for value in rgb])

    def saturate(row: int, *rgb: float) -> list[float]:
        grey = luma(*rgb)
        return limited([grey + float(factor[row]) * (value - grey) for value in rgb])

    for fast, slow in ((color.brighten, brighten), (color.stretch_contrast, contrast), (color.saturate, saturate)):
        assert torch.allclose(fast(pixels, factor), pixel_by_pixel(pixels, slow), atol=1e-12)


@pytest.mark.parametrize("order", ["fixed", "random"])
def test_jitter_takes_its_steps_in_order(view: View, order: str) -> None:
    jitter = color.ColorJitter(color.ColorJitterConfig(order=order))
    pixels = view.inputs["pixel_values"]
    *amounts, orders = jitter.parameters(make_draws(view), pixels)
    steps = (color.brighten, color.stretch_contrast, color.saturate, color.turn_hue)
    result = jitter(view, make_draws(view)).inputs["pixel_values"]
    for row in range(6):
        expected = pixels[[row]]
        for number in orders[row].tolist() if order == "random" else range(4):
            expected = steps[number](expected, amounts[number][[row]])
        assert torch.allclose(result[[row]], expected, atol=1e-6)
    assert len({tuple(line) for line in orders.tolist()}) > 1


def test_jitter_draws_within_its_strengths() -> None:
    jitter = color.ColorJitter(color.ColorJitterConfig(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1))
    view = View({"pixel_values": torch.zeros(2000, 3, 1, 1)}, torch.arange(2000), torch.ones(2000, dtype=torch.bool))
    *amounts, _ = jitter.parameters(make_draws(view), view.inputs["pixel_values"])
    ranges = [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)]
    for values, (low, high) in zip(amounts, ranges, strict=True):
        assert low <= float(values.min()) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < float(values.max()) <= high


def test_grayscale_agrees_with_pillow(photo: np.ndarray) -> None:
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    view = View({"pixel_values": pixels}, torch.arange(1), torch.ones(1, dtype=torch.bool))
    grey = color.Grayscale(color.GrayscaleConfig(probability=1))(view, make_draws(view)).inputs["pixel_values"]
    expected = np.asarray(Pillow.fromarray(photo).convert("L"))
    assert np.abs(grey[0].numpy() * 255 - expected).max() <= 0.51


def inverted_from(threshold: float, value: float) -> float:
    return 1 - value if value >= threshold else value


def test_solarize_agrees_with_its_definition(view: View) -> None:
    for threshold in (0.0, 0.3, 0.5, 1.0):
        solarize = color.Solarize(color.SolarizeConfig(threshold=threshold))
        result = solarize(view, make_draws(view)).inputs["pixel_values"].double()
        expected = view.inputs["pixel_values"].double()
        expected = expected.apply_(partial(inverted_from, threshold))
        assert torch.allclose(result, expected, atol=1e-6)


# Blur.


def test_blur_agrees_with_plain_convolution(view: View) -> None:
    pixels = view.inputs["pixel_values"].double()
    sigma = torch.tensor([0.1, 0.5, 1.0, 2.0, 1.5, 0.7])
    reach = 4
    down = smoothing(sigma, 12, reach, torch.float64)
    result = resample(pixels, down, down)
    for row in range(6):
        kernel = [math.exp(-(step**2) / (2 * float(sigma[row]) ** 2)) for step in range(-reach, reach + 1)]
        padded = np.pad(pixels[row].numpy(), ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
        for y in range(12):
            for x in range(12):
                window = padded[:, y : y + 2 * reach + 1, x : x + 2 * reach + 1]
                weights = np.outer(kernel, kernel) / sum(kernel) ** 2
                assert np.allclose(result[row, :, y, x], (window * weights).sum(axis=(1, 2)), atol=1e-7)


def test_blur_of_pictures_smaller_than_its_reach(view: View) -> None:
    tiny = view.with_inputs(pixel_values=view.inputs["pixel_values"][:, :, :2, :1])
    result = blur.Blur(blur.BlurConfig(sigma=(2.0, 3.0)))(tiny, make_draws(tiny)).inputs["pixel_values"]
    assert torch.allclose(result.mean(dim=2), tiny.inputs["pixel_values"].mean(dim=2), atol=0.2)
    assert torch.allclose(result[3], torch.ones(3, 2, 1))


# Crops.


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [5, 12, 30])
def test_crops_agree_with_pillow(photo: np.ndarray, method: str, size: int) -> None:
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    for top, left, tall, wide in (
        (0.0, 0.0, 40.0, 50.0),
        (3.7, 10.2, 20.5, 33.3),
        (30.1, 45.5, 9.9, 4.5),
        (8, 9, 10, 11),
    ):
        place = [torch.tensor([value], dtype=torch.float64) for value in (top, tall, left, wide)]
        down = scaling(place[0], place[1], 40, size, method, torch.float64)
        across = scaling(place[2], place[3], 50, size, method, torch.float64)
        result = resample(pixels.double(), down, across)[0]
        how = {"bilinear": Pillow.Resampling.BILINEAR, "bicubic": Pillow.Resampling.BICUBIC}[method]
        for channel in range(3):
            plane = Pillow.fromarray(pixels[0, channel].numpy())
            expected = np.asarray(plane.resize((size, size), how, box=(left, top, left + wide, top + tall)))
            assert np.allclose(result[channel], expected, atol=1e-5)


def test_the_cubic_kernel_is_keys_kernel() -> None:
    def keys(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    places = torch.linspace(-3, 3, 241, dtype=torch.float64)
    assert torch.allclose(
        KERNELS["bicubic"](places), torch.tensor([keys(float(x)) for x in places]).double(), atol=1e-6
    )


def many(count: int, height: int = 20, width: int = 30) -> View:
    pixels = torch.zeros(count, 3, height, width)
    return View({"pixel_values": pixels}, torch.arange(count), torch.ones(count, dtype=torch.bool))


def test_boxes_lie_in_the_picture_with_the_wanted_areas_and_shapes() -> None:
    view = many(4000)
    crop = geometry.ResizedCrop(geometry.ResizedCropConfig(scale=(0.2, 0.5), ratio=(0.5, 2.0)))
    top, left, tall, wide = crop.boxes(make_draws(view), 20, 30)
    assert bool((top >= 0).all() and (left >= 0).all())
    assert bool((top + tall <= 20 + 1e-4).all() and (left + wide <= 30 + 1e-4).all())
    area, shape = tall * wide / 600, wide / tall
    assert 0.2 - 1e-5 <= float(area.min()) < 0.21 and 0.49 < float(area.max()) <= 0.5 + 1e-5
    assert 0.5 - 1e-5 <= float(shape.min()) < 0.55 and 1.9 < float(shape.max()) <= 2 + 1e-5
    # Uniform area and log-uniform shape, but for the boxes that do not fit: the middle of each is its median.
    square = geometry.ResizedCrop(geometry.ResizedCropConfig(scale=(0.2, 0.5), ratio=(0.75, 4 / 3)))
    top, left, tall, wide = square.boxes(make_draws(view), 30, 30)
    assert abs(float((tall * wide / 900).median()) - 0.35) < 0.01
    assert abs(float((wide / tall).log().median())) < 0.01
    assert abs(float((top / (30 - tall)).median()) - 0.5) < 0.03


def test_where_no_box_fits_the_largest_of_an_allowed_shape_is_taken() -> None:
    view = many(3)
    crop = geometry.ResizedCrop(geometry.ResizedCropConfig(scale=(1.0, 1.0), ratio=(3.0, 4.0)))
    _, _, tall, wide = crop.boxes(make_draws(view), 20, 30)
    assert torch.allclose(wide, torch.full((3,), 30.0)) and torch.allclose(tall, torch.full((3,), 10.0))


def test_the_window_says_where_the_view_lies(photo: np.ndarray) -> None:
    # In a picture whose colours are its coordinates, each pixel of the view must show what the window says.
    down, across = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    pixels = torch.stack([(down + 0.5) / 64, (across + 0.5) / 64, torch.zeros(64, 64)]).repeat(8, 1, 1, 1)
    view = View({"pixel_values": pixels}, torch.arange(8), torch.ones(8, dtype=torch.bool))
    steps = [
        geometry.Flip(geometry.FlipConfig()),
        geometry.ResizedCrop(geometry.ResizedCropConfig(scale=(0.3, 0.6))),
        geometry.Flip(geometry.FlipConfig()),
        geometry.ResizedCrop(geometry.ResizedCropConfig(scale=(0.3, 0.6), size=16)),
    ]
    for number, step in enumerate(steps):
        view = step(view, make_draws(view).within(str(number)))
    assert view.window is not None and view.window.shape == (8, 4)
    centers = (torch.arange(16) + 0.5) / 16
    top, bottom, left, right = view.window.unbind(1)
    rows = top[:, None] + centers * (bottom - top)[:, None]
    columns = left[:, None] + centers * (right - left)[:, None]
    inner = slice(1, -1)  # the kernel is cut off at the edges of the picture
    result = view.inputs["pixel_values"]
    assert torch.allclose(result[:, 0, inner, inner], rows[:, inner, None].expand(-1, -1, 14), atol=2e-3)
    assert torch.allclose(result[:, 1, inner, inner], columns[:, None, inner].expand(-1, 14, -1), atol=2e-3)
    assert bool((left > right).any()) and bool((left < right).any())


def test_crops_give_the_size_that_is_asked_for() -> None:
    view = many(2)
    assert geometry.ResizedCrop(geometry.ResizedCropConfig(size=9))(view, make_draws(view)).inputs[
        "pixel_values"
    ].shape[2:] == (9, 9)
    assert geometry.ResizedCrop(geometry.ResizedCropConfig())(view, make_draws(view)).inputs["pixel_values"].shape[
        2:
    ] == (20, 30)


def test_flip_mirrors_the_chosen_rows(view: View) -> None:
    pixels = view.inputs["pixel_values"]
    always = geometry.Flip(geometry.FlipConfig(probability=1))(view, make_draws(view))
    assert torch.equal(always.inputs["pixel_values"], pixels.flip(-1))
    never = geometry.Flip(geometry.FlipConfig(probability=0))(view, make_draws(view))
    assert torch.equal(never.inputs["pixel_values"], pixels)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (geometry.ResizedCropConfig, {"scale": (0.0, 1.0)}),
        (geometry.ResizedCropConfig, {"scale": (0.5, 0.2)}),
        (geometry.ResizedCropConfig, {"ratio": (2.0, 1.0)}),
        (geometry.ResizedCropConfig, {"size": 0}),
        (geometry.FlipConfig, {"probability": 1.5}),
        (geometry.FlipConfig, {"probability": []}),
        (color.ColorJitterConfig, {"hue": 0.6}),
        (color.ColorJitterConfig, {"brightness": -1}),
        (color.SolarizeConfig, {"threshold": 2}),
        (blur.BlurConfig, {"sigma": (0.0, 1.0)}),
        (blur.BlurConfig, {"sigma": (2.0, 1.0)}),
        (blur.BlurConfig, {"reach": 0}),
    ],
)
def test_impossible_options_are_refused(config, options) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValidationError):
        config(**options)
