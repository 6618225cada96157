"""Flat patterns: how much of the second colour there is at points of the plane, 0 to 1.

Coordinates are in repeats of the pattern; `pixel` is the width of a pixel in repeats, over which edges are softened.
"""

from typing import Any

import numpy as np

from unlabeled_standard.world.exact import Floats, fraction, sine, triangle, unit


def paint(name: str, a: Floats, b: Floats, pixel: Any) -> Floats:
    """The pattern called `name`, in the shape of `a` and `b` broadcast; `ValueError` where there is none."""
    match name:
        case "plain":
            return np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype=np.float32)
        case "striped":
            return _cover(triangle(a + 0 * b) * 0.25, pixel)
        case "spotted" | "dotted":
            across, along = fraction(a) - 0.5, fraction(b) - 0.5
            return _cover(np.sqrt(across * across + along * along) - 0.3, pixel)
        case "checked" | "tiled":
            return _cover(triangle(a * 0.5) * triangle(b * 0.5) * 0.5, pixel)
        case "wavy":
            return _cover(triangle(b + 0.3 * sine(a * 0.5)) * 0.25, pixel)
        case "cloudy":
            bulge = sine(a * 0.3 + 0.25 * sine(b * 0.4)) + sine(b * 0.35 + 0.3 * sine(a * 0.45))
            return unit(0.5 + 0.4 * bulge)
        case "brick":
            shifted = fraction(a * 0.5 + 0.5 * (np.floor(b) - 2 * np.floor(b * 0.5)))
            return _cover(np.minimum(1 - 2 * np.abs(shifted - 0.5), 0.5 - np.abs(fraction(b) - 0.5)) - 0.09, pixel)
        case "grid":
            return _cover(0.42 - np.maximum(np.abs(fraction(a) - 0.5), np.abs(fraction(b) - 0.5)), pixel)
        case _:
            raise ValueError(f"no pattern is called {name!r}")


def _cover(distance: Floats, pixel: Any) -> Floats:
    """The part of a pixel that lies inside an edge at this signed distance."""
    return unit(0.5 - distance / pixel)
