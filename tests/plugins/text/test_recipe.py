"""The shipped recipe on a few captions, and the objective on texts that are not packed."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

import unlabeled

SMALL = [
    "data.options.items={train: 120, validation: 20, test: 40}",
    "data.workers=0",
    "training.steps=30",
    "training.batch_size=16",
    "training.warmup_steps=5",
    "modalities.text.encoder.hidden_size=32",
    "modalities.text.max_length=32",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))


def evaluation(run: unlabeled.Run) -> dict[str, Any]:
    (line,) = run.read("evaluations.jsonl")
    return line


def test_recipe_learns_and_its_export_loads(tmp_path: Path) -> None:
    run = unlabeled.train("text-mlm", SMALL, run=tmp_path / "run", quiet=True)
    line = evaluation(run)
    assert line["evaluator"] == "text/masked-prediction"
    assert set(line["baselines"]) == {"untrained", "raw"}
    assert line["metrics"]["loss"] < line["baselines"]["untrained"]["loss"] - 0.3
    folder = run.exports / "text"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.model_max_length == 32


def test_captions_that_are_not_packed_train_too(tmp_path: Path) -> None:
    whole_words = "objectives.0.masks.mask={id: text/whole-word-masking, ratio: 0.15}"
    options = [*SMALL, "modalities.text.pack=false", whole_words, "training.micro_batches=2"]
    line = evaluation(unlabeled.train("text-mlm", options, run=tmp_path / "run", quiet=True))
    assert line["metrics"]["loss"] < line["baselines"]["untrained"]["loss"] - 0.3
    assert 0 < line["baselines"]["raw"]["accuracy"] < 1


def test_text_files_in_a_folder_are_read(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("test", 2)):
        (tmp_path / "texts" / split).mkdir(parents=True)
        for number in range(count):
            words = " ".join(f"word{(number * 7 + place) % 23}" for place in range(80))
            (tmp_path / "texts" / split / f"{number}.txt").write_text(words)
    options = [
        f"data.source={tmp_path / 'texts'}",
        "training.steps=2",
        "training.batch_size=4",
        "training.warmup_steps=1",
    ]
    kept = [option for option in SMALL if option.startswith(("modalities", "data.workers"))]
    run = unlabeled.train("text-mlm", [*kept, *options], run=tmp_path / "run", quiet=True)
    assert evaluation(run)["metrics"]["loss"] > 0


def test_a_stream_is_not_packed(tmp_path: Path) -> None:
    lines = "".join(f'{{"text": "word{number % 7} and word{number % 5}"}}\n' for number in range(60))
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text(lines)
    files = ",".join(str(path) for path in sorted(tmp_path.glob("*.jsonl")))
    kept = [option for option in SMALL if not option.startswith("data.options")]
    stream = [*kept, f"data.source=[{files}]", "data.streaming=true", "training.steps=2", "training.warmup_steps=1"]
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train("text-mlm", stream, run=tmp_path / "packed", quiet=True)
    (problem,) = error.value.problems
    assert problem.startswith("modalities.text.pack: samples cut from the whole column")
    assert problem.endswith("set modalities.text.pack=false, or data.streaming=false")
    run = unlabeled.train("text-mlm", [*stream, "modalities.text.pack=false"], run=tmp_path / "run", quiet=True)
    assert evaluation(run)["data"]["samples"] == {"train": 162, "test": 18}
