"""Promises of recipes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from unlabeled.recipes.load import load_recipe
from unlabeled.recipes.resolve import resolve
from unlabeled.runs.api import train
from unlabeled.runs.dry_run import describe_recipe
from unlabeled.testing.conformance.bench import Bench
from unlabeled_registry.manifest import Component

SMALL = {"training.steps": 2, "training.batch_size": 8, "training.warmup_steps": 0, "training.device": "cpu"}


def overrides(bench: Bench, component: Component) -> list[str]:
    """What makes a recipe small: few steps and rows, on the sample world a small one; and what conformance.toml says."""
    written = load_recipe(component.id, [], bench.registry)
    changed: dict[str, Any] = dict(SMALL)
    if "epochs" in written.get("training", {}):
        changed["training.epochs"] = None
    if str(written.get("data", {}).get("source", "")) == "sample:world":
        changed["data.options.items"] = {"train": 64, "validation": 32, "test": 32}
    changed |= bench.companions.settings(component).options
    return [f"{key}={yaml.safe_dump(value, default_flow_style=True).strip()}" for key, value in changed.items()]


def _resolves(bench: Bench, component: Component) -> None:
    resolve(load_recipe(component.id, [], bench.registry), bench.registry)


def _dry_run(bench: Bench, component: Component) -> None:
    described = describe_recipe(component.id, overrides(bench, component))
    if "# each of" not in described:
        raise AssertionError(f"{component.id}: a dry run does not say what a step does")


def _trains(bench: Bench, component: Component) -> None:
    run = train(component.id, overrides(bench, component), run=bench.folder() / "run", quiet=True)
    lines = run.read("metrics.jsonl")
    if not lines:
        raise AssertionError(f"{component.id}: no step was logged")
    if any(line["kind"] == "not finite" for line in run.read("incidents.jsonl")):
        raise AssertionError(f"{component.id}: a step was not finite; see incidents.jsonl")


def named(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and id of each component that a recipe names."""
    for entry in recipe.get("modalities", {}).values():
        yield "modality", entry["id"]
        if "encoder" in entry:
            yield "encoder", entry["encoder"]["id"]
    for entry in recipe.get("objectives", ()):
        yield "objective", entry["id"]
        yield from (("augmentation", mask["id"]) for mask in entry.get("masks", {}).values())
    for roles in recipe.get("augmentations", {}).values():
        yield from (("augmentation", step["id"]) for steps in roles.values() for step in steps)
    yield from (("evaluator", entry["id"]) for entry in recipe.get("evaluation", ()))
    source = recipe.get("data", {}).get("source")
    if isinstance(source, str) and source.startswith("sample:"):
        yield "source", source.removeprefix("sample:")


PROMISES: Mapping[str, Callable[[Bench, Component], None]] = {
    "resolves": _resolves,
    "dry-run": _dry_run,
    "trains": _trains,
}
