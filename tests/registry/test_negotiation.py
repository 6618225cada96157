from random import Random

import pytest

from unlabeled_registry.capabilities import CAPABILITIES
from unlabeled_registry.manifest import Component
from unlabeled_registry.negotiation import Cell, encoders_of, matrix, negotiate


def part(kind: str, id: str, **values: object) -> Component:
    owner, _, name = id.partition("/")
    return Component(kind, id, name, owner, f"unlabeled-{owner}", "package:Part", "A part", **values)  # type: ignore[arg-type]


IMAGE = part("modality", "vision/image", encoder="vision/vit")
TEXT = part("modality", "text/text", encoder="text/bert")
RESNET = part("encoder", "vision/resnet", modalities=("vision/image",))
VIT = part("encoder", "vision/vit", modalities=("vision/image",), provides=("tokens", "drop-tokens", "patches"))
BERT = part("encoder", "text/bert", modalities=("text/text",), provides=("tokens", "vocabulary"))
GPT = part("encoder", "text/gpt", modalities=("text/text",), provides=("tokens", "causal"))
PATCH = part("encoder", "standard/patch", provides=("tokens", "mask-token"))
SIMCLR = part("objective", "standard/simclr")
MAE = part("objective", "standard/mae", requires=("tokens", "drop-tokens", "patches"))
MLM = part("objective", "text/mlm", requires=("tokens", "vocabulary"))
CLIP = part("objective", "crossmodal/clip", requires=("paired",))
ALL = (IMAGE, TEXT, RESNET, VIT, BERT, GPT, SIMCLR, MAE, MLM, CLIP)


def cell(components: tuple[Component, ...], objective: Component, modality: Component) -> Cell:
    (found,) = (c for c in matrix(components) if (c.objective, c.modality) == (objective.id, modality.id))
    return found


class TestNegotiate:
    def test_all_is_there(self) -> None:
        verdict = negotiate(MAE, VIT)
        assert (verdict.runs, verdict.missing, verdict.reason) == (True, (), "with vision/vit")

    def test_all_that_is_missing_is_named_in_the_order_of_the_objective(self) -> None:
        verdict = negotiate(MAE, BERT)
        assert (verdict.runs, verdict.missing) == (False, ("drop-tokens", "patches"))
        assert verdict.reason == (
            "standard/mae requires drop-tokens and patches, which text/bert lacks; choose another encoder"
        )

    def test_a_pair_is_the_recipes_to_provide(self) -> None:
        verdict = negotiate(CLIP, RESNET)
        assert (verdict.runs, verdict.reason) == (True, "with vision/resnet, with a second modality")


class TestMatrix:
    def test_every_objective_on_every_modality(self) -> None:
        cells = matrix(ALL)
        assert [(c.objective, c.modality) for c in cells] == [
            (objective, modality)
            for objective in ("crossmodal/clip", "standard/mae", "standard/simclr", "text/mlm")
            for modality in ("text/text", "vision/image")
        ]
        assert matrix(reversed(ALL)) == cells

    def test_the_default_encoder_is_preferred(self) -> None:
        assert cell(ALL, SIMCLR, IMAGE) == Cell(
            "standard/simclr", "vision/image", True, "with vision/vit", "vision/vit"
        )

    def test_another_encoder_where_the_default_one_does_not_fit(self) -> None:
        lm = part("objective", "text/lm", requires=("causal",))
        assert cell((*ALL, lm), lm, TEXT).encoder == "text/gpt"

    def test_a_modalitys_own_encoder_is_preferred_to_a_general_one(self) -> None:
        masked = part("objective", "standard/masked", requires=("tokens",))
        own = part("encoder", "zoo/own", modalities=("vision/image",), provides=("tokens",))
        image = part("modality", "vision/image", encoder="vision/gone")
        assert cell((image, own, PATCH, masked), masked, image).encoder == "zoo/own"

    def test_a_general_encoder_takes_every_modality(self) -> None:
        masked = part("objective", "standard/masked", requires=("mask-token",))
        assert [c.encoder for c in matrix((*ALL, PATCH, masked)) if c.objective == masked.id] == [PATCH.id, PATCH.id]

    def test_a_general_encoder_takes_no_modality_that_has_no_arrays(self) -> None:
        masked = part("objective", "standard/masked", requires=("mask-token",))
        ids = part("modality", "text/ids", encoder="text/bert", dense=False)
        assert not cell((ids, PATCH, masked), masked, ids).runs

    def test_an_objective_that_names_its_modalities_runs_on_no_other(self) -> None:
        own = part("objective", "text/own", modalities=("text/text",))
        assert cell((*ALL, own), own, TEXT).runs
        assert cell((*ALL, own), own, IMAGE) == Cell(
            "text/own",
            "vision/image",
            False,
            "text/own is for text/text, not vision/image; choose another objective",
            None,
        )

    def test_a_pair(self) -> None:
        assert cell(ALL, CLIP, TEXT) == Cell(
            "crossmodal/clip", "text/text", True, "with a second modality", "text/bert"
        )

    def test_no_encoder_has_it_and_one_elsewhere_does(self) -> None:
        found = cell(ALL, MAE, TEXT)
        assert (found.runs, found.encoder) == (False, None)
        assert found.reason == (
            "no encoder of text/text provides drop-tokens and patches; "
            "install or write one that does (as vision/vit does)"
        )

    def test_no_encoder_has_it_at_all(self) -> None:
        dense = part("objective", "standard/dense", requires=("multi-resolution",))
        assert cell((*ALL, dense), dense, IMAGE).reason == (
            "no encoder of vision/image provides multi-resolution; install or write one that does"
        )

    def test_each_is_there_but_not_in_one_encoder(self) -> None:
        both = part("objective", "text/both", requires=("vocabulary", "causal"))
        assert cell((*ALL, both), both, TEXT).reason == (
            "no encoder of text/text provides vocabulary and causal together; install or write one that does"
        )

    def test_a_modality_without_encoders(self) -> None:
        sound = part("modality", "audio/waveform", encoder="audio/wav2vec2")
        assert cell((*ALL, sound), SIMCLR, sound).reason == (
            "audio/waveform has no encoder; install or write one that takes it"
        )

    def test_equal_causes_have_equal_reasons(self) -> None:
        first, second = (part("objective", id, requires=("branches",)) for id in ("a/one", "b/two"))
        assert cell((*ALL, first), first, TEXT).reason == cell((*ALL, second), second, TEXT).reason


