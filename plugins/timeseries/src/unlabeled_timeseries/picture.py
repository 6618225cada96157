"""A series as a small picture."""

import numpy as np

_HEIGHT, _WIDTH, _MARGIN = 96, 192, 4
_COLOURS = np.array(
    [[31, 119, 180], [214, 39, 40], [44, 160, 44], [148, 103, 189], [255, 127, 14], [90, 90, 90]], np.uint8
)


def draw_curves(values: np.ndarray) -> np.ndarray:
    """(96, 192, 3) uint8: each channel of `values` (T, C) as a curve on white, all on the same scale."""
    picture = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    low, high = float(values.min()), float(values.max())
    places = np.linspace(0, len(values) - 1, _WIDTH)
    for channel, column in enumerate(values.T):
        curve = np.interp(places, np.arange(len(values)), column)
        heights = (high - curve) / max(high - low, 1e-12) * (_HEIGHT - 1 - 2 * _MARGIN) + _MARGIN
        rows = np.rint(heights).astype(int)
        for x, (row, following) in enumerate(zip(rows, np.append(rows[1:], rows[-1]), strict=True)):
            picture[min(row, following) : max(row, following) + 1, x] = _COLOURS[channel % len(_COLOURS)]
    return picture
