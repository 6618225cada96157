"""Runs a recipe's evaluators: every metric beside the untrained encoder and raw features."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.evaluator import Evaluation, EvaluationContext
from unlabeled.recipes.resolve import Resolved
from unlabeled.recipes.schema import EvaluationEntry
from unlabeled.runs.features import FeatureStore, StoredData, StoredSubject
from unlabeled.training.learner import Learner
from unlabeled.training.setup import Data, Setup, open_data

BASELINES = ("untrained", "raw")


def evaluate_learner(setup: Setup, learner: Learner, step: int) -> list[dict[str, Any]]:
    """The lines of evaluations.jsonl for every evaluator of the recipe, on one process.

    `UnlabeledError` names the evaluator and what the data lack.
    """
    say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print
    untrained = setup.learner(
        setup.facts(max(len(setup.data.splits["train"]), setup.recipe.recipe.training.batch_size))
    )
    learners = {"trained": learner, "untrained": untrained.to(next(learner.parameters()).device)}
    stores: dict[tuple[int | None, str], FeatureStore] = {}
    lines = []
    for number, (entry, evaluator) in enumerate(setup.recipe.evaluators):
        data = setup.data if entry.data is None else open_data(entry.data, setup.recipe, setup.registry)
        if evaluator.type.needs_label and label_of(entry, data) is None:
            say(f"{evaluator.id} is left out, as the data have no label column; name one with data.label=COLUMN")
            continue
        key = (entry.max_samples, str(data.fingerprint))
        if key not in stores:
            stores[key] = FeatureStore(setup, data, learners, entry.max_samples)
        try:
            lines += _evaluate(entry, evaluator, stores[key], step)
        except ValueError as error:
            raise UnlabeledError(f"evaluation.{number} ({evaluator.id}): {error}") from None
    learner.train()
    return lines


def _evaluate(entry: EvaluationEntry, evaluator: Resolved, store: FeatureStore, step: int) -> list[dict[str, Any]]:
    data = store.data
    test = entry.test or next((name for name in ("test", "validation") if name in data.splits), None)
    if test is None:
        raise ValueError(f"no split to score on; the data have: {', '.join(data.splits)}")
    context = EvaluationContext(
        store.setup.recipe.recipe.training.seed,
        entry.train,
        test,
        label_of(entry, data),
    )
    subjects = [StoredSubject(name, store) for name in ("trained", *BASELINES)]
    found: Sequence[Evaluation] = evaluator.build().evaluate(subjects, StoredData(store), context)
    return [_line(evaluator, evaluation, context, store, step) for evaluation in found]


def _line(
    evaluator: Resolved, evaluation: Evaluation, context: EvaluationContext, store: FeatureStore, step: int
) -> dict[str, Any]:
    protocol = {
        "train": context.train,
        "test": context.test,
        "label": context.label,
        "seed": context.seed,
        "max_samples": store.limit,
        **evaluator.config.model_dump(mode="json"),
        **evaluation.protocol,
    }
    return {
        "step": step,
        "evaluator": evaluator.id,
        "on": evaluation.on,
        "data": store.data.describe(),
        "metrics": evaluation.metrics.get("trained", {}),
        "baselines": {name: evaluation.metrics[name] for name in BASELINES if name in evaluation.metrics},
        "protocol": protocol,
    }


def label_of(entry: EvaluationEntry, data: Data) -> str | None:
    """The label column: as the recipe says, else one called `label`, else the only one whose labels have names."""
    if entry.label or data.config.label:
        return entry.label or data.config.label
    source = next(iter(data.splits.values())).source
    labels = [name for name, kind in source.columns.items() if kind == "label"]
    named = [name for name in labels if source.label_names(name)]
    if "label" in labels:
        return "label"
    return named[0] if len(named) == 1 else None


def print_evaluations(lines: Sequence[dict[str, Any]], console: Console) -> None:
    """A table of the metrics with their baselines, and a line for whatever gained nothing over them."""
    if not lines:
        return
    table = Table("evaluator", "on", "metric", "trained", *BASELINES)
    for line in lines:
        for metric, value in line["metrics"].items():
            cells = [_number(line["baselines"].get(name, {}).get(metric)) for name in BASELINES]
            table.add_row(line["evaluator"].rpartition("/")[2], line["on"], metric, _number(value), *cells)
    console.print(table)
    for line in lines:
        message = gained_nothing(line)
        if message:
            console.print(message, highlight=False, soft_wrap=True)


def gained_nothing(line: dict[str, Any]) -> str | None:
    """A sentence where training did not beat the untrained encoder in a metric of which more is better."""
    for metric, value in line["metrics"].items():
        untrained = line["baselines"].get("untrained", {}).get(metric)
        if untrained is not None and metric in _HIGHER_IS_BETTER and value <= untrained:
            return (
                f"{line['evaluator']} on {line['on']}: training gained nothing over the untrained encoder "
                f"({metric} {value:.3f}, untrained {untrained:.3f})"
            )
    return None


_HIGHER_IS_BETTER = {"accuracy", "recall@1", "recall@5", "recall@10", "spearman", "f1"}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def with_evaluators(setup: Setup, evaluators: Sequence[tuple[EvaluationEntry, Resolved]]) -> Setup:
    """The setup with other evaluators."""
    return replace(setup, recipe=replace(setup.recipe, evaluators=list(evaluators)))
