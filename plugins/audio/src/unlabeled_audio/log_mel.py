"""Log-mel spectrograms, as transformers' ASTFeatureExtractor computes them."""

import math

import numpy as np
import torch
from torch import Tensor

HOP_MILLISECONDS, WINDOW_MILLISECONDS = 10, 25  # Kaldi's frames
DECIBELS = 40.0
"""One unit of a spectrogram is 40 dB: with the processor's mean 0, padding with zeros stays zero."""
MEAN, STD = 0.0, DECIBELS / 20 * math.log(10)
"""Of ASTFeatureExtractor, which divides natural logarithms of energies by 2 * STD; its own default is 4.569, this 4.605."""

RAW_PARTS = 8


def hop(sampling_rate: int) -> int:
    """Samples between the starts of two frames."""
    return sampling_rate * HOP_MILLISECONDS // 1000


def frames(samples: int, sampling_rate: int) -> int:
    """Number of whole frames in a waveform of so many samples."""
    window = sampling_rate * WINDOW_MILLISECONDS // 1000
    return max(0, 1 + (samples - window) // hop(sampling_rate))


def log_mel(waveform: np.ndarray, sampling_rate: int, mels: int) -> np.ndarray:
    """(T, mels) float32 energies in units of 40 dB of a waveform (samples,): Kaldi's filter banks with a Hann window."""
    from torchaudio.compliance.kaldi import fbank  # takes seconds to import

    banks = fbank(
        torch.from_numpy(np.ascontiguousarray(waveform)).unsqueeze(0),
        sample_frequency=sampling_rate,
        window_type="hanning",
        num_mel_bins=mels,
    )
    return np.asarray((banks.numpy() - MEAN) / (STD * 2), dtype=np.float32)


def summary(spectrogram: Tensor, parts: int) -> Tensor:
    """(parts * mels,) the mean energies of `parts` equal parts of a spectrogram (T, mels)."""
    return torch.nn.functional.adaptive_avg_pool1d(spectrogram.T.unsqueeze(0), parts).flatten()
