"""Decoding, clips, batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import VideoMAEImageProcessorPil

from unlabeled import Batch, Draws
from unlabeled_video.modality import Video


def draws(sample: int, **options) -> Draws:
    return Draws(0, 0, torch.tensor([sample]), **options)


def test_cells_of_every_kind_hold_the_same_frames(small, encode, moving, tmp_path: Path) -> None:
    frames = moving(5)
    content = encode(frames)
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    cells = [{"bytes": content, "path": None}, {"bytes": None, "path": str(path)}, str(path), path]
    for cell in (*cells, {"frames": frames, "fps": 8}):
        assert np.array_equal(small.decode(cell)["frames"], frames)


@pytest.mark.parametrize(("height", "width"), [(20, 36), (48, 18), (17, 33), (16, 16), (8, 11)])
def test_frames_are_resized_and_cropped_as_the_exported_processor_does(small, height: int, width: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    processor = VideoMAEImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    expected = processor(list(frames), return_tensors="pt", do_normalize=False)["pixel_values"][0]
    sample = small.decode({"frames": frames})
    assert torch.equal(small.collate([sample])["pixel_values"][0], expected)


def test_odd_sizes_decode(small, encode, moving) -> None:
    assert small.decode({"bytes": encode(moving(3, 21, 35))})["frames"].shape == (3, 16, 16, 3)


def test_recorded_rotation_is_applied(small, encode, moving) -> None:
    frames = moving(2)
    content = bytearray(encode(frames))
    one, minus_one, zero = (65536).to_bytes(4, "big"), (2**32 - 65536).to_bytes(4, "big"), bytes(4)
    start = content.find(b"tkhd") + 44  # the track header's matrix, in 16.16 fixed point
    content[start : start + 20] = zero + one + zero + minus_one + zero  # a quarter turn clockwise
    assert np.array_equal(small.decode({"bytes": bytes(content)})["frames"], np.rot90(frames, -1, axes=(1, 2)))


def test_only_the_first_frames_of_a_long_video_are_kept(encode, moving) -> None:
    video = Video(Video.Config(size=16, frames=4, max_frames=6))
    frames = moving(9)
    assert np.array_equal(video.decode({"bytes": encode(frames)})["frames"], frames[:6])
    assert np.array_equal(video.decode({"frames": frames})["frames"], frames[:6])


def test_unreadable_cells_say_why(small, encode, moving, tmp_path: Path) -> None:
    content = encode(moving(8, 64, 64))
    holes = bytearray(content)
    start = content.find(b"mdat") + 4
    holes[start + 900 : start + 1400] = bytes(500)
    cells = {
        "cannot be decoded": {"bytes": b"no video" * 50},
        "cannot be decoded after 0 frames": {"bytes": b""},
        "cannot be decoded after": {"bytes": bytes(holes)},
        "No such file": str(tmp_path / "absent.mp4"),
        "a video cell is a path": 7,
        "this one is dict": {"bytes": None, "path": None},
        "no frames": {"frames": np.zeros((0, 16, 16, 3), dtype=np.uint8)},
        r"must be \(T, H, W, 3\) uint8": {"frames": np.zeros((2, 16, 16, 3))},
    }
    for reason, cell in cells.items():
        with pytest.raises(ValueError, match=reason):
            small.decode(cell)


def test_a_file_cut_short_is_not_a_short_video(small, encode, moving) -> None:
    content = encode(moving(8, 64, 64))
    with pytest.raises(ValueError, match="cannot be decoded"):
        small.decode({"bytes": content[: len(content) // 2]})
    # An index before the data, as in files made for streaming, announces frames that the cut file lacks.
    header, index = content[: content.find(b"mdat") - 4], content[content.find(b"moov") - 4 :]
    data = content[content.find(b"mdat") - 4 : content.find(b"moov") - 4]
    shifted = bytearray(header + index + data)
    table = shifted.find(b"stco")
    (offset,) = np.frombuffer(bytes(shifted[table + 12 : table + 16]), ">u4")
    shifted[table + 12 : table + 16] = int(offset + len(index)).to_bytes(4, "big")
    assert len(small.decode({"bytes": bytes(shifted)})["frames"]) == 8
    with pytest.raises(ValueError, match=r"cut short|cannot be decoded"):
        small.decode({"bytes": bytes(shifted[: len(shifted) * 2 // 3])})


def test_sound_alone_is_no_video(small, tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match="no video stream"):
        small.decode(str(path))


def test_clips_are_drawn_for_each_view_and_plain_is_the_middle() -> None:
    video = Video(Video.Config(size=8, frames=3, stride=2))
    sample = {"frames": np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)}

    def times(role: str, number: int, view: int = 0) -> list[int]:
        return video.take(sample, draws(number, role=role, view=view), role)["frames"].ravel().tolist()

    assert times("plain", 0) == times("plain", 1) == [3, 5, 7]
    starts = {times("weak", number)[0] for number in range(200)}
    assert starts == set(range(8))
    assert times("weak", 3) == times("weak", 3)
    assert any(times("strong", number, 0) != times("strong", number, 1) for number in range(9))


def test_a_short_video_repeats_its_last_frame() -> None:
    video = Video(Video.Config(size=8, frames=5, stride=2))
    sample = {"frames": np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)}
    for role in ("plain", "weak"):
        assert video.take(sample, draws(1, role=role), role)["frames"].ravel().tolist() == [0, 2, 3, 3, 3]
    assert video.take(video.blank(), draws(1), "plain")["frames"].shape == (5, 8, 8, 3)


def test_batches_hold_colours_from_zero_to_one(small, moving) -> None:
    frames = moving(4)
    pixels = small.collate([{"frames": frames}, {"frames": frames[::-1]}])["pixel_values"]
    assert pixels.shape == (2, *small.input_shape) and pixels.dtype == torch.float32
    assert torch.equal(pixels[0], torch.from_numpy(frames).permute(0, 3, 1, 2) / 255)


def test_raw_features_are_frames_of_at_most_16_pixels() -> None:
    video = Video(Video.Config(size=32, frames=2))
    pixels = torch.rand(3, 2, 3, 32, 32)
    batch = Batch({"pixel_values": pixels}, torch.arange(3), torch.ones(3, dtype=torch.bool))
    raw = video.raw(batch)
    assert raw.shape == (3, 2 * 3 * 16 * 16)
    assert torch.allclose(raw[1, 0], pixels[1, 0, 0, :2, :2].mean())


def test_show_puts_frames_side_by_side(small, moving) -> None:
    frames = moving(9)
    assert small.show({"frames": frames[:3]}).shape == (16, 48, 3)
    assert np.array_equal(small.show({"frames": frames})[:, -16:], frames[-1])
