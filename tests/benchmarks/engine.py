"""What the engine costs. Checkpoints, contrastive losses, the loader and streams have benchmarks of their own beside this one.

    python tests/benchmarks/engine.py overhead [--steps N] [--warm-up N] [--threads N]
    python tests/benchmarks/engine.py first [RECIPE ...]
    python tests/benchmarks/engine.py processes [RECIPE] [--counts 1 2 4] [--steps N]

overhead: the trainer above a bare PyTorch loop of the same model. The bare loop, as a person would write it for one process,
and the trainer take turns, a step each, in one process: same architecture and loss function, same batches in memory, same
optimizer and clipping. Prints medians of the CPU time of a step and their difference, beside what is allowed: 0.5 ms and 2 % of the
bare step. first: seconds from the command to its first step, with a cache of decoded samples and without. processes: a step at
one global batch on several processes of this machine, a thread each: its time, and that time times processes against one's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import unlabeled.training.trainer as trainer_module
from unlabeled.data.loader import StepBatches, load_steps
from unlabeled.recipes.load import load_recipe
from unlabeled.recipes.resolve import resolve
from unlabeled.runs.api import evaluate_learner
from unlabeled.runs.prepare import prepare
from unlabeled.runs.run import Run
from unlabeled.training.learner import Learner
from unlabeled.training.processes.launch import start_accelerator
from unlabeled.training.setup import Setup
from unlabeled.training.trainer import Trainer
from unlabeled_registry.registry import discover
from unlabeled_standard.contrastive import nt_xent

LossOf = Callable[[Learner, dict[str, Tensor]], Tensor]
_IN_MEMORY = 16
_WORLD = "data.options={items: {train: 4096, validation: 16, test: 16}}"


@dataclass(frozen=True)
class Case:
    """A recipe, and its loss as a bare loop computes it from a batch's inputs."""

    recipe: str
    overrides: Sequence[str]
    loss: LossOf


def simclr(learner: Learner, inputs: dict[str, Tensor]) -> Tensor:
    """NT-Xent of two views; without augmentation they are the same."""
    encoder = learner.encoder("image")
    objective: Any = learner.named()[0][1]
    pooled = [encoder.pool(encoder(_Inputs(inputs))) for _ in range(2)]  # type: ignore[arg-type]
    first, second = objective.projectors["image"](torch.cat(pooled)).chunk(2)
    everyone = torch.ones(len(first), dtype=torch.bool)
    contrast = nt_xent(first, second, slice(None), objective.config.temperature, everyone)
    return contrast.loss.mean()


