"""Small sounds, and views of them as waveforms and as spectrograms."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from unlabeled import Draws, Modality, View
from unlabeled.testing import make_view
from unlabeled_audio.spectrogram import Spectrogram, SpectrogramConfig
from unlabeled_audio.waveform import Audio, AudioConfig

RATE = 8000
SECONDS = (0.5, 0.31, 0.12, 0.8)  # the last is longer than a clip


def tones(seconds: float, seed: int) -> np.ndarray:
    """(T,) float32: a chord that fades, and noise."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * times) for pitch in generator.uniform(100, 3000, 3))
    return (0.1 * chord * np.exp(-2 * times) + 0.01 * generator.normal(size=len(times))).astype(np.float32)


def view_of_cells(modality: Modality, cells: Sequence[object], role: str) -> View:
    """The view of some cells, before any transform."""
    samples = [
        modality.take(modality.decode(cell), Draws(0, 0, torch.tensor([number]), "audio", role), role)
        for number, cell in enumerate(cells)
    ]
    inputs = modality.collate(samples)
    extra = {name: inputs.pop(name) for name in modality.extras}
    return make_view(inputs, extra=extra, encoder="audio", role=role, ids=torch.arange(len(cells)))


@pytest.fixture
def view_of() -> Callable[[Modality, Sequence[object], str], View]:
    """Makes the view of some cells: modality, cells, role."""
    return view_of_cells


@pytest.fixture
def sound() -> np.ndarray:
    """One second, (8000,)."""
    return tones(1.0, 0)


@pytest.fixture
def cells() -> list[dict[str, object]]:
    """Four sounds of different length."""
    return [{"array": tones(seconds, seed), "sampling_rate": RATE} for seed, seconds in enumerate(SECONDS)]


@pytest.fixture
def audio() -> Audio:
    return Audio(AudioConfig(sampling_rate=RATE, clip=0.6))


@pytest.fixture
def spectrogram() -> Spectrogram:
    return Spectrogram(SpectrogramConfig(sampling_rate=RATE, clip=0.6, mels=20))


@pytest.fixture
def waveforms(audio: Audio, cells: list[dict[str, object]]) -> View:
    """Four clips of 0.6 s, three of them padded."""
    return view_of_cells(audio, cells, "weak")


@pytest.fixture
def images(spectrogram: Spectrogram, cells: list[dict[str, object]]) -> View:
    """The same as spectrograms of 58 frames."""
    return view_of_cells(spectrogram, cells, "weak")
