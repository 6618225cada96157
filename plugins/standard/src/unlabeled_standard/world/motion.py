"""Where the things of a scene are at each moment."""

from typing import NamedTuple

import numpy as np

from unlabeled_standard.world.exact import Floats, cosine, direction, fraction, sine, triangle
from unlabeled_standard.world.scene import MOTIONS, Motion, Scene


class Path(NamedTuple):
    """Moves away from a thing's own place, each (T,) float32: lengths in sides, angle in turns, size as a factor."""

    x: Floats
    y: Floats
    angle: Floats
    size: Floats


def main_path(motion: Motion, times: Floats) -> Path:
    """The first thing's path at `times` (T,) in seconds."""
    turns = times / motion.period + motion.phase
    reach, sign, still = motion.amplitude, motion.sign, np.zeros_like(times)
    east, south = direction(motion.heading)
    match MOTIONS[motion.kind]:
        case "drift":
            far = 1.3 * reach * times
            return Path(east * far, south * far, still, still + 1)
        case "bounce":
            height = fraction(turns)
            return Path(still, -7 * reach * height * (1 - height), still, still + 1)
        case "spin":
            return Path(still, still, sign * turns * 0.5, still + 1)
        case "orbit":
            return Path(reach * cosine(turns), sign * reach * sine(turns), still, still + 1)
        case "swing":
            lean = sine(turns)
            return Path(1.2 * reach * lean, -0.5 * reach * lean * lean, -0.11 * lean, still + 1)
        case "zigzag":
            far, aside = 0.9 * reach * times, reach * triangle(turns)
            return Path(east * far - south * aside, south * far + east * aside, still, still + 1)
        case "pulse":
            return Path(still, still, still, 1 + 2.6 * reach * sine(turns))
        case _:  # shake: two fast tremors that do not fit together
            fast, faster = 2.9 * times + motion.phase, 3.6 * times + 2 * motion.phase
            return Path(0.4 * reach * sine(fast), 0.25 * reach * sine(faster), 0.02 * sine(faster + 0.3), still + 1)


def places(scene: Scene, times: Floats) -> Path:
    """Where all things are and their radii, each (things, T): the first on its path, the others swaying a little."""
    things = np.array([(thing.x, thing.y, thing.angle, thing.radius) for thing in scene.things], dtype=np.float32)
    x, y, angle, radius = things.T[:, :, None]
    wave = sine(times * (0.4 + radius) + angle * 40)
    wave[0] = 0
    main = main_path(scene.motion, times)
    x, y, angle, radius = x + 0.02 * wave, y + 0.2 * angle * wave, angle + 0.02 * wave, radius + 0 * wave
    for moved, own in zip((x, y, angle), (main.x, main.y, main.angle), strict=True):
        moved[0] += own
    radius[0] *= main.size
    return Path(x, y, angle, radius)