def masked_language_modelling(learner: Learner, inputs: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of 15 % of the tokens, all of them replaced by [MASK]."""
    encoder: Any = learner.encoder("text")
    ids = inputs["input_ids"]
    mask = torch.rand(ids.shape) < 0.15
    mask[:, 0] = False
    encoded = encoder(_Inputs({**inputs, "input_ids": ids.masked_fill(mask, encoder.modality.mask_id)}))
    return functional.cross_entropy(encoder.vocabulary_logits(encoded.values[mask[:, 1:]]), ids[mask])


@dataclass(frozen=True)
class _Inputs:
    """As much of a batch as an encoder looks at."""

    inputs: dict[str, Tensor]


CASES = {
    "image-simclr, 32 rows of 32 pixels": Case(
        "image-simclr",
        ["modalities.image.size=32", "training.batch_size=32", "augmentations.image.strong=[]", _WORLD],
        simclr,
    ),
    "image-simclr, 128 rows of 48 pixels": Case(
        "image-simclr", ["training.batch_size=128", "augmentations.image.strong=[]", _WORLD], simclr
    ),
    "text-mlm, 32 rows": Case(
        "text-mlm", ["training.batch_size=32", _WORLD, "modalities.text.vocabulary_size=512"], masked_language_modelling
    ),
}


def compare(case: Case, steps: int, warm_up: int, folder: Path) -> tuple[list[float], list[float]]:
    """CPU seconds of each step of the bare loop and of the trainer."""
    registry = discover()
    overrides = [*case.overrides, f"training.steps={warm_up + steps}", "training.checkpoint_every=1000000"]
    recipe = resolve(load_recipe(case.recipe, [*overrides, "evaluation=[]", "data.workers=0"], registry), registry)
    accelerator = start_accelerator(recipe)
    setup = prepare(recipe, registry, Run(folder))
    trainer = Trainer(setup, Run(folder), accelerator, evaluate_learner, quiet=True)
    trainer._save = lambda *_: None  # type: ignore[method-assign]
    bare = _bare_step(case, setup, trainer)
    bare_times: list[float] = []
    trainer_times: list[float] = []

    def steps_in_memory(*arguments: Any) -> Iterator[StepBatches]:
        loaded = load_steps(*arguments)
        batches = [next(loaded) for _ in range(_IN_MEMORY)]
        for step in range(warm_up + steps):
            found = batches[step % _IN_MEMORY]
            began = time.process_time()
            bare(found)
            between = time.process_time()
            yield StepBatches(step, 0, found.micro_batches, (), found.cells)
            trainer_times.append(time.process_time() - between)
            bare_times.append(between - began)

    trainer_module.load_steps = steps_in_memory  # type: ignore[assignment]
    trainer.fit()
    return bare_times[warm_up:], trainer_times[warm_up:]


def _bare_step(case: Case, setup: Setup, trainer: Trainer) -> Callable[[StepBatches], None]:
    learner = setup.learner(trainer.facts).train()
    config = trainer.config
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3, weight_decay=config.weight_decay, fused=True)

    def step(batches: StepBatches) -> None:
        inputs = next(iter(batches.micro_batches[0].batches.values())).inputs
        loss = case.loss(learner, dict(inputs))
        loss.backward()
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(learner.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def overhead(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            bare, own = compare(case, options.steps, options.warm_up, Path(folder) / "run")
        usual, ours = statistics.median(bare) * 1e3, statistics.median(own) * 1e3
        # Turn by turn, so that what else the machine does falls on both.
        above = statistics.median(b - a for a, b in zip(bare, own, strict=True)) * 1e3
        allowed = 0.5 + 0.02 * usual
        print(f"{name}: bare {usual:.2f} ms, trainer {ours:.2f} ms, above {above:.2f} ms (allowed {allowed:.2f})")


def first(options: argparse.Namespace) -> None:
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as folder:
            seconds = [_seconds_to_first_step(recipe, Path(folder), number) for number in range(2)]
        print(f"{recipe}: first step after {seconds[0]:.1f} s, with its samples in the cache {seconds[1]:.1f} s")


def _seconds_to_first_step(recipe: str, folder: Path, number: int) -> float:
    line = [sys.executable, "-m", "unlabeled", "train", recipe, "evaluation=[]", "training.steps=2"]
    began = time.perf_counter()
    with subprocess.Popen(
        [*line, "--run", str(folder / str(number))],
        env={**os.environ, "UNLABELED_CACHE": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for text in process.stderr:
            if text.startswith("step 1/"):
                seconds = time.perf_counter() - began
                process.kill()
                return seconds
    raise SystemExit(f"{recipe}: no step was shown")


def processes(options: argparse.Namespace) -> None:
    settings = [_WORLD, "evaluation=[]", "training.threads=1", "data.workers=0", "training.log_every=1"]
    settings += [f"training.steps={options.steps}", "training.checkpoint_every=1000000", *options.overrides]
    usual = 0.0
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            launch = (
                ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
            )
            line = [sys.executable, *launch, "-m", "unlabeled", "train", options.recipe, *settings]
            line += ["--run-folder", f"{folder}/run"]
            subprocess.run(line, check=True, capture_output=True)
            timings = [json.loads(text) for text in Path(folder, "run", "timings.jsonl").read_text().splitlines()]
        seconds = statistics.median(timing["seconds_per_step"] for timing in timings[options.steps // 4 :])
        usual = usual or seconds * count
        print(
            f"{options.recipe}, {count} processes: {seconds * 1e3:.1f} ms a step, {seconds * count / usual:.2f} of the work"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("overhead")
    command.add_argument("--steps", type=int, default=100)
    command.add_argument("--warm-up", type=int, default=10)
    command.add_argument("--threads", type=int, default=1)
    command.set_defaults(run=overhead)
    command = commands.add_parser("first")
    command.add_argument("recipes", nargs="*", default=["quickstart", "text-mlm", "audio-wav2vec2"])
    command.set_defaults(run=first)
    command = commands.add_parser("processes")
    command.add_argument("recipe", nargs="?", default="text-mlm")
    command.add_argument("overrides", nargs="*")
    command.add_argument("--counts", type=int, nargs="+", default=[1, 2])
    command.add_argument("--steps", type=int, default=24)
    command.set_defaults(run=processes)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
