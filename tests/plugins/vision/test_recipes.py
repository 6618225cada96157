"""The shipped recipes on a few pictures, and the manifest against the code it names."""

import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from transformers import AutoImageProcessor, AutoModel

import unlabeled
import unlabeled_vision
from unlabeled import Encoder, Modality, Transform
from unlabeled_vision.modality import Image, ImageConfig

PACKAGE = Path(unlabeled_vision.__file__).parent
SMALL = ["training.steps=6", "training.batch_size=8", "training.warmup_steps=1", "data.workers=0"]
WORLD = ["data.options={items: {train: 60, validation: 10, test: 20}}", "data.label=color"]
SMALLER = {
    "image-simclr": ["modalities.image.encoder.hidden_sizes=[8,16,32]"],
    "image-mae": ["modalities.image.encoder.hidden_size=48"],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("recipe", sorted(SMALLER))
def test_recipes_train_and_their_exports_load(recipe: str, tmp_path: Path, photo: np.ndarray) -> None:
    run = unlabeled.train(recipe, [*SMALL, *WORLD, *SMALLER[recipe]], run=tmp_path / "run", quiet=True)
    (line,) = run.read("evaluations.jsonl")
    assert set(line["baselines"]) == {"untrained", "raw"}
    assert 0 <= line["metrics"]["accuracy"] <= 1
    losses = [entry["loss"] for entry in run.read("metrics.jsonl")]
    assert np.isfinite(losses).all()
    folder = run.exports / "image"
    processor = AutoImageProcessor.from_pretrained(folder)
    options = {"add_pooling_layer": False} if recipe == "image-mae" else {}
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder, **options)(**processor(photo, return_tensors="pt")).last_hidden_state
    assert torch.isfinite(hidden).all()


def test_a_folder_of_pictures_trains_and_what_is_broken_is_set_aside(tmp_path: Path, photo: np.ndarray) -> None:
    for split, count in (("train", 24), ("test", 8)):
        for number in range(count):
            path = tmp_path / "photos" / split / ("light" if number % 2 else "dark") / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(np.roll(photo, number, axis=0) // (1 + 3 * (number % 2 == 0))).save(path)
    broken = tmp_path / "photos" / "train" / "light" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    options = [f"data.source={tmp_path / 'photos'}", *SMALL, *SMALLER["image-simclr"]]
    run = unlabeled.train("image-simclr", options, run=tmp_path / "run", quiet=True)
    assert any("corrupt or truncated" in entry["reason"] for entry in run.read("quarantine.jsonl"))
    (line,) = run.read("evaluations.jsonl")
    assert line["metrics"]["accuracy"] >= 0


def test_the_manifest_agrees_with_the_code() -> None:
    manifest = tomllib.loads((PACKAGE / "unlabeled.toml").read_text())
    bases = {"modality": Modality, "encoder": Encoder, "augmentation": Transform}
    for component in manifest["provides"]:
        module, name = component["object"].split(":")
        if component["kind"] == "recipe":
            assert (PACKAGE / name).is_file() and Path(name).stem == component["id"]
            continue
        found = getattr(import_module(module), name)
        assert issubclass(found, bases[component["kind"]])
        if component["kind"] == "encoder":
            assert found.provides == set(component["provides"])
    offered = {f"vision/{component['id']}" for component in manifest["provides"]}
    used = {step["id"] for steps in Image(ImageConfig(size=224)).pipelines().values() for step in steps}
    assert used <= offered
