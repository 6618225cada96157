"""Sound files and arrays as mono waveforms of one sampling rate."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

LARGEST_RATIO = 4000  # beyond it the table of resampling filters takes gigabytes


def read_audio(cell: Any, sampling_rate: int, shortest: float = 0.0) -> np.ndarray:
    """(T,) float32 mono waveform at `sampling_rate` Hz.

    cell: a path, the bytes of a file, {"bytes", "path"} with either, or {"array", "sampling_rate"} (float, or
    integers of full scale; (T,) or with channels as the shorter axis). `ValueError` where it cannot be read, is empty,
    lasts less than `shortest` seconds or holds values that are not finite.
    """
    if isinstance(cell, dict) and cell.get("array") is not None:
        channels, rate = _from_array(cell)
    else:
        channels, rate = _from_file(cell)
    if not channels.size:
        raise ValueError("the audio holds no samples")
    if len(channels) < round(shortest * rate):
        raise ValueError(f"the audio lasts {len(channels) / rate:.3f} s, less than shortest={shortest:g}")
    if not np.isfinite(channels).all():
        raise ValueError("the audio holds NaN or infinite samples")
    return resample(channels.mean(axis=1, dtype=np.float32), rate, sampling_rate)


def resample(waveform: np.ndarray, rate: int, sampling_rate: int) -> np.ndarray:
    """(T',) float32: the waveform (T,) of `rate` Hz at `sampling_rate` Hz, by windowed sinc interpolation.

    The Kaiser window's constants are those of resampy's `kaiser_best` (J. O. Smith's bandlimited interpolation).
    """
    if rate == sampling_rate:
        return waveform
    if max(rate, sampling_rate) // math.gcd(rate, sampling_rate) > LARGEST_RATIO:
        raise ValueError(f"cannot resample {rate} Hz to {sampling_rate} Hz: the ratio is not simple; convert the file")
    from torchaudio.functional import resample as resample_tensor  # takes seconds to import

    resampled = resample_tensor(
        torch.from_numpy(np.ascontiguousarray(waveform)),
        rate,
        sampling_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return np.asarray(resampled.numpy())


def _from_array(cell: dict[str, Any]) -> tuple[np.ndarray, int]:
    """(T, channels) float32, and the sampling rate."""
    array, rate = np.asarray(cell["array"]), cell.get("sampling_rate")
    if not isinstance(rate, int) or rate <= 0:
        raise ValueError("an audio array needs its sampling_rate, a whole number of hertz")
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise ValueError(f"an audio array must be numbers (T,) or (T, channels), not {array.dtype} {array.shape}")
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        middle = 0 if limits.min < 0 else (limits.max + 1) / 2
        array = (array - middle) / ((limits.max + 1) if limits.min < 0 else middle)
    channels = array[:, None] if array.ndim == 1 else array
    if channels.shape[0] < channels.shape[1]:
        channels = channels.T
    return channels.astype(np.float32), rate


def _from_file(cell: Any) -> tuple[np.ndarray, int]:
    """(T, channels) float32, and the sampling rate."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        if not data:
            raise ValueError("the audio file is empty")
        return _read(io.BytesIO(data), "the audio file")
    if not isinstance(path, str | Path):
        raise ValueError(
            f"an audio cell must be a path, bytes or an array with its sampling_rate, not {type(cell).__name__}"
        )
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    if not Path(path).stat().st_size:
        raise ValueError(f"{path}: the audio file is empty")
    return _read(str(path), str(path))


def _read(file: str | io.BytesIO, name: str) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(file) as sound:
            channels = sound.read(dtype="float32", always_2d=True)
            if len(channels) < sound.frames:
                raise ValueError(f"{name}: ends after {len(channels)} of {sound.frames} samples")
            return channels, int(sound.samplerate)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{name}: cannot be read as audio ({str(error).splitlines()[0]})") from None
