"""Outlines: the signed distance of points from the edge of each shape, negative inside.

Coordinates are in the thing's own frame, u to the right and v down, the shape about as large as the unit circle. Distances
are exact near straight and round edges, which is all that anti-aliasing needs.
"""

import numpy as np

from unlabeled_standard.world.exact import Floats, direction

_FIVE = tuple(direction(k / 5 - 0.25) for k in range(5))  # directions at 0, 72 ... degrees from the top
_HALF = 0.70710678


def distance(shape: str, u: Floats, v: Floats) -> Floats:
    """Signed distance from the edge of `shape` in radii, of the shape of `u` and `v`."""
    match shape:
        case "circle":
            return _disc(u, v) - 0.92
        case "square":
            return np.maximum(np.abs(u), np.abs(v)) - 0.8
        case "triangle":
            return np.maximum(0.8944 * np.abs(u) - 0.4472 * v - 0.42, v - 0.72)
        case "star":
            return _star(u, v)
        case "heart":
            return _heart(np.abs(u), v)
        case "ring":
            return np.abs(_disc(u, v) - 0.7) - 0.25
        case "cross":
            wide, narrow = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
            return np.maximum(wide - 0.95, narrow - 0.3)
        case "moon":
            return np.maximum(_disc(u, v) - 0.95, 0.8 - _disc(u - 0.45, v + 0.12))
        case _:
            raise ValueError(f"no shape is called {shape!r}")


def _disc(u: Floats, v: Floats) -> Floats:
    """Distance from the centre."""
    return np.sqrt(u * u + v * v)


def _star(u: Floats, v: Floats) -> Floats:
    """A pentagram: a point is inside where at most one of its five lines has it on the outside."""
    first = second = np.full_like(u, -9)
    for x, y in _FIVE:
        line = u * x + v * y - 0.3
        second = np.maximum(second, np.minimum(first, line))
        first = np.maximum(first, line)
    return second


def _heart(u: Floats, v: Floats) -> Floats:
    """A square on its corner with a half disc on each upper edge; `u` is folded at the axis."""
    side = _HALF * 0.55
    corner = _HALF * (u + np.abs(v - 0.12)) - 0.55
    return np.minimum(corner, _disc(u - side, v - 0.12 + side) - 0.55)
