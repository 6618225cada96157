"""How a report shows sounds."""

import numpy as np

WIDTH, HEIGHT = 256, 64
INK, PAPER = 40, 250


def draw_waveform(waveform: np.ndarray) -> np.ndarray:
    """(64, 256, 3) uint8: for each column the range of its samples, scaled to the loudest."""
    edges = np.linspace(0, len(waveform), WIDTH + 1).astype(int)
    loudest = max(float(np.abs(waveform).max(initial=0.0)), 1e-8)
    heights = np.linspace(1, -1, HEIGHT)[:, None]
    parts = [waveform[start : max(end, start + 1)] / loudest for start, end in zip(edges[:-1], edges[1:], strict=True)]
    low = np.array([part.min(initial=0.0) for part in parts]) - 1 / HEIGHT
    high = np.array([part.max(initial=0.0) for part in parts]) + 1 / HEIGHT
    return _gray(np.where((heights >= low) & (heights <= high), INK, PAPER))


def draw_spectrogram(spectrogram: np.ndarray) -> np.ndarray:
    """(mels, T, 3) uint8 from (T, mels): low frequencies below, loud is dark."""
    low, high = float(spectrogram.min()), float(spectrogram.max())
    shade = (spectrogram - low) / max(high - low, 1e-8)
    return _gray(PAPER - shade.T[::-1] * (PAPER - INK))


def _gray(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[:, :, None], 3, axis=2).astype(np.uint8)
