"""Each kind of collapse raises its own sign, with value, threshold, source and remedy; a healthy run raises none."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import unlabeled
from unlabeled.recipes.schema import TrainingConfig
from unlabeled.training.monitors import effective_rank, feature_spread
from unlabeled.training.safety.collapse import PATIENCE, find_collapse

Recipe = dict[str, Any]
CHANCE = math.log(255)
HEALTHY = {
    "loss": 3.0,
    "simclr/contrast": 3.0,
    "simclr/contrast.chance_loss": CHANCE,
    "simclr/image.first/spread": 0.9,
    "simclr/image.first/effective_rank": 40.0,
    "wav2vec2/codebook_perplexity_1": 12.0,
    "dino/teacher_entropy": 6.0,
    "dino/teacher_classes": 4096.0,
}


@pytest.mark.parametrize(
    ("collapsed", "sign", "parts"),
    [
        (
            {"simclr/image.first/spread": 0.01},
            "spread of simclr/image.first",
            ["nearly all the same", "spread 0.01, threshold 0.05", "SimSiam", "lower the learning rate"],
        ),
        (
            {"simclr/image.first/effective_rank": 1.1},
            "effective rank of simclr/image.first",
            ["nearly on one line", "effective rank 1.1, threshold 1.5", "RankMe", "weaken the augmentations"],
        ),
        (
            {"wav2vec2/codebook_perplexity_1": 1.2},
            "perplexity of wav2vec2/codebook_perplexity_1",
            ["one entry of the codebook", "perplexity 1.2, threshold 2", "wav2vec 2.0", "diversity loss"],
        ),
        (
            {"simclr/contrast": CHANCE - 0.01},
            "information of simclr/contrast",
            ["stays at 5.541", "information 0.01, threshold 0.02", "van den Oord", "raise the learning rate"],
        ),
        (
            {"dino/teacher_entropy": math.log(4096) - 0.01},
            "entropy of dino/teacher_entropy",
            ["4096 classes are equally likely", "entropy 8.31, threshold 8.23", "DINO", "teacher's temperature"],
        ),
    ],
)
def test_each_collapse_raises_its_own_sign(collapsed: dict[str, float], sign: str, parts: list[str]) -> None:
    assert find_collapse(HEALTHY) == []
    (found,) = find_collapse(HEALTHY | collapsed)
    assert found.key == sign
    for part in parts:
        assert part in str(found)


def test_of_several_signs_the_cause_is_told() -> None:
    everything = {"simclr/image.first/spread": 0.0, "simclr/image.first/effective_rank": 1.0, "simclr/contrast": CHANCE}
    assert [sign.sign for sign in find_collapse(HEALTHY | everything)] == ["spread"]
    one_entry = {"wav2vec2/codebook_perplexity_1": 1.0, "wav2vec2/c": 0.0, "wav2vec2/c.chance_loss": 0.0}
    assert [sign.sign for sign in find_collapse(HEALTHY | one_entry)] == ["perplexity"]


def test_the_chance_level_is_no_sign_while_a_run_is_young() -> None:
    at_chance = HEALTHY | {"simclr/contrast": CHANCE}
    assert find_collapse(at_chance, share=0.49) == []
    assert len(find_collapse(at_chance, share=0.5)) == 1


def test_the_recipe_says_how_long_it_must_last() -> None:
    assert f"lasts for {PATIENCE} logged steps" in str(TrainingConfig.model_fields["stop_on_collapse"].description)


def equal_features(value: torch.Tensor) -> torch.Tensor:
    """Directions that differ by a thousandth."""
    return torch.nn.functional.normalize(torch.ones_like(value) + 1e-3 * value, dim=1) + 0.0 * value


def one_line(value: torch.Tensor) -> torch.Tensor:
    """Two opposite directions: as spread out as can be, but of rank one."""
    sign = torch.where(torch.arange(len(value)) % 2 == 0, 1.0, -1.0).to(value)
    return sign.unsqueeze(1).expand_as(value) / value.shape[1] ** 0.5 + 0.0 * value


@pytest.mark.parametrize(("plant", "sign"), [(equal_features, "spread"), (one_line, "effective rank")])
def test_planted_features_are_found_in_a_run_and_can_stop_it(
    rows_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[torch.Tensor], torch.Tensor],
    sign: str,
) -> None:
    import unlabeled_rows

    rows_recipe["training"]["warmup_steps"] = 2
    healthy = unlabeled.train(rows_recipe, run=tmp_path / "healthy", quiet=True)
    assert healthy.read("incidents.jsonl") == []
    represent = unlabeled_rows.AlignUniform.represent

    def planted(self: Any, views: Any, encoders: Any, context: Any) -> Any:
        return {key: plant(value) for key, value in represent(self, views, encoders, context).items()}

    monkeypatch.setattr(unlabeled_rows.AlignUniform, "represent", planted)
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    lines = run.read("incidents.jsonl")
    assert {(line["step"], line["kind"], line["sign"]) for line in lines} == {(3, "collapse", sign)}
    assert lines[0].keys() == {"step", "kind", "sign", "place", "value", "threshold", "meaning", "source", "remedy"}
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(rows_recipe, ["training.stop_on_collapse=true"], run=tmp_path / "stopped", quiet=True)
    (problem,) = error.value.problems
    assert f"collapsed for 5 logged steps in a row ({sign} of align-uniform/first), at step 7" in problem
    assert "incidents.jsonl" in problem


def test_opposite_directions_are_spread_and_of_rank_one() -> None:
    features = one_line(torch.randn(64, 16, generator=torch.Generator().manual_seed(0)))
    assert feature_spread(features) == pytest.approx(1.0)
    assert effective_rank(features) == pytest.approx(1.0, abs=1e-3)


def test_simclr_tells_its_chance_level(rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of features that tell nothing apart is exactly the monitor; in a run that learns it soon is not."""
    from unlabeled_standard.objectives.simclr import SimCLR

    rows_recipe["objectives"] = [{"id": "standard/simclr"}]
    healthy = unlabeled.train(rows_recipe, run=tmp_path / "healthy", quiet=True)
    assert healthy.read("incidents.jsonl") == []
    monkeypatch.setattr(SimCLR, "head", lambda self, outputs, context: {
        key: value if key.endswith("present") else torch.ones_like(value) + 0.0 * value for key, value in outputs.items()
    })  # fmt: skip
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    for line in run.read("metrics.jsonl"):
        assert line["simclr/contrast.chance_loss"] == pytest.approx(math.log(63))
        assert line["simclr/contrast"] == pytest.approx(math.log(63), rel=1e-5)
    # The features are equal too, which is the cause.
    assert [line["sign"] for line in run.read("incidents.jsonl")] == ["spread"]


