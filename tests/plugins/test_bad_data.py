"""Every modality with corrupt cells among the good ones: the run finishes, logs them once an epoch, and repeats exactly."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image as Pillow
from PIL import ImageFile

import unlabeled
from unlabeled.data.order import sample_positions, step_positions
from unlabeled.recipes.load import load_recipe
from unlabeled.training.trainer import Trainer
from unlabeled_registry.registry import discover

from ..core.training.checkpoints.test_continuation import assert_same_run, train_and_kill

ROWS, BATCH, BAD = 40, 8, (3, 21)
SHORT = [f"training.batch_size={BATCH}", "training.epochs=2", "training.steps=null", "training.warmup_steps=0"]
SHORT += ["training.log_every=1", "training.checkpoint_every=3", "data.label=null", "data.options={}", "evaluation=[]"]
SHORT += ["training.device=cpu", "training.threads=1"]
Write = Callable[[Path], list[str]]


def files(
    folder: Path, suffix: str, write: Callable[[Path, int], None], spoil: Sequence[Callable[[bytes], bytes]]
) -> str:
    """A folder of ROWS files in train, two of them spoilt, and two in test."""
    for split, rows in (("train", ROWS), ("test", 2)):
        (folder / split).mkdir(parents=True)
        for number in range(rows):
            write(folder / split / f"{number:03}{suffix}", number)
    for number, corrupt in zip(BAD, spoil, strict=True):
        path = folder / "train" / f"{number:03}{suffix}"
        path.write_bytes(corrupt(path.read_bytes()))
    return f"data.source={folder}"


def images(folder: Path) -> list[str]:
    """One JPEG that ends in the middle of its pixels, and one file of no bytes."""

    def write(path: Path, number: int) -> None:
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(path, quality=90)

    source = files(folder, ".jpg", write, [lambda content: content[: len(content) * 2 // 3], lambda content: b""])
    return [
        source,
        "modalities.image.size=16",
        "modalities.image.encoder.hidden_sizes=[8,16]",
        "modalities.image.encoder.depths=[1,1]",
    ]


def sounds(folder: Path) -> list[str]:
    """One wav with a header and no samples, and one that ends within its header."""
    import soundfile

    def write(path: Path, number: int) -> None:
        empty = number == BAD[0] and path.parent.name == "train"
        soundfile.write(path, np.random.default_rng(number).normal(size=0 if empty else 4000) * 0.1, 8000)

    source = files(folder, ".wav", write, [lambda content: content, lambda content: content[:30]])
    return [
        source,
        "modalities.audio.clip=0.2",
        "modalities.audio.evaluation_clip=0.2",
        "modalities.audio.encoder.hidden_sizes=[8,16,16]",
    ]


def videos(folder: Path) -> list[str]:
    """One mp4 without a frame, and one that can be decoded up to the middle, where it is cut."""
    import av

    def write(path: Path, number: int) -> None:
        empty = number == BAD[0] and path.parent.name == "train"
        frames = np.random.default_rng(number).integers(0, 256, (0 if empty else 6, 32, 32, 3), dtype=np.uint8)
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.width = stream.height = 32
            container.start_encoding()
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))

    source = files(folder, ".mp4", write, [lambda content: content, lambda content: content[: len(content) // 2]])
    encoder = ["hidden_sizes=[8,16,16]", "depths=[1,1,1]", "embedding_size=8"]
    return [
        source,
        "modalities.video.size=16",
        "modalities.video.frames=2",
        *(f"modalities.video.encoder.{it}" for it in encoder),
    ]


def series(folder: Path) -> list[str]:
    """One series with NaN in it, and one of NaN alone."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir()
    values = np.random.default_rng(0).normal(size=(ROWS, 20)).cumsum(axis=1)
    pyarrow.parquet.write_table(pyarrow.table({"values": values[:2].tolist()}), folder / "test.parquet")
    values[BAD[0], 4], values[BAD[1]] = np.nan, np.nan
    pyarrow.parquet.write_table(pyarrow.table({"values": values.tolist()}), folder / "train.parquet")
    splits = [f"data.splits.{name}.source={folder / name}.parquet" for name in ("train", "test")]
    return [*splits, "data.source=null", "data.columns.series=values", "modalities.series.encoder.width=8"]


