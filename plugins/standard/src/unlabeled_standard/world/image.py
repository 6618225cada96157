"""Pictures of a scene: one is an image, several are a video."""

import numpy as np
from numpy.typing import NDArray

from unlabeled_standard.world import patterns, shapes
from unlabeled_standard.world.exact import Floats, cosine, direction, sine, unit
from unlabeled_standard.world.motion import places
from unlabeled_standard.world.scene import BACKGROUNDS, COLORS, SHAPES, TEXTURES, TONES, Backdrop, Scene, Thing

PALETTE = {
    "red": (222, 58, 54),
    "orange": (243, 140, 46),
    "yellow": (249, 210, 62),
    "green": (88, 172, 84),
    "teal": (40, 170, 168),
    "blue": (58, 108, 214),
    "purple": (138, 84, 194),
    "pink": (242, 128, 176),
    "white": (246, 244, 238),
    "black": (48, 48, 56),
}
WALLS = {
    "cream": (240, 228, 200),
    "silver": (196, 202, 208),
    "sky": (172, 212, 238),
    "mint": (178, 222, 194),
    "lilac": (206, 194, 234),
    "peach": (246, 206, 180),
    "navy": (46, 62, 98),
    "forest": (44, 84, 70),
}
SHADOW = 0.16  # how far the shadow reaches beyond the edge, in radii
REACH = 1.66  # how far a stretched star's shadow reaches from its centre, in radii: the farthest of all
DARK = 120  # below this mean of red, green and blue a pattern is lighter than its ground


def render(scene: Scene, times: Floats, size: int) -> NDArray[np.uint8]:
    """The scene at `times` (T,) in seconds as pictures (T, size, size, 3) of red, green and blue, uint8."""
    centers = ((np.arange(size) + 0.5) / size).astype(np.float32)
    canvas = _backdrop(scene.backdrop, times, centers)
    place = places(scene, times)
    cosines, sines = cosine(place.angle), sine(place.angle)
    for number in reversed(range(len(scene.things))):
        x, y, radius = place.x[number], place.y[number], place.size[number]
        _draw(canvas, scene.things[number], x, y, radius, (cosines[number], sines[number]), centers)
    canvas += 0.5
    np.minimum(np.maximum(canvas, 0, out=canvas), 255, out=canvas)
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 3, 0))


def _backdrop(backdrop: Backdrop, times: Floats, centers: Floats) -> Floats:
    """The empty canvas, (3, T, size, size) in 0 to 255."""
    x = centers + times[:, None] * backdrop.drift[0]
    y = centers + times[:, None] * backdrop.drift[1]
    east, south = (backdrop.scale * part for part in direction(backdrop.angle))
    a = (east * x)[:, None, :] + (south * y + backdrop.x)[:, :, None]
    b = (east * y + backdrop.y)[:, :, None] - (south * x)[:, None, :]
    pattern = patterns.paint(BACKGROUNDS[backdrop.kind], a, b, backdrop.scale / len(centers))
    light = 1 + backdrop.light[0] * (centers - 0.5) + backdrop.light[1] * (centers[:, None] - 0.5)
    ground = WALLS[TONES[backdrop.tone]]
    step = (48 if sum(ground) < 3 * DARK else -56) * backdrop.contrast
    return _column(ground, backdrop.tint) * light + _column((step,) * 3, backdrop.tint) * (light * pattern)


def _draw(
    canvas: Floats, thing: Thing, x: Floats, y: Floats, radius: Floats, turn: tuple[Floats, Floats], centers: Floats
) -> None:
    """Draw a thing in the window of the canvas that it reaches; place, radius, and cosine and sine of its angle are (T,)."""
    size = len(centers)
    columns, rows = _reach(x, radius, size), _reach(y, radius, size)
    x, y, radius, east, south = (part[:, None, None] for part in (x, y, radius, *turn))
    across, down = (centers[columns] - x) / radius, (centers[rows, None] - y) / radius
    pixels = radius * size
    u = east / thing.stretch * across + south / thing.stretch * down
    v = east * thing.stretch * down - south * thing.stretch * across
    edge = shapes.distance(SHAPES[thing.shape], u, v) * pixels  # in pixels
    cover = unit(0.5 - edge)
    shadow = 1 - 0.22 * unit(1 - edge / (SHADOW * pixels))
    rim = unit(1.2 + edge * (64 / size))
    ink = cover * (1 - 0.42 * rim) * ((1 - 0.1 * across) - 0.1 * down)
    base = PALETTE[COLORS[thing.color]]
    second = (75,) * 3 if sum(base) < 3 * DARK / 2 else tuple(-0.38 * level for level in base)
    window = canvas[:, :, rows, columns]
    window *= shadow * (1 - cover)
    window += _column(base, thing.tint) * ink
    if thing.texture:
        pattern = patterns.paint(TEXTURES[thing.texture], thing.grain * u, thing.grain * v, thing.grain / pixels)
        window += _column(second, thing.tint) * (ink * pattern)


def _column(levels: tuple[float, ...], tint: tuple[float, float, float]) -> Floats:
    """Tinted red, green and blue as (3, 1, 1, 1)."""
    return np.array([level * factor for level, factor in zip(levels, tint, strict=True)], np.float32)[
        :, None, None, None
    ]


def _reach(center: Floats, radius: Floats, size: int) -> slice:
    """The pixels along one axis that the thing and its shadow touch at any time."""
    low, high = min((center - REACH * radius).tolist()), max((center + REACH * radius).tolist())
    return slice(max(int(low * size) - 1, 0), max(min(int(high * size) + 2, size), 0))
