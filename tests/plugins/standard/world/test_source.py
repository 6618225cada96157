"""The rows of `sample:world`."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from unlabeled_standard.world import World, WorldConfig, source

CONFIG = WorldConfig(items={"train": 40, "validation": 5, "test": 7}, frames=4)
COLUMNS = ("image", "text", "audio", "video", "series", "label", "shape", "color", "texture", "motion", "background")
GOLDEN = "95c214c2d1d8c2ad"  # of row 3 of split train; where it must change, so must VERSION

DIGEST = """
import sys
from test_source import CONFIG, digest
from unlabeled_standard.world import World
print(*(digest(World(CONFIG, "train").row(int(i), sys.argv[1].split(","))) for i in sys.argv[2:]))
"""


def digest(row):
    """SHA-256 of every byte of a row."""
    total = hashlib.sha256()

    def add(name, cell):
        total.update(name.encode())
        if isinstance(cell, dict):
            for key in sorted(cell):
                add(key, cell[key])
        elif isinstance(cell, np.ndarray):
            total.update(f"{cell.dtype} {cell.shape}".encode() + np.ascontiguousarray(cell).tobytes())
        else:
            total.update(json.dumps(cell).encode())

    for column in sorted(row):
        add(column, row[column])
    return total.hexdigest()[:16]


@pytest.fixture(scope="module")
def world():
    return World(CONFIG, "train")


def test_cells_have_the_types_that_modalities_read(world):
    row = world.row(0, COLUMNS)
    assert tuple(row) == COLUMNS == tuple(world.columns)
    assert row["image"].shape == (48, 48, 3) and row["image"].dtype == np.uint8
    assert len(row["text"]) == 2 and all(isinstance(caption, str) for caption in row["text"])
    assert row["audio"]["array"].shape == (8000,) and row["audio"]["array"].dtype == np.float32
    assert row["audio"]["sampling_rate"] == 8000
    assert row["video"]["frames"].shape == (4, 48, 48, 3) and row["video"]["frames"].dtype == np.uint8
    assert row["video"]["fps"] == 8
    assert row["series"].shape == (96, 5) and row["series"].dtype == np.float32
    assert all(type(row[column]) is int for column, kind in world.columns.items() if kind == "label")


def test_order_and_other_columns_change_nothing(world):
    whole = [world.row(index, COLUMNS) for index in (5, 3, 9)]
    for index, row in zip((5, 3, 9), whole, strict=True):
        for column in reversed(COLUMNS):
            assert digest(World(CONFIG, "train").row(index, [column])) == digest({column: row[column]})


def test_another_process_makes_the_same_bytes(world):
    command = [sys.executable, "-c", DIGEST, ",".join(COLUMNS), "7", "3"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": path})
    assert printed.stdout.split() == [digest(world.row(7, COLUMNS)), digest(world.row(3, COLUMNS))]


def test_the_bytes_are_those_of_this_version(world):
    assert source.VERSION == 2
    assert digest(world.row(3, COLUMNS)) == GOLDEN


def test_values_are_finite_and_in_range(world):
    for index in range(12):
        row = world.row(index, ["audio", "series", "image"])
        sound = row["audio"]["array"]
        assert np.abs(sound).max() <= 1 and sound.std() > 1e-3
        assert np.isfinite(row["series"]).all() and (row["series"].std(0) > 0.05).all()
        assert row["image"].std() > 3


def test_splits_seeds_and_rows_differ():
    splits = [World(CONFIG, name) for name in World.splits(CONFIG)]
    assert [len(split) for split in splits] == [40, 5, 7]
    other = World(CONFIG.model_copy(update={"seed": 1}), "train")
    worlds = [*splits, other]
    images = [world.row(index, ["image"])["image"].tobytes() for world in worlds for index in range(5)]
    assert len(set(images)) == len(images)


def test_a_row_does_not_depend_on_how_many_there_are(world):
    larger = World(WorldConfig(**(CONFIG.model_dump() | {"items": {"train": 400}})), "train")
    assert digest(larger.row(11, COLUMNS)) == digest(world.row(11, COLUMNS))


def test_only_what_is_asked_for_is_rendered(world, monkeypatch):
    def refuse(*_):
        raise AssertionError("rendered without being asked for")

    for module, name in ((source, "render"), (source.audio, "record"), (source.series, "trace")):
        monkeypatch.setattr(module, name, refuse)
    assert set(world.row(0, ["text", "label"])) == {"text", "label"}
    monkeypatch.setattr(source.text, "write_captions", refuse)
    assert set(world.row(0, ["motion"])) == {"motion"}
    assert world.row(0, []) == {}


def test_image_is_the_first_frame(world):
    row = world.row(2, ["image", "video"])
    assert np.array_equal(row["image"], row["video"]["frames"][0])


def test_labels_have_names(world):
    seen = {column: set() for column, kind in world.columns.items() if kind == "label"}
    for index in range(len(world)):
        for column, value in world.row(index, list(seen)).items():
            seen[column].add(value)
    for column, values in seen.items():
        names = world.label_names(column)
        assert values <= set(range(len(names))) and len(values) > len(names) // 2
    assert world.label_names("label") == world.label_names("shape")
    assert world.label_names("image") is None


def test_fingerprint_follows_the_configuration_and_the_split(world):
    configs = [CONFIG, CONFIG.model_copy(update={"seed": 1}), CONFIG.model_copy(update={"size": 64})]
    prints = {World(config, split).fingerprint() for config in configs for split in World.splits(config)}
    assert len(prints) == 9
    assert world.fingerprint() == World(CONFIG, "train").fingerprint()


def test_errors_say_what_exists(world):
    with pytest.raises(ValueError, match="no split 'dev'; it has train, validation, test"):
        World(CONFIG, "dev")
    with pytest.raises(ValueError, match="no column 'images'; it has image, text"):
        world.row(0, ["images"])
    for index in (-1, 40):
        with pytest.raises(IndexError, match=f"no row {index} in 'train'; it has rows 0 to 39"):
            world.row(index, ["label"])
    for wrong in ({"sise": 48}, {"size": 8}, {"items": {"train": 0}}, {"items": {"dev": 1}}, {"seed": -1}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            WorldConfig(**wrong)
