"""Wrong recipes and inputs: one line for each problem, naming the place and the cure; exit code 2; no traceback."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import yaml

import unlabeled
from unlabeled import Config, UnlabeledError

Recipe = dict[str, Any]
Change = Callable[[Recipe], None]


def put(path: str, value: Any) -> Change:
    def change(recipe: Recipe) -> None:
        *parents, last = path.split(".")
        target: Any = recipe
        for part in parents:
            target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
        target[last] = value

    return change


def drop(path: str) -> Change:
    def change(recipe: Recipe) -> None:
        *parents, last = path.split(".")
        target: Any = recipe
        for part in parents:
            target = target[int(part)] if part.isdigit() else target[part]
        del target[last]

    return change


def both(*changes: Change) -> Change:
    def change(recipe: Recipe) -> None:
        for part in changes:
            part(recipe)

    return change


WRONG_RECIPES: list[tuple[Change, list[str]]] = [
    (put("trainin", {}), ["trainin: unknown key; did you mean training?"]),
    (put("training.learning_rat", 1), ["training.learning_rat: unknown key; did you mean learning_rate?"]),
    (put("training.steps", "many"), ["training.steps: input should be a valid integer", "not 'many'"]),
    (put("training.steps", -5), ["training.steps: input should be greater than 0, not -5"]),
    (drop("training.steps"), ["training: give either steps or epochs"]),
    (put("training.optimizer", "adamm"), ["training.optimizer: input should be 'adamw' or 'sgd', not 'adamm'"]),
    (put("training.precision", "fp8"), ["training.precision: input should be"]),
    (put("modalities.row.id", "rows/rwo"), ["modalities.row.id: unknown modality 'rows/rwo'; did you mean 'rows/row'?"]),
    (put("modalities.row.widht", 3), ["modalities.row.widht: unknown key; did you mean width?"]),
    (drop("modalities.row.width"), ["modalities.row.width: missing; add it"]),
    (put("modalities.row.width", "wide"), ["modalities.row.width: input should be a valid integer", "not 'wide'"]),
    (put("modalities.row.encoder", {"id": "vision/vit"}), ["modalities.row.encoder.id: vision/vit reads vision/image, not rows/row; choose "]),
    (put("modalities.row.encoder", {"id": "resnet-9000"}), ["modalities.row.encoder.id: unknown encoder 'resnet-9000'"]),
    (put("modalities", {}), ["modalities: dictionary should have at least 1 item"]),
    (drop("objectives"), ["objectives: missing; add it"]),
    (put("objectives.0.id", "align-unifrm"), ["objectives.0.id: unknown objective 'align-unifrm'; did you mean 'align-uniform'?"]),
    (put("objectives.0.id", "rows/corrupt"), ["objectives.0.id: 'rows/corrupt' is of kind 'augmentation'; here a 'objective' is needed"]),
    (put("objectives.0.on", ["rwo"]), ["objectives.0.on: no modality rwo in this recipe; did you mean row?"]),
    (put("objectives.0.weight", 0), ["objectives.0.weight: input should be greater than 0, not 0"]),
    (put("objectives.0.temperature", 1), ["objectives.0.temperature: unknown key"]),
    (put("objectives.0.masks", {"mask": {"id": "standard/random-masking"}}), ["objectives.0.masks.mask: rows/align-uniform has no such mask"]),
    (both(put("objectives.0.id", "standard/masked-reconstruction"), put("augmentations", {"row": {"weak": []}})), ["objectives.0: standard/masked-reconstruction cannot run on row", "drop-tokens", "choose another encoder"]),
    (both(put("objectives.0.id", "crossmodal/clip"), put("augmentations", {"row": {"weak": []}})), ["objectives.0: crossmodal/clip needs two modalities; add another under modalities"]),
    (put("augmentations", {"rwo": {}}), ["augmentations.rwo: no modality rwo in this recipe; did you mean row?"]),
    (put("augmentations", {"row": {"weak": []}}), ["augmentations.row.weak: no objective asks for this role (used: strong); remove it, as augmentations={} does"]),
    (put("augmentations", {"row": {"strong": [{"id": "rows/corupt"}]}}), ["augmentations.row.strong.0.id: unknown augmentation 'rows/corupt'; did you mean 'rows/corrupt'?"]),
    (put("augmentations", {"row": {"strong": [{"id": "vision/flip"}]}}), ["augmentations.row.strong.0.id: vision/flip changes vision/image, not rows/row; choose another"]),
    (put("evaluation", [{"id": "standard/linear-prob"}]), ["evaluation.0.id: unknown evaluator 'standard/linear-prob'; did you mean 'standard/linear-probe'?"]),
    (put("data.columns", {"text": "values"}), ["data.columns.text: no modality text in this recipe"]),
    (drop("data.source"), ["data.source: missing; give files, a folder, a hub name, or sample:world"]),
]  # fmt: skip

WRONG_DATA: list[tuple[Change, list[str]]] = [
    (put("data.source", "no/such/file.parquet"), ["no/such/file.parquet: no such file; check the path"]),
    (put("data.source", "sample:wrold"), ["data.source: unknown source 'wrold'; did you mean 'world'?"]),
    (put("data.source", "./photos.xyz"), ["data.source: ./photos.xyz is no folder and no table"]),
    (put("data.columns", {"row": "valeus"}), ["data.columns.row: no column valeus; did you mean values?"]),
    (put("data.label", "lable"), ["data.label: no column lable; did you mean label?"]),
    (put("data.split_column", "split"), ["no column split"]),
    (put("data.where", {"label": 77}), ["no rows left; check `where`"]),
    (put("data.options", {"items": 3}), ["data.options: only a sample: source has options; remove items"]),
    (both(put("data.streaming", True), put("data.source", "sample:world")), ["data.streaming: sample:world is made, not streamed; remove data.streaming"]),
    (both(put("data.streaming", True), put("data.where", {"label": 1})), ["data: where, without and split_column would read the whole stream", "set data.streaming=false"]),
    (both(put("data.streaming", True), put("data.splits", {"train": {"split": "dev"}})), ["data.splits.train: ", "no split dev; there are: train"]),
    (both(put("data.streaming", True), put("data.source", "no/such/file.jsonl")), ["no/such/file.jsonl: no such file; check the path"]),
    (both(put("data.streaming", True), put("data.source", "nobody/nothing")), ["nobody/nothing: cannot be read (", "check the path, or the name and the network"]),
    (put("training.batch_size", 100_000), ["training.batch_size: 100000 is more than the", "set training.batch_size to at most"]),
    (put("evaluation", [{"id": "standard/linear-probe", "test": "tset"}]), ["evaluation.0.test: no split tset in the data; there are: train, test"]),
    (put("modalities.row.width", 7), ["cells in a row could not be decoded", "row: expected 7 finite numbers"]),
]  # fmt: skip


def problems_of(recipe: Recipe, folder: Path) -> tuple[str, ...]:
    with pytest.raises(UnlabeledError) as error:
        unlabeled.train(recipe, run=folder / "run", quiet=True)
    return error.value.problems


@pytest.mark.parametrize(("change", "parts"), WRONG_RECIPES)
def test_a_wrong_recipe_is_told_in_one_line(
    change: Change, parts: list[str], rows_recipe: Recipe, tmp_path: Path
) -> None:
    change(rows_recipe)
    problems = problems_of(rows_recipe, tmp_path)
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    for part in parts:
        assert part in problems[0]
    assert not (tmp_path / "run").exists(), "nothing was touched"


@pytest.mark.parametrize(("change", "parts"), WRONG_DATA)
def test_wrong_data_are_told_in_one_line(change: Change, parts: list[str], rows_recipe: Recipe, tmp_path: Path) -> None:
    change(rows_recipe)
    problems = problems_of(rows_recipe, tmp_path)
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    for part in parts:
        assert part in problems[0]


def test_all_problems_of_a_round_are_told_at_once(rows_recipe: Recipe, tmp_path: Path) -> None:
    for change in (
        put("training.stepps", 5),
        put("training.batch_size", "big"),
        put("modalities.row.widht", 3),
        put("evaluation", [{"id": "standard/nothing"}]),
        put("data.columns", {"image": "values"}),
    ):
        change(rows_recipe)
    problems = problems_of(rows_recipe, tmp_path)
    places = [problem.partition(":")[0] for problem in problems]
    assert set(places) == {
        "training.stepps",
        "training.batch_size",
        "modalities.row.widht",
        "evaluation.0.id",
        "data.columns.image",
    }


def test_a_view_that_the_modality_has_no_augmentations_for(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unlabeled_rows

    monkeypatch.setattr(unlabeled_rows.Row, "pipelines", lambda self: {})
    (problem,) = problems_of(rows_recipe, tmp_path)
    assert problem == (
        "augmentations.row.strong: missing; rows/row has no default of this role (it has: none); write a list of "
        "augmentations, [] for none"
    )


def test_options_called_like_keys_of_the_entry(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unlabeled_rows

    class Weighted(Config):
        weight: float = 2.0

    monkeypatch.setattr(unlabeled_rows.AlignUniform, "Config", Weighted)
    (problem,) = problems_of(rows_recipe, tmp_path)
    assert problem == (
        "objectives.0.id: rows/align-uniform has options called weight, which mean something else in every "
        "objective's entry; its plugin must rename them"
    )


def table(path: Path, columns: dict[str, Any]) -> str:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def test_empty_data(rows_recipe: Recipe, tmp_path: Path) -> None:
    empty = pyarrow.schema([("values", pyarrow.list_(pyarrow.float64())), ("label", pyarrow.int64())]).empty_table()
    pyarrow.parquet.write_table(empty, tmp_path / "empty.parquet")
    rows_recipe["data"]["source"] = str(tmp_path / "empty.parquet")
    (problem,) = problems_of(rows_recipe, tmp_path)
    assert "empty.parquet" in problem or "holds no rows" in problem


def test_one_sample(rows_recipe: Recipe, tmp_path: Path) -> None:
    rows_recipe["data"]["source"] = table(tmp_path / "one.parquet", {"values": [[0.0] * 32], "label": [1]})
    (problem,) = problems_of(rows_recipe, tmp_path)
    assert "32 is more than the 1 training samples" in problem


def test_a_file_that_is_no_table(rows_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_text("not a table")
    rows_recipe["data"]["source"] = str(tmp_path / "bad.parquet")
    (problem,) = problems_of(rows_recipe, tmp_path)
    assert "bad.parquet: cannot be read" in problem
    assert "check that it is a readable table" in problem


def test_too_many_bad_cells_stop_the_run_and_name_the_file(rows_recipe: Recipe, tmp_path: Path) -> None:
    values = np.zeros((100, 32)).tolist()
    for row in range(0, 100, 2):
        values[row][3] = float("nan")
    rows_recipe["data"]["source"] = table(tmp_path / "nan.parquet", {"values": values, "label": [0] * 100})
    rows_recipe["training"]["batch_size"] = 20
    (problem,) = problems_of(rows_recipe, tmp_path)
    assert "cells could not be decoded, more than data.max_bad=0.1" in problem
    assert "quarantine.jsonl" in problem


def test_the_command_line_prints_lines_and_exits_with_2(
    rows_recipe: Recipe, tmp_path: Path, command: Callable[..., Any]
) -> None:
    wrong = copy.deepcopy(rows_recipe)
    wrong["training"]["stepps"] = 3
    wrong["objectives"][0]["weight"] = -1
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    found = command("train", str(tmp_path / "wrong.yaml"))
    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 2
    assert all(line.startswith("error: ") for line in found.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("train", "quikstart"), ["unknown recipe 'quikstart'; did you mean 'quickstart'?"]),
        (("train", "no.yaml"), ["no.yaml: cannot be read"]),
        (("train", "quickstart", "training.steps"), ["training.steps: an override is key=value, such as training.steps=100"]),
        (("train", "quickstart", "objectives.7.weight=1"), ["objectives.7.weight=1: no member 7; known: clip"]),
        (("train", "quickstart", "summary.x.y=1", "training.stps=2"), ["training.stps: unknown key; did you mean steps?"]),
        (("export", "nowhere", "out"), ["nowhere: not a run folder", "give the folder that `train --run` wrote"]),
        (("evaluate", "nowhere"), ["nowhere: not a run folder"]),
        (("embed", "nowhere", "sample:world", "--out", "x.parquet"), ["nowhere: not an export"]),
    ],
)  # fmt: skip
def test_wrong_commands(arguments: tuple[str, ...], parts: list[str], command: Callable[..., Any]) -> None:
    found = command(*arguments)
    assert found.returncode == 2, found.stderr
    assert "Traceback" not in found.stderr
    for part in parts:
        assert part in found.stderr


def test_yaml_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("training: {steps: 5\nmodalities: [")
    with pytest.raises(UnlabeledError, match=r"broken.yaml, line 2: .*; mend the YAML"):
        unlabeled.train(tmp_path / "broken.yaml", quiet=True)
