"""The README's commands run as written, on files such as a user has."""

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from PIL import Image

import unlabeled

README = (Path(__file__).parents[1] / "README.md").read_text()
TRAIN = [line for line in README.splitlines() if line.startswith("unlabeled train ") and "data." in line]
SMALL = ["training.steps=1", "training.batch_size=4", "data.workers=0"]
NAMES = ("cat", "dog", "fish", "bird")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the README's examples read: forty small files of each kind."""
    root = tmp_path_factory.mktemp("own")
    generator = np.random.default_rng(0)
    for folder in ("photos", "recordings", "clips"):
        (root / folder).mkdir()
    pictures = []
    for number in range(40):
        pixels = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        path = root / "photos" / f"{NAMES[number % 4]}{number // 4 or ''}.jpg"
        Image.fromarray(pixels).save(path)
        pictures.append({"bytes": path.read_bytes(), "path": path.name})
        soundfile.write(root / "recordings" / f"{number}.wav", generator.normal(0, 0.1, 16000), 16000)
        write_video(root / "clips" / f"{number}.mp4", generator.integers(0, 256, (10, 64, 64, 3), dtype=np.uint8))
    texts = [f"a {NAMES[number % 4]} sat on mat number {number} and looked at the moon " * 5 for number in range(40)]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), root / "corpus.parquet")
    (root / "corpus").mkdir()
    for number in range(4):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[number * 10 : number * 10 + 10])
        (root / "corpus" / f"train-{number}.jsonl").write_text(lines)
    columns = {"picture": pictures, "title": [text[:20] for text in texts], "keywords": [["animal", "mat"]] * 40}
    pyarrow.parquet.write_table(pyarrow.table(columns), root / "pairs.parquet")
    series = [json.dumps({"values": generator.normal(size=(30 + number, 2)).tolist()}) for number in range(40)]
    (root / "sensors.jsonl").write_text("\n".join(series))
    return root


def write_video(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_the_readme_shows_every_modality_and_a_stream() -> None:
    assert len(TRAIN) == 7


@pytest.mark.parametrize("line", TRAIN)
def test_own_data_trains_as_written(line: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    _, _, recipe, *overrides = shlex.split(line)
    run = unlabeled.train(recipe, [*overrides, *SMALL], run=tmp_path / "run", quiet=True)
    (metrics,) = run.read("metrics.jsonl")
    assert np.isfinite(metrics["loss"])
    assert not run.read("quarantine.jsonl")


def test_the_python_example_runs(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    (code,) = [part for part in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "unlabeled.train" in part]
    small = '"training.steps=1", "training.batch_size=8", "data.workers=0", "evaluation=[]", "data.options={items: {train: 32, test: 8, validation: 8}}"'
    scope: dict[str, Any] = {}
    exec(code.replace('"training.steps=100"', small), scope)
    assert scope["vectors"].shape == (1, scope["encoder"].encoder.width)
    assert scope["processor"] is not None


def test_recipes_named_in_the_readme_exist_and_all_are_named() -> None:
    from unlabeled_registry.registry import discover

    shipped = {component.name for component in discover().components("recipe")}
    named = set(re.findall(r"`((?:image|text|audio|video|timeseries)-\w+|clip|quickstart)`", README))
    assert named == shipped


def test_promises_name_tests_that_exist() -> None:
    for path in re.findall(
        r"`(?:[A-Z_]+=[A-Z]+ )?(?:pytest|python) (tests/[\w/. -]+?)(?: --\w+)?(?: [A-Z]+)?`", README
    ):
        for part in path.split():
            assert (Path(__file__).parents[1] / part).exists(), part
    assert os.access(Path(__file__).parents[1] / ".ci" / "run", os.X_OK)


def test_attacks_name_tests_that_exist() -> None:
    root = Path(__file__).parents[1]
    _, _, table = (
        (root / "core" / "ARCHITECTURE.md").read_text().partition("## Attacks, and the tests that refuse them")
    )
    rows = [line for line in table.partition("\n## ")[0].splitlines() if "test_" in line]
    assert len(rows) >= 25
    for row in rows:
        file = ""
        for path, name in re.findall(r"`([\w/.]*)(?:::(\w+))?`", row):
            file = path or file
            text = (root / "tests" / "registry" / file).read_text()
            assert not name or f"def {name}(" in text, f"{file}::{name}"