def test_views_that_have_nothing_in_common_stay_at_chance(
    rows_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlabeled_standard.objectives.simclr import SimCLR

    head = SimCLR.head

    def shuffled(self: SimCLR, outputs: Any, context: Any) -> Any:
        found = head(self, outputs, context)
        # Other rows' second views, at a temperature that hides their differences.
        return {key: value.roll(1, 0) if key.endswith("second") else value for key, value in found.items()}

    monkeypatch.setattr(SimCLR, "head", shuffled)
    rows_recipe["objectives"] = [{"id": "standard/simclr", "temperature": 20.0}]
    run = unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    (line,) = run.read("incidents.jsonl")
    assert (line["sign"], line["place"], line["step"]) == ("information", "simclr/contrast", 6)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((Path(__file__).parents[4] / "plugins").glob("*/src/*/recipes/*.yaml")))
def test_a_healthy_run_of_each_recipe_raises_nothing(path: Path, tmp_path: Path) -> None:
    """The recipe's own schedule and batch, as far as forty steps beyond the start in which nothing counts."""
    training = yaml.safe_load(path.read_text())["training"]
    last = max(training["warmup_steps"], training["steps"] // 10) + 40
    skip = (
        f"training.skip_steps=[[{last + 1}, {training['steps']}]]"
        if last < training["steps"]
        else "training.skip_steps=[]"
    )
    small = ["data.options={items: {train: 2000, validation: 16, test: 16}}", "evaluation=[]", "training.log_every=2"]
    run = unlabeled.train(path.stem, [*small, skip], run=tmp_path / "run", quiet=True)
    assert [line for line in run.read("metrics.jsonl") if "loss" in line][-1]["step"] >= last - 1
    assert run.read("incidents.jsonl") == []
