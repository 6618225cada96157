"""The modality of videos: clips of a fixed number of frames."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from unlabeled import Batch, ComponentSpec, Config, Draws, Modality, Sample
from unlabeled_video.decoding import Frames, read_frames

Color = tuple[float, float, float]


class VideoConfig(Config):
    """Options of `video/video`."""

    size: int = Field(64, ge=8, description="side of the square frames, in pixels; VideoMAE (Tong et al., 2022): 224")
    frames: int = Field(16, ge=1, description="frames of a clip; VideoMAE: 16")
    stride: int = Field(1, ge=1, description="every how many frames of the video one is taken; VideoMAE: 4 or 2")
    max_frames: int = Field(
        300,
        ge=1,
        description="frames kept of a video, from its start, in max_frames * size * size * 3 bytes; split longer videos",
    )
    mean: Color = Field((0.5, 0.5, 0.5), description="of red, green and blue in [0, 1], subtracted before the encoder")
    std: Color = Field((0.5, 0.5, 0.5), description="of red, green and blue, divided by after that")


class Video(Modality):
    """Videos as clips: pixel_values (B, T, 3, H, W) float32 in [0, 1]; the encoder normalises.

    A cell is a path, `{bytes, path}` or `{frames: (T, H, W, 3) uint8, fps}`. Frames are resized by their shorter side and
    cropped about the centre. Each view takes a clip from a random place, `plain` the one in the middle; a video
    shorter than a clip repeats its last frame. Rotation that a file records is applied.
    """

    Config = VideoConfig
    config: VideoConfig
    columns: ClassVar[tuple[str, ...]] = ("video",)
    channel_axis: ClassVar[int | None] = 2
    extras: ClassVar[tuple[str, ...]] = ()
    cached: ClassVar[bool] = True

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(T, 3, H, W)."""
        return (self.config.frames, 3, self.config.size, self.config.size)

    def decode(self, cell: Any) -> Sample:
        """`frames` (all, size, size, 3) uint8; `ValueError` with the reason where a file cannot be read to its end."""
        return {"frames": read_frames(cell, self.config.size, self.config.max_frames)}

    def take(self, sample: Sample, draws: Draws, role: str) -> Sample:
        """`frames` (T, size, size, 3) uint8: a clip."""
        length = len(sample["frames"])
        span = (self.config.frames - 1) * self.config.stride + 1
        latest = max(length - span, 0)
        start = latest // 2 if role == "plain" else int(draws("clip").integers(0, latest + 1))
        places = start + np.arange(self.config.frames) * self.config.stride
        return {"frames": sample["frames"][places.clip(max=length - 1)]}

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """pixel_values (B, T, 3, H, W) float32 in [0, 1]."""
        clips = torch.from_numpy(np.stack([sample["frames"] for sample in samples]))
        return {"pixel_values": clips.permute(0, 1, 4, 2, 3).contiguous().to(torch.float32) / 255}

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """weak: crops of VideoMAE's sizes (sides of 0.66 to 1; Tong et al., 2022). strong: those of CVRL (Qian et al., 2021).

        No pipeline flips, which way things move is content.
        """
        return {
            "weak": [{"id": "video/resized-crop", "scale": [0.44, 1.0]}],
            "strong": [
                {"id": "video/resized-crop", "scale": [0.3, 1.0]},
                {"id": "video/color-jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
                {"id": "video/grayscale"},
            ],
        }

    def raw(self, batch: Batch) -> Tensor:
        """(B, T * 3 * 16 * 16) float32: every frame averaged to 16 x 16 pixels."""
        frames = batch.inputs["pixel_values"].flatten(0, 1).to(torch.float32)
        side = min(16, self.config.size)
        return adaptive_avg_pool2d(frames, side).reshape(batch.rows, -1)

    def blank(self) -> Sample:
        """One grey frame."""
        return {"frames": np.full((1, self.config.size, self.config.size, 3), 128, dtype=np.uint8)}

    def show(self, sample: Sample) -> Frames:
        """(H, W', 3): up to eight frames side by side, evenly spaced."""
        frames: Frames = sample["frames"]
        places = np.linspace(0, len(frames) - 1, min(len(frames), 8)).round().astype(int)
        return np.concatenate(list(frames[places]), axis=1)
