"""What a recipe would do, without doing it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from unlabeled.recipes.load import load_recipe
from unlabeled.recipes.resolve import resolve
from unlabeled.training.normalization import check_normalization
from unlabeled.training.setup import Setup, check_evaluation, fit_modalities, open_data
from unlabeled.training.views import ViewBuilder
from unlabeled_registry.registry import discover


def describe_recipe(recipe: str, overrides: Sequence[str]) -> str:
    """The resolved recipe, the parameter counts, and what each step does; the same checks as training makes."""
    registry = discover()
    resolved = resolve(load_recipe(recipe, overrides, registry), registry)
    data = open_data(resolved.recipe.data, resolved, registry)
    check_evaluation(resolved, data)
    with tempfile.TemporaryDirectory() as folder:
        modalities = fit_modalities(resolved, data, Path(folder))
        setup = Setup(resolved, registry, data, modalities, Path(folder))
        samples = len(setup.reader(data.splits["train"]))
        facts = setup.facts(samples)
        learner = setup.learner(facts)
        check_normalization(learner, resolved.recipe.training.micro_batches)
    training = resolved.recipe.training
    lines = ["# the resolved recipe", yaml.safe_dump(resolved.dump(), sort_keys=False, allow_unicode=True)]
    lines += ["# data"]
    lines += [f"#   {name}: {len(split)} rows" for name, split in data.splits.items()]
    lines += [f"#   {name} reads column {', '.join(columns)}" for name, columns in data.columns.items()]
    lines += ["# parameters"]
    parts = {**learner.encoders, **{f"{name} (objective)": objective for name, objective in learner.named()}}
    lines += [f"#   {name}: {sum(value.numel() for value in part.parameters()):,}" for name, part in parts.items()]
    lines += [f"# each of {facts.steps} steps ({facts.epochs:.1f} epochs of {samples} samples)"]
    lines += [
        f"#   {training.batch_size} rows, over all processes, in {training.micro_batches} micro-batches a process"
    ]
    builder = ViewBuilder.of(resolved)
    for encoder, role, index in builder.all_keys():
        steps = " -> ".join(id_ for id_, _ in builder.pipelines.get((encoder, role), ())) or "no augmentation"
        lines.append(f"#   view {encoder}/{role}/{index}: {steps}")
    for entry in resolved.objectives:
        objective = dict(learner.named())[entry.name]
        masks = ", ".join(f"{name} by {mask.id}" for name, mask in entry.masks.items())
        gathers = ", ".join(objective.gathers) or "nothing"
        twice = objective.coupled and training.micro_batches > 1
        passes = " (represented twice, as the loss needs the whole batch)" if twice else ""
        lines.append(
            f"#   {entry.objective.id} on {', '.join(entry.on)}, weight {entry.weight}"
            + (f", masks {masks}" if masks else "")
            + f"; gathers {gathers} from all processes{passes}"
        )
    schedule = f"{training.schedule} after {training.warmup_steps} warm-up steps"
    lines.append(f"#   {training.optimizer}, learning rate {training.learning_rate}, {schedule}")
    evaluators = ", ".join(item.id for _, item in resolved.evaluators) or "none"
    lines.append(f"# evaluation: {evaluators}")
    return "\n".join(lines) + "\n"
