"""The sound of a scene: the first thing's voice in the rhythm of its motion, the others now and then, and noise."""

from typing import NamedTuple

import numpy as np

from unlabeled_standard.world.exact import Floats, Key, Stream, fraction, noise, sine, unit
from unlabeled_standard.world.scene import MOTIONS, SHAPES, Scene

RATE = 8000  # samples in a second
SAMPLES = 8000
AUDIO, HISS = 2, 3  # parts of the item's randomness
LOWEST = 165.0  # Hz, the pitch of the first colour
STEP = 1.115  # from a colour's pitch to the next one's: a little less than two semitones
TABLE = 1024  # samples of one period of a voice
LOOP = 2048  # samples of the loudness over one period of the motion
NOTE = 2000  # samples of the one note of each further thing


class Voice(NamedTuple):
    """How a shape sounds."""

    harmonics: tuple[float, ...]
    decay: float  # part of a beat in which a note dies away
    bend: float = 0.0  # relative change of pitch over the second
    tremor: float = 0.0  # depth of vibrato, relative to the pitch


VOICES = {
    "circle": Voice((1.0, 0.0, 0.15), 0.9),
    "square": Voice((1.0, 0.0, 0.6, 0.0, 0.4, 0.0, 0.25), 0.9),
    "triangle": Voice((0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2), 0.9),
    "star": Voice((0.2, 0.1, 0.4, 0.7, 0.9, 0.6, 0.2), 0.6),
    "heart": Voice((1.0, 0.5, 0.1), 0.9, tremor=0.02),
    "ring": Voice((1.0, 0.0, 0.0, 0.8, 0.0, 0.0, 0.6), 1.5),
    "cross": Voice((0.6, 0.9, 0.0, 0.7), 0.5),
    "moon": Voice((1.0, 0.4, 0.2), 1.2, bend=-0.25),
}
BEATS = {  # when notes begin, in periods of the motion
    "drift": (0.0,),
    "bounce": (0.0, 0.45, 0.7, 0.85),
    "spin": (0.0, 0.25, 0.5, 0.75),
    "orbit": (0.0, 0.333, 0.667),
    "swing": (0.0, 0.5),
    "zigzag": (0.0, 0.2, 0.5, 0.7),
    "pulse": (0.0, 0.2),
    "shake": (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875),
}


HIGHEST = max(len(voice.harmonics) for voice in VOICES.values())
HARMONICS = tuple(
    sine(number * np.arange(TABLE, dtype=np.float32) / TABLE + 0.13 * number * number)
    for number in range(1, HIGHEST + 1)
)


def record(key: Key, scene: Scene) -> Floats:
    """One second of sound, (8000,) float32 of peak 0.04 to 0.7."""
    stream = Stream(key, AUDIO, 64)
    seconds = np.arange(SAMPLES, dtype=np.float32) / RATE
    main, motion = scene.things[0], scene.motion
    beats, voice = BEATS[MOTIONS[motion.kind]], VOICES[SHAPES[main.shape]]
    length = voice.decay * (0.6 + 2 * main.radius) * max(1 / len(beats), 0.2)
    period = np.arange(LOOP, dtype=np.float32) / LOOP
    loop = np.zeros(LOOP, dtype=np.float32)
    for beat in beats:
        loop = np.maximum(loop, _strike(fraction(period - beat) * motion.period, length))
    turns = fraction(seconds / motion.period + motion.phase)
    sound = loop[(turns * LOOP).astype(np.int32) % LOOP] * _tone(stream, main.shape, main.color, seconds)
    for thing in scene.things[1:]:
        begin = stream.below(SAMPLES - NOTE)
        note = _strike(seconds[:NOTE], NOTE / RATE) * _tone(stream, thing.shape, thing.color, seconds[:NOTE])
        sound[begin : begin + NOTE] += stream.uniform(0.2, 0.5) * note
    hum = stream.uniform(0, 0.08) * sine(stream.uniform(50, 120) * seconds)
    sound += hum + stream.uniform(0.08, 0.4) * noise(key, HISS, (SAMPLES,))
    return sound * (stream.uniform(0.15, 0.8) / 2)


def _tone(stream: Stream, shape: int, color: int, seconds: Floats) -> Floats:
    """A voice that never stops, at a colour's pitch and a little off it, as a room with a sound of its own returns it."""
    voice = VOICES[SHAPES[shape]]
    pitch = LOWEST * STEP ** (color + stream.uniform(-0.45, 0.45))
    turns = round(pitch, 3) * seconds * (1 + voice.bend / 2 * (seconds - 1)) + stream.uniform()
    if voice.tremor:
        turns = turns + voice.tremor * round(pitch, 3) / 38 * sine(6 * seconds)
    wave = np.zeros(TABLE, dtype=np.float32)
    for harmonic, weight in zip(HARMONICS, voice.harmonics, strict=False):
        wave += weight * stream.uniform(0.3, 1.7) * harmonic
    return wave[(turns * TABLE).astype(np.int32) & (TABLE - 1)] / np.float32(sum(voice.harmonics))


def _strike(since: Floats, length: float) -> Floats:
    """The loudness of a note `since` seconds after it began: up in 8 ms, then away."""
    fade = unit(1 - since / np.float32(length))
    return unit(since * 125) * fade * fade
