"""The shipped recipes, small: on the sample world, and on a table with transparent pictures, several captions and gaps."""

import io
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image as Pillow

import unlabeled

TINY = ["data.workers=0", "data.cache=false", "training.threads=1"]
WORLD = ["data.options.items.train=256", "data.options.items.test=64"]
SMALL = [
    "modalities.image.encoder={id: vision/convnext, hidden_sizes: [16, 32], depths: [1, 1]}",
    "modalities.text.encoder.hidden_size=32",
    "modalities.text.encoder.layers=1",
    "objectives.0.projection=16",
    "training.batch_size=32",
]
COLORS = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


def test_quickstart_aligns_and_exports(tmp_path: Path) -> None:
    options = [*TINY, *WORLD, *SMALL, "training.steps=60", "training.learning_rate=3e-3", "training.warmup_steps=5"]
    run = unlabeled.train("quickstart", options, run=tmp_path / "run", quiet=True)
    lines = {(line["evaluator"], line["on"]): line for line in run.read("evaluations.jsonl")}
    assert set(lines) == {
        ("standard/retrieval", "image->text"),
        ("standard/retrieval", "text->image"),
        ("crossmodal/zero-shot", "image->text"),
    }
    for line in lines.values():
        assert set(line["baselines"]) == {"untrained", "raw"}
    for direction in ("image->text", "text->image"):
        line = lines["standard/retrieval", direction]
        assert line["metrics"]["recall@10"] > line["baselines"]["untrained"]["recall@10"]
    metrics = run.read("metrics.jsonl")
    assert metrics[-1]["clip/image-text"] < metrics[0]["clip/image-text"] - 0.2
    assert {path.name for path in run.exports.iterdir()} == {"image", "text", "dual-encoder"}
    assert "standard/retrieval" in (run.exports / "dual-encoder" / "README.md").read_text()


@pytest.mark.slow
def test_quickstart_as_shipped_finds_five_times_what_untrained_encoders_find(tmp_path: Path) -> None:
    run = unlabeled.train("quickstart", run=tmp_path / "run", quiet=True)
    for line in run.read("evaluations.jsonl"):
        if line["evaluator"] == "standard/retrieval":
            assert line["metrics"]["recall@1"] > max(0.1, 5 * line["baselines"]["untrained"]["recall@1"])


@pytest.fixture
def stickers(tmp_path: Path) -> Path:
    """40 discs on a transparent ground, with a name and keywords; some have no keywords, no name, or no picture."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(40):
        name = list(COLORS)[number % len(COLORS)]
        radius = random.uniform(5, 9)
        inside = np.hypot(*(np.mgrid[0:20, 0:20] - 9.5)) < radius
        pixels = np.zeros((20, 20, 4), np.uint8)
        pixels[inside] = (*COLORS[name], 255)
        file = io.BytesIO()
        Pillow.fromarray(pixels, "RGBA").save(file, "png")
        rows.append(
            {
                "image": None if number == 7 else {"bytes": file.getvalue(), "path": f"{number}.png"},
                "name": None if number == 9 else f"{name} disc",
                "keywords": None if number % 5 == 0 else ["round", "large" if radius > 7 else "small"],
                "split": "test" if number >= 32 else "train",
            }
        )
    rows[9]["keywords"] = None
    path = tmp_path / "stickers.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_clip_reads_several_captions_and_rows_with_gaps(stickers: Path, tmp_path: Path, micro_batches: int) -> None:
    options = [
        *TINY,
        *SMALL,
        f"data.source={stickers}",
        "data.split_column=split",
        "data.columns={image: image, text: [name, keywords]}",
        "data.label=null",
        "training.batch_size=16",
        f"training.micro_batches={micro_batches}",
        "training.steps=4",
        "training.log_every=1",
    ]
    run = unlabeled.train("clip", options, run=tmp_path / "run", quiet=True)
    losses = [line["loss"] for line in run.read("metrics.jsonl")]
    assert len(losses) == 4 and np.isfinite(losses).all()
    assert not run.read("quarantine.jsonl")
    assert {line["on"] for line in run.read("evaluations.jsonl")} == {"image->text", "text->image"}


def test_siglip_takes_the_place_of_clip(tmp_path: Path) -> None:
    options = [
        *TINY,
        *WORLD,
        *SMALL[:3],
        "training.batch_size=32",
        "objectives=[{id: crossmodal/siglip, projection: 16}]",
        "training.steps=60",
        "training.learning_rate=3e-3",
        "training.warmup_steps=5",
    ]
    run = unlabeled.train("quickstart", options, run=tmp_path / "run", quiet=True)
    lines = {(line["evaluator"], line["on"]): line for line in run.read("evaluations.jsonl")}
    for direction in ("image->text", "text->image"):
        line = lines["standard/retrieval", direction]
        assert line["metrics"]["recall@10"] > line["baselines"]["untrained"]["recall@10"]
    metrics = run.read("metrics.jsonl")
    assert metrics[-1]["siglip/image-text"] < metrics[0]["siglip/image-text"] - 0.2
    assert {path.name for path in run.exports.iterdir()} == {"image", "text", "dual-encoder"}