def texts(folder: Path) -> list[str]:
    """One text in Latin-1, and one in UTF-16."""

    def write(path: Path, number: int) -> None:
        path.write_text(" ".join(f"wörd{(number * 7 + place) % 23}" for place in range(12)))

    spoil = [lambda content: content.decode().encode("latin-1"), lambda content: content.decode().encode("utf-16")]
    small = ["hidden_size=16", "layers=1", "heads=2"]
    return [
        files(folder, ".txt", write, spoil),
        "modalities.text.max_length=16",
        *(f"modalities.text.encoder.{it}" for it in small),
    ]


KINDS: dict[str, tuple[str, Write, list[str], tuple[str, str]]] = {
    "image": ("image-simclr", images, [], ("is corrupt or truncated", "is in no known image format")),
    "audio": ("audio-simclr", sounds, [], ("the audio holds no samples", "cannot be read as audio")),
    "video": ("video-simclr", videos, [], ("the file holds no video stream", "the file is cut short")),
    "series": ("timeseries-simclr", series, [], ("series has missing values", "series has missing values")),
    "text": ("text-mlm", texts, ["modalities.text.pack=false"], ("the text is not UTF-8", "the text is not UTF-8")),
    "packed text": ("text-mlm", texts, [], ("the text is not UTF-8", "the text is not UTF-8")),
}


class Case:
    """A recipe on corrupt files, and its run with no workers."""

    def __init__(self, kind: str, root: Path) -> None:
        name, write, options, self.reasons = KINDS[kind]
        self.root, self.packed = root, kind == "packed text"
        self.recipe = load_recipe(name, [*SHORT, *write(root / "data"), *options], discover())
        self.seen: list[list[int]] = []
        step = Trainer._step

        def recorded(trainer: Trainer, batches: Any) -> dict[str, float]:
            self.seen.append([int(number) for micro in batches.micro_batches for number in micro.ids])
            return step(trainer, batches)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "_step", recorded)
            self.run = self.train("0")

    def train(self, workers: str) -> unlabeled.Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNLABELED_CACHE", str(self.root / f"cache-{workers}"))
            return unlabeled.train(self.recipe, [f"data.workers={workers}"], run=self.root / workers, quiet=True)


@pytest.fixture(scope="module", params=list(KINDS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(request.param, tmp_path_factory.mktemp("bad-data"))


def assert_same_files(one: Path, other: Path) -> None:
    assert_same_run(one, other)
    assert (one / "quarantine.jsonl").read_text() == (other / "quarantine.jsonl").read_text()


def test_corrupt_cells_are_logged_once_an_epoch_with_the_reason(case: Case) -> None:
    lines = case.run.read("quarantine.jsonl")
    assert sorted((line["epoch"], line["id"]) for line in lines) == [(epoch, row) for epoch in range(2) for row in BAD]
    for line in lines:
        assert case.reasons[BAD.index(line["id"])] in line["reason"]
        assert "\n" not in line["reason"]


def test_batches_stay_full_and_in_order(case: Case) -> None:
    assert all(len(ids) == BATCH for ids in case.seen)
    assert len(case.run.read("metrics.jsonl")) == len(case.seen) > 2
    if case.packed:
        return
    for step, ids in enumerate(case.seen):
        epoch, positions = step_positions(step, ROWS, BATCH, True)
        due = sample_positions(0, epoch, positions, ROWS).tolist()
        assert all((found == row) != (row in BAD) for found, row in zip(ids, due, strict=True))
        assert not set(ids) & set(BAD)


def test_workers_change_nothing(case: Case) -> None:
    assert_same_files(case.run.folder, case.train("3").folder)


@pytest.mark.slow
def test_one_worker_and_kills_change_nothing(case: Case, rows_plugin: Path, tmp_path: Path) -> None:
    assert_same_files(case.run.folder, case.train("1").folder)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(case.recipe))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))
        codes = [
            train_and_kill(recipe, tmp_path / "run", rows_plugin, at, f"data.workers={workers}")
            for at, workers in ((2, 0), (len(case.seen) - 1, 3), (None, 1))
        ]
    assert codes[0] == -9 and codes[-1] == 0
    assert_same_files(case.run.folder, tmp_path / "run")


def test_pillow_is_not_told_to_make_up_what_is_missing() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, (
        "a truncated picture would come back grey below, and pass for a good one"
    )
    assert "LOAD_TRUNCATED_IMAGES" not in os.environ
