"""Frames of a video, from a file or an array: upright, in RGB, resized and cropped to a square."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]
"""(T, H, W, 3) RGB."""


def read_frames(cell: Any, size: int, limit: int) -> Frames:
    """(T, size, size, 3) the first `limit` frames of a cell: a path, `{bytes, path}`, or `{frames: (T, H, W, 3) uint8}`.

    `ValueError` with the reason where there are none.
    """
    if isinstance(cell, Mapping) and cell.get("frames") is not None:
        pictures = iter(_checked(cell["frames"])[:limit])
    elif isinstance(cell, Mapping) and cell.get("bytes") is not None:
        pictures = _pictures(io.BytesIO(cell["bytes"]), limit)
    elif isinstance(cell, Mapping) and cell.get("path") is not None:
        pictures = _pictures(str(cell["path"]), limit)
    elif isinstance(cell, str | Path):
        pictures = _pictures(str(cell), limit)
    else:
        raise ValueError("a video cell is a path, {bytes, path} or {frames}; this one is " + type(cell).__name__)
    return np.stack([square(picture, size) for picture in pictures])


def square(picture: Frames, size: int) -> Frames:
    """(size, size, 3) a picture (H, W, 3) with its shorter side resized to `size`, then cropped about its centre.

    The same steps as transformers' VideoMAEImageProcessor with `shortest_edge` and `crop_size` of `size`.
    """
    height, width = picture.shape[:2]
    if min(height, width) != size:
        short = min(height, width)
        height, width = int(size * height / short), int(size * width / short)
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    top, left = (height - size) // 2, (width - size) // 2
    return picture[top : top + size, left : left + size]


def _checked(frames: Any) -> Frames:
    array = np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
        raise ValueError(f"frames must be (T, H, W, 3) uint8; these are {array.shape} {array.dtype}")
    if array.size == 0:
        raise ValueError(f"the video has no frames: shape {array.shape}")
    return array


def _pictures(file: io.BytesIO | str, limit: int) -> Iterator[Frames]:
    """The first `limit` pictures (H, W, 3) of a file, upright; a file that ends early or cannot be read is a `ValueError`."""
    packets = pictures = 0
    try:
        with av.open(file) as container:
            if not container.streams.video:
                raise ValueError("the file holds no video stream")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # workers are processes already
            for packet in container.demux(stream):
                packets += packet.size > 0
                for frame in packet.decode():
                    # A recording held sideways is stored as filmed, with the counter-clockwise turn that shows it upright.
                    yield np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    pictures += 1
                    if pictures == limit:
                        return
            if packets < stream.frames:
                raise ValueError(f"the file is cut short: {packets} of {stream.frames} frames are there")
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        raise ValueError(f"the video cannot be decoded after {pictures} frames: {reason}") from error
    if pictures == 0:
        raise ValueError("the video has no frames")
