"""Batches a second of the supervised workers beside torch's DataLoader, in one run: `python tests/benchmarks/loader.py`.

Each makes the same steps of the same reader, for pictures (of which each step carries 28 MB) and for texts, by 1 and 2
workers; the best of three passes. `copied` are pictures that lie in memory already, so that the way to the trainer is all that
is paid for. `main` is the CPU time of the receiving process, which touches every page of what it receives.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.utils.data import DataLoader, Dataset

from unlabeled.data.loader import Plan, StepBatches, _Steps
from unlabeled.data.reader import Reader
from unlabeled.data.workers import Watch, in_order
from unlabeled.recipes.load import load_recipe
from unlabeled.recipes.resolve import resolve
from unlabeled.training.setup import Setup, fit_modalities, open_data
from unlabeled.training.views import ViewBuilder
from unlabeled_registry.registry import discover

RECIPES = {
    "image-simclr": ["modalities.image.size=96", "data.cache=false"],
    "text-mlm": ["modalities.text.pack=false"],
}


Load = Callable[[int, Watch], StepBatches]


class Steps(Dataset[StepBatches]):
    """The steps as torch's DataLoader asks for them."""

    def __init__(self, load: Load) -> None:
        self.load = load

    def __getitem__(self, step: int) -> StepBatches:
        return self.load(step, Watch())


def by_torch(load: Load, reader: Reader, steps: int, workers: int) -> Iterator[StepBatches]:
    """The steps by torch's workers, set up as they were here before."""
    loader = DataLoader(
        Steps(load),
        batch_size=None,
        sampler=range(steps),
        num_workers=workers,
        prefetch_factor=2,
        multiprocessing_context="fork",
        worker_init_fn=lambda worker: torch.set_num_threads(1),
        generator=torch.Generator(),
    )
    return iter(loader)


def by_supervised_workers(load: Load, reader: Reader, steps: int, workers: int) -> Iterator[StepBatches]:
    """The steps by our own."""
    return in_order(load, range(steps), reader.supervision(workers, steps=True))


def copies(first: StepBatches) -> Load:
    """The same step again and again."""

    def load(step: int, watch: Watch) -> StepBatches:
        micro = first.micro_batches[0]
        batches = {
            key: batch.with_inputs(**{name: value.clone() for name, value in batch.inputs.items()})
            for key, batch in list(micro.batches.items())[:1]
        }
        return replace(first, step=step, micro_batches=[replace(micro, batches=batches)])

    return load


def touch(step: StepBatches) -> float:
    """Read something of every page."""
    batches = (batch for micro in step.micro_batches for batch in micro.batches.values())
    return sum(float(value.reshape(-1)[::512].sum()) for batch in batches for value in batch.inputs.values())


def prepare(name: str, batch_size: int) -> tuple[Reader, Load]:
    """The reader of a recipe on the sample world, and its steps."""
    registry = discover()
    world = ["data.options={items: {train: 2000, validation: 16, test: 16}}", "evaluation=[]"]
    recipe = resolve(load_recipe(name, [*RECIPES[name], *world], registry), registry)
    data = open_data(recipe.recipe.data, recipe, registry)
    with TemporaryDirectory() as folder:
        setup = Setup(recipe, registry, data, fit_modalities(recipe, data, Path(folder)), Path(folder))
        reader = setup.reader(data.splits["train"])
    plan = Plan(0, 10**6, batch_size, True, 1, 0, 1)
    return reader, _Steps(reader, ViewBuilder.of(recipe).all_keys(), plan).load


def measure(name: str, load: Load, reader: Reader, steps: int) -> None:
    """Print a line for each loader and number of workers."""
    for workers in (1, 2):
        best: dict[str, tuple[float, float]] = {}
        for _ in range(3):
            for loader, start in (("DataLoader", by_torch), ("supervised", by_supervised_workers)):
                began, used = time.perf_counter(), time.process_time()
                for step in start(load, reader, steps, workers):
                    touch(step)
                spent = time.perf_counter() - began, time.process_time() - used
                best[loader] = min(best.get(loader, spent), spent)
        for loader, (wall, cpu) in best.items():
            rate, main_ms = steps / wall, 1000 * cpu / steps
            print(
                f"{name:14} {workers} workers  {loader:10} {rate:8.2f} steps/s, main {main_ms:6.2f} ms/step", flush=True
            )


def main() -> None:
    """Measure each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in RECIPES:
        reader, load = prepare(name, options.batch_size)
        if name == "image-simclr":
            measure("copied", copies(load(0, Watch())), reader, 10 * options.steps)
        measure(name, load, reader, options.steps)


if __name__ == "__main__":
    main()
