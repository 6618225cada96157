"""Which function proves which promise. A promise of the list that has none here never runs, and its report is red."""

from collections.abc import Callable, Mapping

from unlabeled.testing import augmentations, capabilities, encoders, evaluators, modalities, objectives, sources
from unlabeled.testing.conformance import components, exports, learning, plugins, recipes, runs, stand_in
from unlabeled.testing.conformance.bench import Bench
from unlabeled.testing.conformance.promises import CAPABILITY
from unlabeled_registry.manifest import Component

Check = Callable[[Bench, Component], None]
"""AssertionError of one line where the promise is broken, `Missing` where it cannot be tried."""
PluginCheck = Callable[[Bench], None]


def _encoder(check: encoders.Check) -> Check:
    return lambda bench, component: check(bench.encoder_case(component))


def _modality(check: modalities.Check) -> Check:
    return lambda bench, component: check(bench.modality_case(component))


def _objective(check: objectives.Check) -> Check:
    return lambda bench, component: check(bench.objective_case(component))


def _evaluator(check: evaluators.Check) -> Check:
    return lambda bench, component: check(bench.evaluator_case(component))


def _source(check: sources.Check) -> Check:
    return lambda bench, component: check(bench.source_case(component))


def _augmentation(check: augmentations.Check) -> Check:
    def each(bench: Bench, component: Component) -> None:
        for case in bench.augmentation_cases(component):
            check(case)

    return each


def _of(kind: str, checks: Mapping[str, Check]) -> dict[tuple[str, str], Check]:
    return {(kind, promise): check for promise, check in checks.items()}


PLUGIN_CHECKS: Mapping[str, PluginCheck] = plugins.PROMISES
CHECKS: Mapping[tuple[str, str], Check] = {
    key: check
    for kind in ("modality", "encoder", "augmentation", "objective", "evaluator", "source")
    for key, check in _of(kind, components.PROMISES).items()
} | {
    **_of("modality", {name: _modality(check) for name, check in modalities.PROMISES.items()}),
    **_of("modality", {"pipelines": components.pipelines}),
    **_of("encoder", {name: _encoder(check) for name, check in encoders.PROMISES.items()}),
    **_of("encoder", {f"{CAPABILITY}{name}": _encoder(check) for name, check in capabilities.PROVED.items()}),
    **_of("encoder", {"export": exports.export, "continues": runs.continues}),
    **{key: check for kind in ("encoder", "objective") for key, check in _of(kind, learning.PROMISES).items()},
    **_of("augmentation", {name: _augmentation(check) for name, check in augmentations.PROMISES.items()}),
    **_of("objective", {name: _objective(check) for name, check in objectives.PROMISES.items()}),
    **_of(
        "objective",
        {"views": components.views, "modalities": stand_in.modalities, "communication": components.communication},
    ),
    **_of("objective", {"invariance": runs.invariance, "continues": runs.continues}),
    **_of("evaluator", {name: _evaluator(check) for name, check in evaluators.PROMISES.items()}),
    **_of("source", {name: _source(check) for name, check in sources.PROMISES.items()}),
    **_of("recipe", recipes.PROMISES),
}