CAPABLE = sorted(set(CAPABILITIES) - {"paired"})


def many(seed: int) -> list[Component]:
    """Plugins of all sorts: encoders for all and for some, modalities without encoders, objectives that ask for much."""
    random = Random(seed)
    parts = []
    for number in range(12):
        owner = f"plugin{number}"
        takes = random.choice(
            [("*",), (f"{owner}/signal",), ("plugin0/signal", "plugin1/signal"), ("*", "plugin2/signal")]
        )
        default = random.choice([f"{owner}/net", "plugin3/net", "gone/net"])
        parts += [
            part(
                "objective",
                f"{owner}/task",
                requires=tuple(random.sample([*CAPABLE, "paired"], random.randint(0, 4))),
                modalities=random.choice([("*",), ("*",), (f"{owner}/signal", "plugin0/signal")]),
            ),
            part("modality", f"{owner}/signal", encoder=default, dense=random.random() < 0.7),
            part(
                "encoder",
                f"{owner}/net",
                modalities=takes,
                provides=tuple(random.sample(CAPABLE, random.randint(0, 6))),
            ),
        ]
    return parts


@pytest.mark.parametrize("seed", range(20))
def test_the_matrix_is_what_negotiating_each_pair_gives(seed: int) -> None:
    parts = {component.id: component for component in many(seed)}
    encoders = [component for component in parts.values() if component.kind == "encoder"]
    for found in matrix(parts.values()):
        objective, modality = parts[found.objective], parts[found.modality]
        fitting = [e.id for e in encoders_of(modality, encoders) if negotiate(objective, e).runs]
        fitting = fitting if objective.takes(modality) else []
        assert (found.runs, found.encoder) == (bool(fitting), fitting[0] if fitting else None)


@pytest.mark.parametrize("seed", range(20))
def test_every_refusal_names_a_capability_and_a_cure(seed: int) -> None:
    parts = {component.id: component for component in many(seed)}
    refusals = [found for found in matrix(parts.values()) if not found.runs]
    assert refusals
    for found in refusals:
        objective = parts[found.objective]
        if not objective.takes(parts[found.modality]):
            assert all(name in found.reason for name in objective.modalities)
            assert found.reason.endswith(f", not {found.modality}; choose another objective")
            continue
        required = [name for name in objective.requires if name != "paired"]
        assert any(name in found.reason for name in required) or "has no encoder" in found.reason
        assert found.modality in found.reason
        assert "; install or write one that " in found.reason
    for objective in (component for component in parts.values() if component.kind == "objective"):
        for encoder in (component for component in parts.values() if component.kind == "encoder"):
            verdict = negotiate(objective, encoder)
            assert verdict.runs or (
                all(name in verdict.reason for name in verdict.missing) and "; choose another encoder" in verdict.reason
            )


def test_a_modality_without_encoders_is_told_what_one_must_have() -> None:
    sound = part("modality", "audio/waveform", encoder="audio/wav2vec2")
    assert cell((*ALL, sound), MAE, sound).reason == (
        "audio/waveform has no encoder; install or write one that takes it and provides tokens, drop-tokens and patches"
    )
