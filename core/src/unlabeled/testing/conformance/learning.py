"""Promises of a short training: it learns, and it does not collapse.

A loss alone does not show that: one that only pulls views together falls fastest where all features become equal. So views of
other samples are put in the place of a sample's own. How much that raises the loss says how well it knows which views belong
together; where features collapse, pairs are mixed up, or only the size of something changes, it falls, whatever the loss does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unlabeled.data.loader import MicroBatch, collate_views
from unlabeled.data.reader import Example
from unlabeled.interfaces.batch import View
from unlabeled.interfaces.objective import Context
from unlabeled.runs.features import FeatureStore
from unlabeled.testing.conformance.bench import Bench
from unlabeled.testing.conformance.runs import train
from unlabeled.training.step import StepEngine
from unlabeled.training.views import ViewBuilder
from unlabeled_registry.manifest import Component

SUBJECTS = ("untrained", "trained")
SHIFTS = (1, 2, 3, 5)
"""By how many rows the other views are shifted; several, as neighbours may be alike."""
LEAST_SPREAD = 1e-3
"""Deviation of features over their size below which all samples have the same: rounding gives 1e-6, and the least of the
shipped encoders, untrained, 0.04."""
LEAST_SHARE = 0.2
"""Of the untrained networks' spread and rise (of the loss, by views of other samples) that the trained ones' must keep. Where the
short training raises both there is no question; else a longer one shows it. After that the shipped components have 0.4 or more,
as an untrained contrastive loss may be sure of what is wrong, and planted collapses 0.06 or less."""
LONGER = 4
"""Times as many steps, at three times the learning rate."""
LEAST_RISE = 1e-3
"""That rise over the loss itself: rounding gives 1e-6, and the least of the shipped components is 1e-2."""


@dataclass(frozen=True)
class Training:
    """A component's short training, and what it is scored on."""

    store: FeatureStore
    split: str
    terms: Mapping[str, float]
    """Full name of each term of the loss -> its weight."""
    steps: int

    def loss(self, subject: str) -> float:
        """The terms, weighted and summed, on the held-out split."""
        losses = self.store.losses(subject, self.split)
        return sum(weight * losses.get(name, math.nan) for name, weight in self.terms.items())


def _training(bench: Bench, component: Component, *, longer: bool = False) -> Training:
    def run() -> Training:
        settings = bench.companions.settings(component).learns
        steps, rate = settings.steps, settings.learning_rate
        if longer:
            steps, rate = LONGER * steps, 3 * rate
        recipe = bench.recipe(component, steps=steps, learning_rate=rate, batch_size=16)
        trainer = train(recipe, bench.folder() / "run", bench.registry)
        setup = trainer.setup
        learners = {"trained": trainer.whole_learner(), "untrained": setup.learner(trainer.facts)}
        split = "test" if "test" in setup.data.splits else "validation"
        return Training(FeatureStore(setup, setup.data, learners), split, _terms(bench, component), steps)

    training: Training = bench.once(("training", component.kind, component.id, longer), run)
    return training


def _terms(bench: Bench, component: Component) -> dict[str, float]:
    case = bench.objective_case(component)
    (name, _), *_ = bench.learner(component, precision="float64").named()
    return {f"{name}/{term}": case.objective.weights.get(term, 1.0) for term in case.step().sums}


def learns(bench: Bench, component: Component) -> None:
    """A short training lowers the loss on the held-out split."""
    training = _training(bench, component)
    trained, untrained = training.loss("trained"), training.loss("untrained")
    if not trained < untrained:
        raise AssertionError(
            f"{component.id}: after {training.steps} steps its loss on held-out data is {trained:.4g}, of the untrained "
            f"networks {untrained:.4g}; give more steps or another learning rate under learns in conformance.toml"
        )


