"""Scenes and how captions, pictures, sounds and traces tell of them."""

from dataclasses import replace

import numpy as np
import pytest

from unlabeled_standard.world import audio, series, text
from unlabeled_standard.world.exact import Key, Stream, bits, cosine, noise, sine
from unlabeled_standard.world.image import render
from unlabeled_standard.world.motion import main_path
from unlabeled_standard.world.patterns import paint
from unlabeled_standard.world.scene import BACKGROUNDS, COLORS, MOTIONS, SHAPES, TEXTURES, draw_scene
from unlabeled_standard.world.shapes import distance

KEYS = [Key(0, 0, index) for index in range(60)]
SCENES = [draw_scene(key) for key in KEYS]
START = np.zeros(1, dtype=np.float32)


def test_the_first_thing_is_the_largest():
    for scene in SCENES:
        first, *others = scene.things
        assert 1 <= len(others) <= 2
        assert all(first.size > other.size and first.radius > other.radius for other in others)


def test_streams_of_parts_and_items_share_nothing():
    words = [bits(key, part, 50) for key in (Key(0, 0, 0), Key(1, 0, 0), Key(0, 1, 0), Key(0, 0, 1)) for part in (0, 1)]
    assert len(set(np.concatenate(words).tolist())) == 400


def test_a_longer_stream_begins_with_the_shorter():
    shorter, longer = (Stream(KEYS[0], 0, length) for length in (4, 9))
    assert [shorter.uniform() for _ in range(4)] == [longer.uniform() for _ in range(4)]


def test_waves_and_noise():
    turns = np.linspace(-3, 3, 1001)
    np.testing.assert_allclose(sine(turns), np.sin(2 * np.pi * turns), atol=5e-6)
    np.testing.assert_allclose(cosine(turns), np.cos(2 * np.pi * turns), atol=5e-6)
    values = noise(KEYS[0], 9, (5001, 3))
    assert values.shape == (5001, 3) and values.dtype == np.float32
    assert abs(values.mean()) < 0.02 and abs(values.std() - 6**-0.5) < 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_inside_the_unit_circle_and_their_edges_are_distances(shape):
    grid = np.linspace(-1.6, 1.6, 161, dtype=np.float32)
    u, v = np.meshgrid(grid, grid)
    edge = distance(shape, u, v)
    assert edge.dtype == np.float32 and 0.1 < (edge < 0).mean() * 3.2**2 / np.pi < 1
    assert (np.hypot(u, v)[edge < 0] < 1.17).all()
    steepness = np.hypot(*np.gradient(edge, grid, grid))
    assert np.quantile(steepness, 0.98) < 1.1


@pytest.mark.parametrize("pattern", sorted({*TEXTURES, *BACKGROUNDS}))
def test_patterns_are_shares(pattern):
    a, b = np.meshgrid(*[np.linspace(0, 4, 200, dtype=np.float32)] * 2)
    share = paint(pattern, a, b, 0.1)
    assert share.dtype == np.float32 and share.min() >= 0 and share.max() <= 1
    assert pattern == "plain" or 0.05 < share.mean() < 0.95


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no shape is called 'blob'"):
        distance("blob", START, START)
    with pytest.raises(ValueError, match="no pattern is called 'blob'"):
        paint("blob", START, START, 0.1)


def test_every_shape_and_color_is_to_be_seen():
    scene = SCENES[0]
    for shape in range(len(SHAPES)):
        for color in range(len(COLORS)):
            things = (replace(scene.things[0], shape=shape, color=color), *scene.things[1:])
            bare = render(replace(scene, things=scene.things[1:], motion=replace(scene.motion, kind=0)), START, 32)
            drawn = render(replace(scene, things=things), START, 32)
            assert (np.abs(drawn.astype(int) - bare).max(-1) > 25).mean() > 0.01


def test_sizes_show_the_same_scene():
    for scene in SCENES[:8]:
        small, large = render(scene, START, 32)[0], render(scene, START, 128)[0]
        shrunk = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 9


@pytest.mark.parametrize("motion", range(len(MOTIONS)))
def test_every_motion_moves_what_is_seen_and_measured(motion):
    scene = replace(SCENES[1], motion=replace(SCENES[1].motion, kind=motion))
    times = np.arange(16, dtype=np.float32) / 8
    path = main_path(scene.motion, times)
    assert all(part.dtype == np.float32 and part.shape == (16,) for part in path)
    assert max(part.std() for part in path) > 0.005
    frames = render(scene, times, 32).astype(int)
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.2
    assert series.trace(KEYS[1], scene, 50).shape == (50, 5)


def test_round_things_that_spin_have_a_texture():
    spinning = [draw_scene(Key(3, 0, index)) for index in range(1500)]
    spinning = [
        scene
        for scene in spinning
        if MOTIONS[scene.motion.kind] == "spin" and SHAPES[scene.things[0].shape] in ("circle", "ring")
    ]
    assert spinning and all(scene.things[0].texture for scene in spinning)


def test_captions_tell_the_truth():
    for key, scene in zip(KEYS, SCENES, strict=True):
        first, second = text.write_captions(key, scene)
        assert first != second
        for caption in (first, second):
            words = f" {caption} "
            nouns = [
                shape for shape in SHAPES if any(f" {noun} " in words.replace(",", " ") for noun in text.NOUNS[shape])
            ]
            assert SHAPES[scene.things[0].shape] in nouns
            assert set(nouns) <= {SHAPES[thing.shape] for thing in scene.things}
            said = {
                motion
                for motion, pairs in text.VERBS.items()
                for pair in pairs
                for verb in pair
                if f" {verb} " in words
            }
            assert said - {"orbit"} <= {MOTIONS[scene.motion.kind]}
            assert "  " not in caption and " a a" not in caption and caption == caption.strip()


def test_both_captions_leave_things_out_and_use_other_words():
    captions = [text.write_captions(key, scene) for key, scene in zip(KEYS, SCENES, strict=True)]
    colored = [
        any(f" {word} " in f" {c[0]} " for word in text.COLOR_WORDS[COLORS[s.things[0].color]])
        for c, s in zip(captions, SCENES, strict=True)
    ]
    assert 0.7 < np.mean(colored) < 1
    shared = [len({*a.split()} & {*b.split()}) / len({*a.split()} | {*b.split()}) for a, b in captions]
    assert np.mean(shared) < 0.5


def test_sounds_follow_shape_color_and_motion():
    scene = SCENES[2]

    def changed(**parts):
        return audio.record(KEYS[2], replace(scene, things=(replace(scene.things[0], **parts), *scene.things[1:])))

    own = audio.record(KEYS[2], scene)
    assert not np.array_equal(own, changed(shape=(scene.things[0].shape + 1) % len(SHAPES)))
    assert not np.array_equal(own, changed(color=(scene.things[0].color + 1) % len(COLORS)))
    assert np.array_equal(own, changed(texture=0)) or scene.things[0].texture == 0
    moved = replace(scene, motion=replace(scene.motion, kind=(scene.motion.kind + 1) % len(MOTIONS)))
    assert not np.array_equal(own, audio.record(KEYS[2], moved))


def test_a_longer_trace_begins_with_the_shorter():
    np.testing.assert_array_equal(series.trace(KEYS[0], SCENES[0], 40), series.trace(KEYS[0], SCENES[0], 96)[:40])
