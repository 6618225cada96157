"""Promises that the trainer itself shows: continued exactly, and invariant to processes."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unlabeled.recipes.resolve import resolve
from unlabeled.runs.prepare import prepare
from unlabeled.runs.run import Run
from unlabeled.testing.conformance.bench import Bench
from unlabeled.testing.invariance import check_invariance
from unlabeled.testing.promises import same
from unlabeled.training.checkpoints.checkpoint import optimizer_state
from unlabeled.training.processes.launch import start_accelerator
from unlabeled.training.trainer import Trainer
from unlabeled_registry.manifest import Component
from unlabeled_registry.registry import Registry


def train(recipe: Mapping[str, Any], folder: Path, registry: Registry) -> Trainer:
    """Train a recipe in a folder, without evaluation; the trainer after its last step."""
    resolved = resolve(recipe, registry)
    accelerator = start_accelerator(resolved)
    run = Run(folder)
    trainer = Trainer(prepare(resolved, registry, run), run, accelerator, lambda *_: [], quiet=True)
    trainer.fit()
    return trainer


def continues(bench: Bench, component: Component) -> None:
    """Four steps at once, and two, a new start, and two more, end with the same bits."""
    recipe = bench.recipe(component, steps=4, checkpoint_every=2, log_every=1)
    whole = bench.folder() / "whole"
    expected = _state(train(recipe, whole, bench.registry))
    part = bench.folder() / "part"
    shutil.copytree(whole, part)
    shutil.rmtree(sorted((part / "checkpoints").iterdir())[-1])
    found = _state(train(recipe, part, bench.registry))
    for name, value in expected.items():
        if name not in found or not same(value, found[name]):
            raise AssertionError(f"{component.id}: {name} is another after a run was stopped and continued")
    if Run(whole).read("metrics.jsonl") != Run(part).read("metrics.jsonl"):
        raise AssertionError(f"{component.id}: metrics.jsonl is another after a run was stopped and continued")


def _state(trainer: Trainer) -> dict[str, Tensor]:
    state = {f"state {name}": value for name, value in trainer.learner.state_dict().items()}
    return state | {
        f"optimizer's {name}": value for name, value in optimizer_state(trainer.optimizer, trainer.learner).items()
    }


def invariance(bench: Bench, component: Component) -> None:
    """As `check_invariance`, on two processes with two micro-batches; with one where an encoder normalises over rows."""
    normalised = any(
        isinstance(module, nn.modules.batchnorm._BatchNorm)
        for encoder in bench.learner(component).encoders.values()
        for module in encoder.modules()
    )
    recipe = bench.recipe(component)
    check_invariance(recipe, bench.processes, on=(2,), micro_batches=(1,) if normalised else (2,))