def collapse(bench: Bench, component: Component) -> None:
    """After a training the features of held-out samples differ, and views of other samples raise the loss."""
    training = _training(bench, component)
    if not _rises_more(training):
        training = _training(bench, component, longer=True)
    for encoder in training.store.setup.modalities:
        untrained, trained = (_spread(training, subject, encoder) for subject in SUBJECTS)
        if untrained < LEAST_SPREAD:
            raise AssertionError(
                f"{component.id}: the untrained encoder {encoder} gives all samples the same features (spread "
                f"{untrained:.2g}); it must depend on its input"
            )
        if trained < max(LEAST_SPREAD, LEAST_SHARE * untrained):
            raise AssertionError(
                f"{component.id}: after {training.steps} steps the encoder {encoder} gives all samples nearly the same "
                f"features (spread {trained:.2g}, untrained {untrained:.2g}); the loss needs something that keeps them apart"
            )
    rises = _rises(training)
    if rises is None:
        return
    least = max(LEAST_SHARE * rises["untrained"], _least_rise(training))
    if not rises["trained"] > least:
        raise AssertionError(
            f"{component.id}: on held-out data, views of other samples raise its loss by {rises['trained']:.2g} after "
            f"{training.steps} steps, and by {rises['untrained']:.2g} before: it collapses, or pairs what does not belong "
            "together; where it is only slow, give more steps or another learning rate under learns in conformance.toml"
        )


def _rises_more(training: Training) -> bool:
    """Whether views of other samples raise the loss by more than before; True of an objective that has one view."""
    rises = _rises(training)
    return rises is None or rises["trained"] > max(rises["untrained"], _least_rise(training))


def _least_rise(training: Training) -> float:
    return LEAST_RISE * abs(training.loss("trained"))


def _spread(training: Training, subject: str, encoder: str) -> float:
    """Deviation of the features of held-out samples from their mean, over their size."""
    features = training.store.features(subject, training.split).arrays[encoder, False].astype(np.float64)
    size = math.sqrt((features**2).sum(axis=1).mean())
    return math.sqrt(((features - features.mean(axis=0)) ** 2).sum(axis=1).mean()) / max(size, 1e-12)


def _rises(training: Training) -> dict[str, float] | None:
    """By how much views of other samples raise each subject's loss; None where an objective has no second view."""
    if not any(len(keys) > 1 for keys in ViewBuilder.of(training.store.setup.recipe).keys.values()):
        return None
    rises = {}
    for subject in SUBJECTS:
        own = _mismatched(training, subject, 0)
        rises[subject] = float(np.mean([_mismatched(training, subject, shift) for shift in SHIFTS])) - own
    return rises


def _mismatched(training: Training, subject: str, shift: int) -> float:
    """The loss on held-out data where every other view is of the sample that many rows on."""
    store = training.store
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    settings = store.setup.recipe.recipe.training
    learner = store.learners[subject].eval()
    weights = {entry.name: entry.weight for entry in store.setup.recipe.objectives}
    engine, builder = StepEngine(learner, learner, weights), ViewBuilder.of(store.setup.recipe)

    def views_of(examples: Sequence[Example]) -> dict[str, list[View]]:
        batches = collate_views(examples, builder.all_keys(), store.setup.modalities, settings.seed, 0)
        micro = MicroBatch(0, batches)
        return builder.build(micro, learner, seed=settings.seed, step=0, device=torch.device("cpu"))

    examples = [example for _, example in store.examples(training.split)]
    for start in range(0, len(examples), settings.batch_size):
        rows = examples[start : start + settings.batch_size]
        own, others = views_of(rows), views_of(rows[shift:] + rows[:shift])
        views = {name: _mixed(own[name], others[name]) for name in own}
        ids = next(iter(own.values()))[0].ids
        context = Context(training.steps - 1, training.steps, 0, settings.seed, ids=ids, training=False)
        for name, (value, count) in engine.evaluate(views, context).items():
            sums[name] = sums.get(name, 0.0) + value
            counts[name] = counts.get(name, 0.0) + count
    return sum(weight * sums[name] / max(counts[name], 1.0) for name, weight in training.terms.items())


def _mixed(own: Sequence[View], others: Sequence[View]) -> list[View]:
    """The first encoder's own views and the others' of other samples; of one encoder alone, every second view."""
    names = [view.encoder for view in own]
    keeps = [name == names[0] for name in names] if len(set(names)) > 1 else [not n % 2 for n in range(len(own))]
    return [mine if keep else other for mine, other, keep in zip(own, others, keeps, strict=True)]


PROMISES: Mapping[str, Callable[[Bench, Component], None]] = {"learns": learns, "collapse": collapse}
