"""Every kind of cell ends as the same mono waveform; what cannot be read says why."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from unlabeled_audio.decoding import read_audio, resample

RATE = 8000


def encoded(samples: np.ndarray, form: str = "WAV", subtype: str = "FLOAT", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def sound() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 2000).astype(np.float32)


def test_all_kinds_of_cells_give_the_same_waveform(sound: np.ndarray, tmp_path: Path) -> None:
    content = encoded(sound)
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    cells = [content, {"bytes": content, "path": None}, {"bytes": None, "path": str(path)}, str(path), path]
    for cell in [*cells, {"array": sound, "sampling_rate": RATE}, {"array": sound.tolist(), "sampling_rate": RATE}]:
        waveform = read_audio(cell, RATE)
        assert waveform.dtype == np.float32
        assert np.array_equal(waveform, sound)


@pytest.mark.parametrize(
    ("form", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "PCM_24"), ("MP3", "MPEG_LAYER_III")]
)
def test_formats(form: str, subtype: str) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000).astype(np.float32)
    waveform = read_audio(encoded(tone, form, subtype, 16000), 16000)
    spectrum = np.abs(np.fft.rfft(waveform[:8000]))
    assert spectrum.argmax() * 16000 / len(waveform[:8000]) == pytest.approx(440, abs=4)


def test_channels_are_averaged_whichever_axis_they_lie_on(sound: np.ndarray) -> None:
    stereo = np.stack([sound, sound[::-1]], axis=1)
    expected = stereo.mean(axis=1)
    for cell in (encoded(stereo), {"array": stereo, "sampling_rate": RATE}, {"array": stereo.T, "sampling_rate": RATE}):
        assert np.allclose(read_audio(cell, RATE), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("dtype", "middle", "scale"), [(np.int16, 0, 2**15), (np.uint8, 128, 128), (np.int32, 0, 2**31)]
)
def test_integers_are_of_full_scale(dtype: type, middle: int, scale: int) -> None:
    values = np.array([-1.0, -0.5, 0.0, 0.5])
    array = (values * scale + middle).astype(dtype)
    assert np.allclose(read_audio({"array": array, "sampling_rate": RATE}, RATE), values, atol=1e-6)


@pytest.mark.parametrize(("rate", "target"), [(16000, 8000), (44100, 16000), (8000, 16000), (22050, 8000)])
def test_resampling_keeps_tones_and_removes_what_would_alias(rate: int, target: int) -> None:
    times, later = np.arange(rate) / rate, np.arange(target) / target
    kept = resample(np.sin(2 * np.pi * 700 * times).astype(np.float32), rate, target)
    assert len(kept) == target
    inner = slice(target // 10, -target // 10)
    assert np.abs(kept - np.sin(2 * np.pi * 700 * later))[inner].max() < 2e-3
    if rate > target:
        removed = resample(np.sin(2 * np.pi * 0.55 * target * times).astype(np.float32), rate, target)
        assert np.abs(removed)[inner].max() < 1e-2


def test_no_resampling_where_rates_agree(sound: np.ndarray) -> None:
    assert resample(sound, RATE, RATE) is sound


def test_unreadable_cells_say_why(sound: np.ndarray, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.wav", tmp_path / "text.wav"
    empty.touch()
    text.write_text("no sound at all, and long enough to be looked at")
    broken = np.where(np.arange(2000) == 7, np.nan, sound).astype(np.float32)
    cases: list[tuple[object, str]] = [
        (str(tmp_path / "none.wav"), "no such file"),
        (str(empty), "is empty"),
        (b"", "is empty"),
        (str(text), "cannot be read as audio"),
        (b"RIFF and nothing more", "cannot be read as audio"),
        (encoded(sound[:0]), "holds no samples"),
        ({"array": sound[:0], "sampling_rate": RATE}, "holds no samples"),
        (encoded(broken), "NaN or infinite"),
        ({"array": broken, "sampling_rate": RATE}, "NaN or infinite"),
        ({"array": sound, "sampling_rate": None}, "sampling_rate"),
        ({"array": sound, "sampling_rate": 0}, "sampling_rate"),
        ({"array": np.zeros((2, 2, 2)), "sampling_rate": RATE}, r"\(T,\) or \(T, channels\)"),
        ({"array": np.array(["a"]), "sampling_rate": RATE}, r"\(T,\) or \(T, channels\)"),
        ({"array": sound, "sampling_rate": 7999}, "ratio is not simple"),
        (None, "a path, bytes or an array"),
        (3.5, "a path, bytes or an array"),
        ({"bytes": None, "path": None}, "a path, bytes or an array"),
    ]
    for cell, reason in cases:
        with pytest.raises(ValueError, match=reason) as error:
            read_audio(cell, RATE)
        assert "\n" not in str(error.value)


def test_truncated_flac_is_an_error(sound: np.ndarray) -> None:
    content = encoded(sound.repeat(20), "FLAC", "PCM_16")
    with pytest.raises(ValueError, match="ends after|cannot be read"):
        read_audio(content[: len(content) // 2], RATE)


def test_short_sounds_are_errors(sound: np.ndarray) -> None:
    assert len(read_audio(encoded(sound), RATE, shortest=0.25)) == 2000
    with pytest.raises(ValueError, match=r"lasts 0.250 s, less than shortest=0.3"):
        read_audio(encoded(sound), RATE, shortest=0.3)


def test_decoding_leaves_the_cell_as_it_is(sound: np.ndarray) -> None:
    cell = {"array": sound, "sampling_rate": RATE}
    before = sound.copy()
    torch.from_numpy(read_audio(cell, 4000)).zero_()
    assert np.array_equal(sound, before)
