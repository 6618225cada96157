"""Random changes of clips: those of images with the same numbers for all frames of a clip, and changes in time."""

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import BaseModel, Field

from unlabeled import Config, Draws, Transform, View
from unlabeled_vision.transforms.blur import Blur as ImageBlur
from unlabeled_vision.transforms.color import ColorJitter as ImageColorJitter
from unlabeled_vision.transforms.color import Grayscale as ImageGrayscale
from unlabeled_vision.transforms.geometry import Flip as ImageFlip
from unlabeled_vision.transforms.geometry import ResizedCrop as ImageResizedCrop


class ImageTransform(Transform):
    """A transform of images on pixel_values (B, T, 3, H, W).

    Frames become rows of their own under their clip's id. What a row draws depends on its id alone, so all frames of a
    clip change alike, as Qian et al. (2021, CVRL) ask for.
    """

    image: ClassVar[type[Transform]]

    def __init__(self, config: BaseModel) -> None:
        super().__init__(config)
        self.transform = self.image(config)

    def __call__(self, view: View, draws: Draws) -> View:
        """The view with its clips changed, and `window` where the transform keeps it."""
        clips = view.inputs["pixel_values"]
        frames = clips.shape[1]
        pictures = replace(
            view,
            inputs={"pixel_values": clips.flatten(0, 1)},
            ids=view.ids.repeat_interleave(frames),
            present=view.present.repeat_interleave(frames),
            window=None if view.window is None else view.window.repeat_interleave(frames, dim=0),
        )
        changed = self.transform(pictures, replace(draws, ids=draws.ids.repeat_interleave(frames)))
        window = None if changed.window is None else changed.window[::frames]
        pixels = changed.inputs["pixel_values"].unflatten(0, (-1, frames))
        return replace(view.with_inputs(pixel_values=pixels), window=window)


class ResizedCrop(ImageTransform):
    """The same random box of every frame, resized to a square."""

    Config = ImageResizedCrop.Config
    image = ImageResizedCrop


class Flip(ImageTransform):
    """Left and right exchanged in all frames. It also turns the direction of motion around."""

    Config = ImageFlip.Config
    image = ImageFlip


class ColorJitter(ImageTransform):
    """The same random brightness, contrast, saturation and hue for all frames."""

    Config = ImageColorJitter.Config
    image = ImageColorJitter


class Grayscale(ImageTransform):
    """All frames without their colours, or none."""

    Config = ImageGrayscale.Config
    image = ImageGrayscale


class Blur(ImageTransform):
    """The same Gaussian blur of all frames."""

    Config = ImageBlur.Config
    image = ImageBlur


class FrameDifferenceConfig(Config):
    """Options of `video/frame-difference`."""

    probability: float = Field(1.0, ge=0, le=1, description="share of the clips that change")


class FrameDifference(Transform):
    """Frame t as 1/2 + (frame t+1 - frame t) / 2, which leaves the motion and hides what stands still.

    The last difference is repeated, so that a clip keeps its T frames. A clip of one frame becomes 1/2.
    """

    Config = FrameDifferenceConfig
    config: FrameDifferenceConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """pixel_values (B, T, 3, H, W), still in [0, 1]."""
        clips = view.inputs["pixel_values"]
        following = torch.cat([clips[:, 1:], clips[:, -1:]], dim=1)
        differences = (following - clips).div_(2).add_(0.5)
        if clips.shape[1] > 1:
            differences[:, -1] = differences[:, -2]
        chosen = draws("chosen").coin(self.config.probability).reshape(-1, 1, 1, 1, 1)
        return view.with_inputs(pixel_values=torch.where(chosen, differences, clips))
