"""Captions: what two people might write about a scene, in their own words, each leaving out something else."""

from unlabeled_standard.world.exact import Key, Stream
from unlabeled_standard.world.scene import BACKGROUNDS, COLORS, MOTIONS, SHAPES, SIZES, TEXTURES, TONES, Scene, Thing

CAPTIONS = 2
TEXT = 1  # the part of the item's randomness

NOUNS = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle", "wedge"),
    "star": ("star", "pentagram"),
    "heart": ("heart", "love heart"),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus sign"),
    "moon": ("moon", "crescent"),
}
COLOR_WORDS = {
    "red": ("red", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "teal": ("teal", "turquoise"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
    "white": ("white", "ivory"),
    "black": ("black", "charcoal"),
}
TEXTURE_WORDS = {
    "plain": ("plain", "smooth"),
    "striped": ("striped", "stripy"),
    "spotted": ("spotted", "speckled"),
    "checked": ("checked", "chequered"),
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium-sized", "mid-sized"),
    "large": ("large", "big", "huge"),
}
VERBS = {
    "drift": (("drifts", "drifting"), ("glides", "gliding")),
    "bounce": (("bounces", "bouncing"), ("hops", "hopping")),
    "spin": (("spins", "spinning"), ("rotates", "rotating")),
    "orbit": (("circles", "circling"), ("loops", "looping")),
    "swing": (("swings", "swinging"), ("rocks", "rocking")),
    "zigzag": (("zigzags", "zigzagging"), ("weaves", "weaving")),
    "pulse": (("pulses", "pulsing"), ("throbs", "throbbing")),
    "shake": (("shakes", "shaking"), ("trembles", "trembling")),
}
WALL_WORDS = {
    "plain": ("a plain {} wall", "a bare {} background"),
    "striped": ("{} stripes", "a striped {} wall"),
    "dotted": ("{} dots", "a dotted {} background"),
    "tiled": ("{} tiles", "a {} chessboard"),
    "wavy": ("{} waves", "a wavy {} wall"),
    "cloudy": ("{} clouds", "a misty {} background"),
    "brick": ("{} bricks", "a {} brick wall"),
    "grid": ("a {} grid", "{} graph paper"),
}
TONE_WORDS = {
    "cream": ("cream", "beige"),
    "silver": ("silver", "grey"),
    "sky": ("sky-blue", "pale blue"),
    "mint": ("mint", "pale green"),
    "lilac": ("lilac", "lavender"),
    "peach": ("peach", "apricot"),
    "navy": ("navy", "dark blue"),
    "forest": ("forest", "dark green"),
}


def write_captions(key: Key, scene: Scene) -> list[str]:
    """Two captions of the scene."""
    stream = Stream(key, TEXT)
    first = stream.below(len(TEMPLATES))
    second = (first + 1 + stream.below(len(TEMPLATES) - 1)) % len(TEMPLATES)
    return [_tidy(TEMPLATES[template](stream, scene)) for template in (first, second)]


def _alone(stream: Stream, scene: Scene) -> str:
    main = _moving(stream, scene, 0.5)
    noun = stream.pick(NOUNS[SHAPES[stream.pick(scene.things[1:]).shape]])
    others = f", with a smaller {noun} {stream.pick(('around', 'nearby'))}" if stream.coin(0.7) else ""
    return f"{main} {_spot(stream, scene.things[0])}{others}{_wall(stream, scene, 0.9)}"


def _beside(stream: Stream, scene: Scene) -> str:
    main, other = scene.things[0], stream.pick(scene.things[1:])
    return (
        f"{_moving(stream, scene, 0.3)} {_side(stream, main, other)} {_name(stream, other)}{_wall(stream, scene, 0.6)}"
    )


def _from_other(stream: Stream, scene: Scene) -> str:
    main, other = scene.things[0], stream.pick(scene.things[1:])
    return f"{_name(stream, other)} {_side(stream, other, main)} {_name(stream, main, size=1.0)}{_wall(stream, scene, 0.6)}"


def _sentence(stream: Stream, scene: Scene) -> str:
    verb, _ = stream.pick(VERBS[MOTIONS[scene.motion.kind]])
    main, other = scene.things[0], stream.pick(scene.things[1:])
    return (
        f"{_name(stream, main)} {verb} {_side(stream, main, other)} {_name(stream, other)}{_wall(stream, scene, 0.5)}"
    )


def _list(stream: Stream, scene: Scene) -> str:
    names = [_name(stream, thing, size=0.0 if number else 1.0) for number, thing in enumerate(scene.things)]
    turn = stream.below(len(names))
    *names, last = names[turn:] + names[:turn]
    return f"there are {', '.join(names)} and {last}{_wall(stream, scene, 0.5)}"


def _wall_first(stream: Stream, scene: Scene) -> str:
    other = stream.pick(scene.things[1:])
    wall = _wall(stream, scene, 1.0).strip()
    return f"{wall}, {_name(stream, other)} and {_moving(stream, scene, 0.4, size=1.0)}"


TEMPLATES = (_alone, _beside, _from_other, _sentence, _list, _wall_first)


def _name(stream: Stream, thing: Thing, size: float = 0.45, before: str = "") -> str:
    """A thing as a noun with some of its adjectives; `size` is the chance that its size is told."""
    words = [before] if before else []
    if stream.coin(size):
        words.append(stream.pick(SIZE_WORDS[SIZES[thing.size]]))
    texture = stream.pick(TEXTURE_WORDS[TEXTURES[thing.texture]]) if stream.coin(0.5) else ""
    color = stream.pick(COLOR_WORDS[COLORS[thing.color]]) if stream.coin(0.9) else ""
    words += [texture, color] if stream.coin(0.7) else [color, texture]
    return " ".join(["a", *filter(None, words), stream.pick(NOUNS[SHAPES[thing.shape]])])


def _moving(stream: Stream, scene: Scene, motion: float, size: float = 0.45) -> str:
    """The first thing, with its motion as an adjective by this chance."""
    _, moving = stream.pick(VERBS[MOTIONS[scene.motion.kind]])
    return _name(stream, scene.things[0], size, moving if stream.coin(motion) else "")


def _spot(stream: Stream, thing: Thing) -> str:
    """Where a thing is in the picture."""
    row = "top" if thing.y < 0.42 else "bottom" if thing.y > 0.58 else ""
    column = "left" if thing.x < 0.42 else "right" if thing.x > 0.58 else ""
    if not row and not column:
        return stream.pick(("in the middle", "in the centre"))
    return f"{stream.pick(('at', 'toward'))} the {' '.join(filter(None, (row, column)))}"


def _side(stream: Stream, thing: Thing, other: Thing) -> str:
    """Where `thing` is seen from `other`."""
    if stream.coin(0.25):
        return stream.pick(("next to", "near", "beside"))
    across, down = thing.x - other.x, thing.y - other.y
    if abs(across) > abs(down):
        return stream.pick(("left of", "to the left of") if across < 0 else ("right of", "to the right of"))
    return stream.pick(("above", "higher than") if down < 0 else ("below", "under"))


def _wall(stream: Stream, scene: Scene, chance: float) -> str:
    """What is behind, by this chance."""
    wall, tone = BACKGROUNDS[scene.backdrop.kind], TONES[scene.backdrop.tone]
    phrase = stream.pick(WALL_WORDS[wall]).format(stream.pick(TONE_WORDS[tone]) if stream.coin(0.75) else "")
    where = stream.pick(("on", "against", "in front of"))
    return f" {where} {phrase}" if stream.coin(chance) else ""


def _tidy(caption: str) -> str:
    """Single spaces, and `an` before a vowel."""
    words = caption.split()
    follow = [*words[1:], ""]
    return " ".join(
        "an" if word == "a" and after[0] in "aeiou" else word for word, after in zip(words, follow, strict=True)
    )
