"""What a step does beside its sums: both passes of a cached representation, rows and totals of micro-batches."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import unlabeled
from unlabeled import Loss, UnlabeledError
from unlabeled.recipes.resolve import resolve
from unlabeled.runs.dry_run import describe_recipe
from unlabeled.runs.prepare import prepare
from unlabeled.runs.run import Run
from unlabeled.training import step
from unlabeled.training.processes.launch import start_accelerator
from unlabeled.training.trainer import Trainer
from unlabeled_registry.registry import discover

Recipe = dict[str, Any]
Pass = tuple[bool, list[int], dict[str, Tensor]]
"""Whether a pass had a gradient, the ids of its rows, and its outputs and masks."""


def small(objective: Recipe, micro_batches: int, **modalities: Recipe) -> Recipe:
    options = {"items": {"train": 24, "validation": 1, "test": 1}, "size": 16, "steps": 16}
    return {
        "modalities": modalities,
        "data": {"source": "sample:world", "options": options, "workers": 0},
        "objectives": [objective],
        "training": {"steps": 2, "batch_size": 8, "micro_batches": micro_batches, "device": "cpu", "log_every": 1},
    }


def wav2vec2(dropout: float) -> Recipe:
    encoder = {
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
        "hidden_dropout": dropout,
        "attention_dropout": dropout,
        "feat_proj_dropout": dropout,
    }
    audio = {"id": "audio/audio", "sampling_rate": 1000, "clip": 0.3, "encoder": encoder}
    return small({"id": "audio/wav2vec2", "entries": 8, "code_width": 8, "projection": 8}, 3, audio=audio)


def passes(recipe: Recipe, folder: Path) -> list[Pass]:
    """Every pass through the learner in a run."""
    registry = discover()
    resolved = resolve(recipe, registry)
    accelerator = start_accelerator(resolved)
    run = Run(folder)
    trainer = Trainer(prepare(resolved, registry, run), run, accelerator, lambda *_: [], quiet=True)
    seen: list[Pass] = []

    def keep(module: Any, arguments: Any, outputs: Any) -> None:
        ((view,),) = arguments[0].values()
        (own,) = outputs.values()
        tensors = {name: value.detach().clone() for name, value in own.items()}
        tensors |= {f"mask {name}": mask.clone() for name, mask in view.masks.items()}
        seen.append((torch.is_grad_enabled(), view.ids.tolist(), tensors))

    trainer.learner.register_forward_hook(keep)
    trainer.fit()
    return seen


def differing(seen: list[Pass]) -> int:
    """How many tensors of a second pass are not, bit for bit, those of the first pass over the same rows."""
    first = {tuple(ids): tensors for gradient, ids, tensors in seen if not gradient}
    second = {tuple(ids): tensors for gradient, ids, tensors in seen if gradient}
    assert first.keys() == second.keys()
    assert len(first) == 6, "two steps of three micro-batches"
    return sum(not torch.equal(first[ids][name], second[ids][name]) for ids in first for name in first[ids])


def test_with_dropout_both_passes_over_a_micro_batch_agree_bit_for_bit(tmp_path: Path) -> None:
    wet = passes(wav2vec2(0.0), tmp_path / "wet")
    dry = passes(wav2vec2(0.2), tmp_path / "dry")
    assert differing(dry) == 0
    for (_, ids, one), (_, others, other) in zip(wet, dry, strict=True):
        assert ids == others
        assert torch.equal(one["mask mask"], other["mask mask"]), "masks are drawn by sample, not by torch's generator"
        assert not torch.equal(one["soft"], other["soft"]) or not torch.equal(one["contrastive"], other["contrastive"])


def test_a_second_pass_with_other_dropout_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = iter(range(1000))
    monkeypatch.setattr(step, "hash_key", lambda *parts: next(seeds))
    assert differing(passes(wav2vec2(0.2), tmp_path / "run")) > 0


def noise(micro_batches: int) -> Recipe:
    series = {
        "id": "timeseries/series",
        "encoder": {"id": "standard/patch", "patch": [4], "width": 8, "layers": 1, "heads": 2},
    }
    return small({"id": "memory/noise-as-targets"}, micro_batches, series=series)


@pytest.fixture
def change(memory_plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces attributes of an objective whose loss works on a micro-batch alone."""
    import unlabeled_memory

    def replace_attributes(**attributes: Any) -> None:
        for name, value in attributes.items():
            monkeypatch.setattr(unlabeled_memory.NoiseAsTargets, name, value, raising=False)

    return replace_attributes


def with_total(self: Any, own: Any, all: Any, context: Any) -> Loss:
    centre = context.total(own["features"].sum(dim=0)) / len(context.ids)
    return Loss({"distance": (own["features"] - centre).square().sum()})


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_total_of_a_micro_batch_is_refused(micro_batches: int, change: Callable[..., None], tmp_path: Path) -> None:
    change(loss=with_total)
    with pytest.raises(UnlabeledError) as error:
        unlabeled.train(noise(micro_batches), run=tmp_path / "run", quiet=True)
    assert list(error.value.problems) == [
        "objectives: the loss of noise-as-targets works on one micro-batch and cannot call context.total; call it in head, in "
        "after_step, or in the loss of an objective with `gathers`, a `head` or `coupled = True`"
    ]


def test_an_objective_that_says_it_is_coupled_totals_the_whole_batch(
    change: Callable[..., None], tmp_path: Path
) -> None:
    change(loss=with_total, coupled=True)
    runs = [unlabeled.train(noise(count), run=tmp_path / str(count), quiet=True) for count in (1, 3)]
    one, three = ([line["loss"] for line in run.read("metrics.jsonl")] for run in runs)
    assert three == pytest.approx(one, rel=1e-6)


def test_a_total_in_represent_is_refused(change: Callable[..., None], tmp_path: Path) -> None:
    change(represent=lambda self, views, encoders, context: {"features": context.total(context.pooled(views[0]))})
    with pytest.raises(UnlabeledError, match="represent works on one micro-batch and cannot call context.total"):
        unlabeled.train(noise(1), run=tmp_path / "run", quiet=True)


@pytest.mark.parametrize("dry", [False, True])
def test_a_recipe_whose_encoder_normalises_is_refused_in_micro_batches(dry: bool, tmp_path: Path) -> None:
    items = "data.options={items: {train: 16, validation: 4, test: 4}}"
    overrides = [items, "training.micro_batches=2", "training.batch_size=8"]
    start = partial(unlabeled.train, run=tmp_path / "run", quiet=True)
    with pytest.raises(UnlabeledError, match="training.micro_batches: 2, but encoder image has batch normalisation"):
        (describe_recipe if dry else start)("image-simclr", overrides)
