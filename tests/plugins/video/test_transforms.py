"""Clips change as a whole."""

import pytest
import torch

from unlabeled import View
from unlabeled.testing import check_transform, make_draws, make_view
from unlabeled_video.transforms import Blur, ColorJitter, Flip, FrameDifference, Grayscale, ResizedCrop
from unlabeled_vision.transforms.geometry import ResizedCrop as ImageResizedCrop

OF_IMAGES = {
    "crop": ResizedCrop(ResizedCrop.Config(scale=(0.3, 0.8))),
    "flip": Flip(Flip.Config(probability=0.5)),
    "jitter": ColorJitter(ColorJitter.Config()),
    "gray": Grayscale(Grayscale.Config(probability=0.5)),
    "blur": Blur(Blur.Config(probability=0.5)),
}
ALL = {**OF_IMAGES, "difference": FrameDifference(FrameDifference.Config(probability=0.5))}


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_conformance(transform, dtype: torch.dtype, view: View) -> None:
    view = view.with_inputs(pixel_values=view.inputs["pixel_values"].to(dtype))
    check_transform(transform, view)
    result = transform(view, make_draws(view)).inputs["pixel_values"]
    assert result.shape == view.inputs["pixel_values"].shape and result.dtype == dtype
    assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("transform", OF_IMAGES.values(), ids=OF_IMAGES)
def test_all_frames_of_a_clip_change_alike(transform, view: View) -> None:
    still = view.inputs["pixel_values"][:, :1].expand(-1, 4, -1, -1, -1)
    view = view.with_inputs(pixel_values=still)
    result = transform(view, make_draws(view)).inputs["pixel_values"]
    assert torch.allclose(result, result[:, :1].expand_as(result), atol=1e-6)
    assert not torch.equal(result, still)


def test_a_clip_of_one_frame_changes_as_an_image(view: View) -> None:
    clips = view.inputs["pixel_values"][:, :1]
    draws = make_draws(view)
    config = ResizedCrop.Config(scale=(0.3, 0.8))
    as_video = ResizedCrop(config)(view.with_inputs(pixel_values=clips), draws)
    as_image = ImageResizedCrop(config)(view.with_inputs(pixel_values=clips.squeeze(1)), draws)
    assert torch.equal(as_video.inputs["pixel_values"].squeeze(1), as_image.inputs["pixel_values"])
    assert as_video.window is not None and torch.equal(as_video.window, as_image.window)


def test_windows_follow_crops_and_flips(view: View) -> None:
    draws = make_draws(view)
    cropped = OF_IMAGES["crop"](view, draws.within("crop"))
    mirrored = Flip(Flip.Config(probability=1.0))(cropped, draws.within("flip"))
    assert torch.equal(mirrored.window[:, 2:], cropped.window[:, 2:].flip(1))


def test_frame_differences_show_motion_alone(view: View) -> None:
    clips = view.inputs["pixel_values"]
    result = FrameDifference(FrameDifference.Config())(view, make_draws(view)).inputs["pixel_values"]
    for time in range(3):
        assert torch.allclose(result[:, time] * 2 - 1, clips[:, time + 1] - clips[:, time], atol=1e-6)
    assert torch.equal(result[:, 3], result[:, 2])
    still = make_view({"pixel_values": clips[:, :1].expand(-1, 4, -1, -1, -1)})
    assert (FrameDifference(FrameDifference.Config())(still, make_draws(still)).inputs["pixel_values"] == 0.5).all()
