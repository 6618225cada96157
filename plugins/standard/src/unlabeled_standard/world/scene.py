"""What is in a scene: a few things of which the largest moves, in front of a background."""

from dataclasses import dataclass, replace

from unlabeled_standard.world.exact import Key, Stream

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
COLORS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "white", "black")
TEXTURES = ("plain", "striped", "spotted", "checked")
SIZES = ("small", "medium", "large")
MOTIONS = ("drift", "bounce", "spin", "orbit", "swing", "zigzag", "pulse", "shake")
BACKGROUNDS = ("plain", "striped", "dotted", "tiled", "wavy", "cloudy", "brick", "grid")
TONES = ("cream", "silver", "sky", "mint", "lilac", "peach", "navy", "forest")

RADII = ((0.1, 0.12), (0.22, 0.25), (0.31, 0.35))  # of each size, as a part of the image's side
CANDIDATES = 10  # places tried for each further thing
SCENE = 0  # the part of the item's randomness


@dataclass(frozen=True)
class Thing:
    """One thing. Lengths are parts of the image's side, x to the right and y down; angles are in turns."""

    shape: int
    color: int
    texture: int
    size: int
    x: float
    y: float
    radius: float
    angle: float
    stretch: float  # width over height in the thing's own frame
    tint: tuple[float, float, float]  # factors of red, green and blue
    grain: float  # stripes, spots or checks per radius


@dataclass(frozen=True)
class Motion:
    """How the first thing moves; times are in seconds."""

    kind: int
    period: float
    phase: float  # in turns
    amplitude: float  # a part of the image's side
    heading: float  # direction of travel in turns, toward the middle of the image
    sign: float


@dataclass(frozen=True)
class Backdrop:
    """What is behind the things."""

    kind: int
    tone: int
    scale: float  # pattern repeats per side
    angle: float
    x: float
    y: float
    drift: tuple[float, float]  # how far it moves in a second, in sides
    contrast: float
    light: tuple[float, float]  # brightness gained from left to right and from top to bottom
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """One item of the world; the first thing is the largest, gives the labels and moves."""

    things: tuple[Thing, ...]
    motion: Motion
    backdrop: Backdrop


def draw_scene(key: Key) -> Scene:
    """The scene of one item."""
    stream = Stream(key, SCENE)
    largest = 1 + stream.below(2)
    things = [_draw_thing(stream, largest, stream.uniform(0.3, 0.7), stream.uniform(0.3, 0.7))]
    for _ in range(1 + stream.below(2)):
        places = [(stream.uniform(0.13, 0.87), stream.uniform(0.13, 0.87)) for _ in range(CANDIDATES)]
        x, y = max(places, key=lambda place: _clearance(place, things))
        things.append(_draw_thing(stream, stream.below(largest), x, y))
    motion = _draw_motion(stream, things[0])
    if MOTIONS[motion.kind] == "spin" and SHAPES[things[0].shape] in ("circle", "ring") and things[0].texture == 0:
        things[0] = _draw_spinnable(stream, things[0])
    return Scene(tuple(things), motion, _draw_backdrop(stream))


def _draw_thing(stream: Stream, size: int, x: float, y: float) -> Thing:
    return Thing(
        shape=stream.below(len(SHAPES)),
        color=stream.below(len(COLORS)),
        texture=0 if stream.coin(0.25) else stream.below(len(TEXTURES)),
        size=size,
        x=x,
        y=y,
        radius=stream.uniform(*RADII[size]),
        angle=stream.uniform(-0.09, 0.09),
        stretch=stream.uniform(0.9, 1.11),
        tint=_draw_tint(stream),
        grain=stream.uniform(1.3, 1.9) if size else 1.2,
    )


def _draw_spinnable(stream: Stream, thing: Thing) -> Thing:
    """The same round thing with a texture, without which nobody sees it spin."""
    return replace(thing, texture=1 + stream.below(len(TEXTURES) - 1))


def _draw_motion(stream: Stream, thing: Thing) -> Motion:
    sideways, upright = stream.uniform(-0.08, 0.08), stream.coin()
    return Motion(
        kind=stream.below(len(MOTIONS)),
        period=stream.uniform(0.75, 1.25),
        phase=stream.uniform(),
        amplitude=stream.uniform(0.08, 0.13),
        heading=sideways + (0.25 if upright else 0.0) + (0.5 if (thing.y if upright else thing.x) > 0.5 else 0.0),
        sign=1.0 if stream.coin() else -1.0,
    )


def _draw_backdrop(stream: Stream) -> Backdrop:
    return Backdrop(
        kind=stream.below(len(BACKGROUNDS)),
        tone=stream.below(len(TONES)),
        scale=stream.uniform(2.5, 5.0),
        angle=stream.uniform(-0.06, 0.06) + 0.25 * stream.below(2),
        x=stream.uniform(),
        y=stream.uniform(),
        drift=(stream.uniform(-0.06, 0.06), stream.uniform(-0.06, 0.06)),
        contrast=stream.uniform(0.25, 0.7),
        light=(stream.uniform(-0.18, 0.18), stream.uniform(-0.18, 0.18)),
        tint=_draw_tint(stream),
    )


def _draw_tint(stream: Stream) -> tuple[float, float, float]:
    brightness = stream.uniform(0.9, 1.1)
    red, green, blue = (brightness * stream.uniform(0.94, 1.06) for _ in range(3))
    return red, green, blue


def _clearance(place: tuple[float, float], things: list[Thing]) -> float:
    """Squared distance from the nearest thing's edge, roughly; what is large keeps others farther away."""
    return min((place[0] - thing.x) ** 2 + (place[1] - thing.y) ** 2 - thing.radius**2 for thing in things)
