"""What sensors on the first thing write down: its motion in a frame of their own, mixed, scaled, wandering and noisy."""

import numpy as np

from unlabeled_standard.world.exact import Floats, Key, Stream, cosine, direction, noise, sine
from unlabeled_standard.world.motion import main_path
from unlabeled_standard.world.scene import Scene

RATE = 32  # readings in a second
CHANNELS = ("x", "y", "turn", "lean", "size")
SERIES, GRAIN = 4, 5  # parts of the item's randomness


def trace(key: Key, scene: Scene, steps: int) -> Floats:
    """Readings of the channels over time, (steps, 5) float32."""
    stream = Stream(key, SERIES)
    times = np.arange(steps, dtype=np.float32) / RATE
    path = main_path(scene.motion, times)
    tilt = stream.uniform()
    angle = path.angle + stream.uniform()
    east, south = direction(tilt)
    signals = (
        10 * (east * path.x + south * path.y),
        10 * (east * path.y - south * path.x),
        sine(angle),
        cosine(angle),
        4 * (path.size - 1),
    )
    count = len(CHANNELS)
    readings = stream.uniform(0.5, 1.4) * noise(key, GRAIN, (steps, count))
    slow, begin, offset, wander = (_draw(stream, *span) for span in ((0.1, 0.4), (0, 1), (-1, 1), (0.2, 0.7)))
    readings += offset + wander * sine(times[:, None] * slow + begin)
    for source, signal in enumerate(signals):
        weights = _draw(stream, -0.35, 0.35)
        weights[source] = stream.uniform(0.6, 1.4)
        readings += signal[:, None] * weights
    return readings * stream.uniform(0.5, 2)


def _draw(stream: Stream, low: float, high: float) -> Floats:
    """One number for each channel."""
    return np.array([stream.uniform(low, high) for _ in CHANNELS], dtype=np.float32)
