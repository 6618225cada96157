"""Every registered objective comes to the same on any number of processes and micro-batches."""

from typing import Any

import pytest

from unlabeled.testing import Processes, check_invariance
from unlabeled_registry.registry import discover

Recipe = dict[str, Any]

IMAGE = {
    "id": "vision/image",
    "size": 16,
    "encoder": {"id": "vision/vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
}
SERIES = {
    "id": "timeseries/series",
    "encoder": {"id": "standard/patch", "patch": [4], "width": 16, "layers": 1, "heads": 2},
}
TEXT = {
    "id": "text/text",
    "vocabulary_size": 64,
    "max_length": 16,
    "encoder": {"id": "text/bert", "hidden_size": 16, "layers": 1, "heads": 2},
}
AUDIO = {
    "id": "audio/audio",
    "sampling_rate": 1000,
    "clip": 0.3,
    "encoder": {
        "id": "audio/wav2vec2",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": [16, 16],
        "conv_kernel": [8, 4],
        "conv_stride": [4, 2],
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
    },
}
RESNET = {
    "id": "vision/image",
    "size": 16,
    "encoder": {"id": "vision/resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
}


def recipe(*objectives: Recipe | str, source: str = "sample:memory/gaps", **modalities: Recipe) -> Recipe:
    """Five steps of 14, 14, 14, 14 and 8 rows of the sample world, of which every fourth cell is missing."""
    written = [{"id": entry} if isinstance(entry, str) else entry for entry in objectives]
    options = {"items": {"train": 64, "validation": 1, "test": 1}, "size": 16, "steps": 16}
    columns = {"image": "image", "text": "text", "audio": "audio", "series": "series", "row": "series"}
    return {
        "modalities": modalities,
        "data": {
            "source": source,
            "options": options,
            "columns": {name: columns[name] for name in modalities},
        },
        "objectives": written,
        "training": {"batch_size": 14, "learning_rate": 1e-3},
    }


RECIPES = {
    "audio/wav2vec2": recipe({"id": "audio/wav2vec2", "entries": 8, "code_width": 8, "projection": 8}, audio=AUDIO),
    "crossmodal/clip": recipe({"id": "crossmodal/clip", "projection": 8}, image=IMAGE, text=TEXT, series=SERIES),
    "crossmodal/siglip": recipe({"id": "crossmodal/siglip", "projection": 8}, image=IMAGE, text=TEXT, series=SERIES),
    "memory/momentum-contrast": recipe("memory/momentum-contrast", series=SERIES),
    "memory/noise-as-targets": recipe("memory/noise-as-targets", series=SERIES),
    "rows/align-uniform": recipe(
        "rows/align-uniform", source="sample:world", row={"id": "rows/row", "width": 80}
    ),  # whose cells must all be there
    "standard/masked-reconstruction": recipe(
        {"id": "standard/masked-reconstruction", "width": 8, "layers": 1, "heads": 2}, image=IMAGE, series=SERIES
    ),
    "standard/simclr": recipe({"id": "standard/simclr", "projection": 8}, image=IMAGE, series=SERIES),
    "text/masked-language-modelling": recipe("text/masked-language-modelling", text=TEXT),
}
"""Of every registered objective, a recipe small enough for some thirty runs in a few seconds."""


def test_every_registered_objective_has_a_recipe(processes: Processes) -> None:
    registered = {component.id for component in discover().components("objective")}
    missing = sorted(registered - RECIPES.keys())
    assert not missing, f"no recipe in RECIPES, so nothing proves invariance of {', '.join(missing)}"
    gone = sorted(RECIPES.keys() - registered)
    assert not gone, f"RECIPES has entries that are no registered objectives: {', '.join(gone)}"


@pytest.mark.parametrize("name", RECIPES)
def test_processes_and_micro_batches_change_nothing(name: str, processes: Processes) -> None:
    check_invariance(RECIPES[name], processes)


@pytest.mark.parametrize("name", RECIPES)
def test_nor_in_float32_but_for_rounding(name: str, processes: Processes) -> None:
    check_invariance(RECIPES[name], processes, on=(4,), micro_batches=(2,), precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_nor_in_float32_in_every_combination(name: str, processes: Processes) -> None:
    check_invariance(RECIPES[name], processes, precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_nor_in_bfloat16_but_for_its_rounding(name: str, processes: Processes) -> None:
    check_invariance(RECIPES[name], processes, precision="bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_nor_with_weights_shared_out(name: str, processes: Processes) -> None:
    check_invariance(RECIPES[name], processes, on=(2, 4), sharded=True)


@pytest.mark.parametrize("name", ["crossmodal/clip", "text/masked-language-modelling"])
def test_nor_with_weights_shared_out_over_two(name: str, processes: Processes) -> None:
    check_invariance(RECIPES[name], processes, on=(2,), micro_batches=(2,), sharded=True)


RECOMPUTABLE = {
    "crossmodal/clip": recipe({"id": "crossmodal/clip", "projection": 8}, image=IMAGE, text=TEXT),
    "text/masked-language-modelling": RECIPES["text/masked-language-modelling"],
}


@pytest.mark.parametrize("name", RECOMPUTABLE)
def test_nor_with_recomputed_layers(name: str, processes: Processes) -> None:
    settings = {"gradient_checkpointing": True}
    check_invariance(RECOMPUTABLE[name], processes, on=(1, 2), micro_batches=(2,), settings=settings)


@pytest.mark.slow
def test_nor_with_compiled_layers(processes: Processes) -> None:
    layers = {**TEXT, "encoder": {"id": "text/bert", "hidden_size": 16, "layers": 2, "heads": 2}}
    settings = {"compile": True}
    check_invariance(
        recipe("text/masked-language-modelling", text=layers), processes, on=(2,), micro_batches=(2,), settings=settings
    )


def test_objectives_of_every_coupling_in_one_recipe(processes: Processes) -> None:
    objectives: list[Recipe] = [
        {"id": "standard/simclr", "projection": 8, "on": ["series"], "weight": 0.3},  # gathers, and has a head
        {"id": "memory/momentum-contrast", "on": ["series"]},  # gathers, and has constants and state
        {"id": "standard/masked-reconstruction", "width": 8, "layers": 1, "heads": 2, "weight": 2.0},  # uncoupled
    ]
    check_invariance(recipe(*objectives, image=IMAGE, series=SERIES), processes)


def test_an_encoder_with_batch_normalisation_is_exact_on_any_number_of_processes(processes: Processes) -> None:
    simclr = {"id": "standard/simclr", "projection": 8}
    check_invariance(recipe(simclr, image=RESNET), processes, micro_batches=(1,))
