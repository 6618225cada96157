"""Small videos, made when they are needed."""

import io
from collections.abc import Callable

import av
import numpy as np
import pytest
import torch

from unlabeled import View
from unlabeled.testing import make_view
from unlabeled_video.modality import Video

Encode = Callable[..., bytes]


@pytest.fixture
def encode() -> Encode:
    """frames (T, H, W, 3) uint8 -> the bytes of a nearly lossless mp4."""

    def write(frames: np.ndarray, *, rate: int = 8) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264rgb", rate=rate, options={"crf": "0"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "rgb24"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return file.getvalue()

    return write


@pytest.fixture
def moving() -> Callable[..., np.ndarray]:
    """A bright square on a dark ground with a ramp, one pixel further to the right in each frame."""

    def draw(frames: int, height: int = 16, width: int = 16) -> np.ndarray:
        clip = np.zeros((frames, height, width, 3), dtype=np.uint8)
        clip += np.linspace(0, 60, width, dtype=np.uint8)[None, None, :, None]
        for time in range(frames):
            clip[time, 2:6, 2 + time : 6 + time, 0] = 200
            clip[time, ..., 2] = 10 * time
        return clip

    return draw


@pytest.fixture
def small() -> Video:
    """Clips of four frames of 16 x 16 pixels."""
    return Video(Video.Config(size=16, frames=4))


@pytest.fixture
def view() -> View:
    """Five random clips of four frames of 16 x 16 pixels."""
    pixels = torch.rand(5, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return make_view({"pixel_values": pixels}, role="strong")
