"""Trial: a few steps of a recipe by the trainer itself, and what they came to."""

import os
import runpy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlabeled.recipes.resolve import resolve
from unlabeled.runs.prepare import prepare
from unlabeled.runs.run import Run
from unlabeled.training.checkpoints.checkpoint import optimizer_state
from unlabeled.training.processes.launch import start_accelerator
from unlabeled.training.processes.sharding import whole, whole_state
from unlabeled.training.trainer import Trainer
from unlabeled_registry.registry import discover

NEVER = 10**9


@dataclass(frozen=True)
class Trial:
    """The first steps of a recipe, on some number of processes and of micro-batches."""

    recipe: Mapping[str, Any]
    processes: int = 1
    micro_batches: int = 1
    precision: str = "float64"
    steps: int = 5
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the recipe's `training`, in place of its own: `{"gradient_checkpointing": True}`."""
    sharded: bool = False
    """Whether FSDP2 shares out the weights, as accelerate's configuration would ask for it."""
    around: str | None = None
    """`FILE.py:NAME` of a context manager that each process enters around the run."""

    def written(self) -> dict[str, Any]:
        """The recipe as this trial runs it: on the CPU, with small last batches, without evaluation."""
        training = {key: value for key, value in self.recipe["training"].items() if key != "epochs"}
        training |= {
            **self.settings,
            "steps": self.steps,
            "micro_batches": self.micro_batches,
            "precision": self.precision,
        }
        training |= {"drop_last": False, "device": "cpu", "log_every": 1, "checkpoint_every": NEVER}
        # AdamW makes of what is zero but for rounding a step of its size over eps.
        training.setdefault("eps", 1e-4)
        return {
            **self.recipe,
            "data": {**self.recipe["data"], "workers": 0},
            "training": training,
            "evaluation": [],
        }


@dataclass(frozen=True)
class Outcome:
    """What a trial came to."""

    losses: list[float]
    """Of each step."""
    tensors: list[dict[str, Tensor]]
    """Of each process: `gradient of step N/PARAMETER`, `state/NAME`, `optimizer KEY/PARAMETER`."""


def run_trial(trial: Trial, folder: Path) -> dict[str, Tensor]:
    """Take this process's part in a trial, in a run folder shared by all of its processes; what it came to here."""
    with _around(trial.around), _asking_for_fsdp(trial.sharded):
        registry = discover()
        resolved = resolve(trial.written(), registry)
        accelerator = start_accelerator(resolved)
        run = Run(folder)
        trainer = Trainer(prepare(resolved, registry, run), run, accelerator, lambda *_: [], quiet=True)
        _check_dropout(trainer.learner)
        found: dict[str, Tensor] = {}

        def keep_gradients(*_: object) -> None:
            number = trainer.state.step  # which counts this step already
            if number in (1, trial.steps):
                found.update(_gradients(trainer.learner, number))

        trainer.optimizer.register_step_pre_hook(keep_gradients)
        trainer.fit()
    if trainer.state.bad_steps:
        raise ValueError(f"{trainer.state.bad_steps} of {trial.steps} steps had a loss or gradient that is not finite")
    found |= {f"state/{name}": value for name, value in whole_state(trainer.learner).items()}
    for full, value in optimizer_state(trainer.optimizer, trainer.learner).items():
        name, _, key = full.rpartition("/")
        found[f"optimizer {key}/{name}"] = whole(value)
    return found


def read_losses(folder: Path) -> list[float]:
    """The loss of each step of a run."""
    return [float(line["loss"]) for line in Run(folder).read("metrics.jsonl")]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write what `read_tensors` reads."""
    save_file({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read what `write_tensors` wrote."""
    return load_file(path)


def _gradients(module: nn.Module, step: int) -> dict[str, Tensor]:
    return {
        f"gradient of step {step}/{name}": whole(parameter.grad).detach().clone()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def _check_dropout(module: nn.Module) -> None:
    """`ValueError` where something is dropped: that depends on the number of processes, as it must."""
    for name, child in module.named_modules():
        if isinstance(child, nn.Dropout) and child.p > 0:
            raise ValueError(f"{name} drops out {child.p:g} of its inputs; set that option of the recipe to 0")


def _around(place: str | None) -> AbstractContextManager[Any]:
    if place is None:
        return nullcontext()
    path, _, name = place.rpartition(":")
    manager: AbstractContextManager[Any] = runpy.run_path(path)[name]()
    return manager


@contextmanager
def _asking_for_fsdp(sharded: bool) -> Iterator[None]:
    names = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"} if sharded else {}
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
