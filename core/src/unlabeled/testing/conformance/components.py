"""Promises of every component: manifest against code, options, and traces."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ValidationError

from unlabeled.interfaces.augmentation import Augmentation, Masking, Transform
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.evaluator import Evaluator
from unlabeled.interfaces.modality import Config, Modality
from unlabeled.interfaces.objective import Objective, ViewSpec
from unlabeled.interfaces.source import Source
from unlabeled.recipes.options import options_of
from unlabeled.recipes.problems import describe
from unlabeled.recipes.schema import ComponentEntry, EvaluationEntry, ModalityEntry, ObjectiveEntry
from unlabeled.testing.conformance.bench import Bench
from unlabeled.testing.conformance.companions import Missing
from unlabeled.testing.promises import finite
from unlabeled.testing.traces import check_traces, without_communication
from unlabeled.testing.views import make_draws
from unlabeled_registry.capabilities import PAIRED
from unlabeled_registry.errors import RegistryError, one_line
from unlabeled_registry.manifest import Component

BASES: Mapping[str, type[Any]] = {
    "modality": Modality,
    "encoder": Encoder,
    "augmentation": Augmentation,
    "objective": Objective,
    "evaluator": Evaluator,
    "source": Source,
}
ENTRIES: Mapping[str, type[ComponentEntry]] = {
    "modality": ModalityEntry,
    "objective": ObjectiveEntry,
    "evaluator": EvaluationEntry,
}
WRONG: tuple[Any, ...] = ({"no": "such"}, [None], "no such value", -1, 0, math.nan)
"""Values to give each option; an option may accept any of them, and must then be able to work with it."""


def _require(kept: bool, component: Component, text: str) -> None:
    if not kept:
        raise AssertionError(f"{component.id}: {text}")


def _object(bench: Bench, component: Component) -> None:
    type_, base = bench.registry.load(component), BASES[component.kind]
    kept = inspect.isclass(type_) and issubclass(type_, base)
    _require(kept, component, f"{component.object} is no {base.__name__}")
    missing = ", ".join(sorted(getattr(type_, "__abstractmethods__", ())))
    _require(not missing, component, f"{component.object} leaves out {missing}")
    if component.kind == "augmentation":
        text = f"{component.object} is neither a Transform nor a Masking"
        _require(issubclass(type_, Transform | Masking), component, text)
    build = _builder(bench, component)
    build(bench.resolved(component).config)


def _config(bench: Bench, component: Component) -> None:
    model = bench.registry.load(component).Config
    _require(inspect.isclass(model) and issubclass(model, BaseModel), component, "Config is no pydantic model")
    kept = issubclass(model, Config) or (
        model.model_config.get("frozen") and model.model_config.get("extra") == "forbid"
    )
    _require(bool(kept), component, "Config is no unlabeled.Config, which refuses unknown options and does not change")
    _require(model.model_config.get("extra") == "forbid", component, "Config accepts unknown options")
    _require(bool(model.model_config.get("frozen")), component, "Config can be changed; leave it frozen")
    for option in options_of(model):
        text = f"option {option.name} has no description; write Field(description=...)"
        _require(bool(option.description), component, text)
    taken = sorted(set(model.model_fields) & set(ENTRIES.get(component.kind, ComponentEntry).model_fields))
    _require(
        not taken, component, f"option {', '.join(taken)} means something else in the entry of every {component.kind}"
    )


def _options(bench: Bench, component: Component) -> None:
    model, good = bench.registry.load(component).Config, bench.resolved(component).config.model_dump()
    build = _builder(bench, component)
    _accepted(component, model, {**good, "no-such-option": 1}, "no-such-option")
    for name in model.model_fields:
        for value in WRONG:
            config = _accepted(component, model, {**good, name: value}, name)
            if config is not None:
                _builds(component, build, config, f"{name}={value!r}")


def _accepted(component: Component, model: type[BaseModel], values: Mapping[str, Any], name: str) -> BaseModel | None:
    """The Config with these values, or None where they are refused as they must be."""
    value = values[name]
    try:
        config = model.model_validate(dict(values))
    except ValidationError as error:
        for line in describe(error, model):
            text = f"{name}={value!r} is refused in several lines: {line!r}"
            _require(len(line.splitlines()) == 1, component, text)
        return None
    except Exception as error:
        text = f"{name}={value!r} raises {type(error).__name__} and not ValueError"
        raise AssertionError(f"{component.id}: {text}") from None
    _require(name in model.model_fields, component, "Config accepts unknown options")
    return config


def _builds(component: Component, build: Callable[[BaseModel], object], config: BaseModel, what: str) -> None:
    try:
        build(config)
    except (ValueError, NotImplementedError) as error:
        kept = len(str(error).strip().splitlines()) == 1
        _require(kept, component, f"{what} is refused in {len(str(error).splitlines())} lines: {str(error)[:100]!r}")
    except Exception as error:
        text = f"{what} is accepted, and building fails with {one_line(error)}; let Config refuse it"
        raise AssertionError(f"{component.id}: {text}") from None


def _builder(bench: Bench, component: Component) -> Callable[[BaseModel], object]:
    """Config -> an instance, built as a run builds it."""
    type_ = bench.registry.load(component)
    if component.kind == "encoder":
        tried = bench.tried(component, trained=False)
        return lambda config: _seeded(lambda: type_(config, tried.modality))
    if component.kind == "objective":
        case, setup = bench.objective_case(component), bench.tried(component, precision="float64").setup
        facts = setup.facts(len(setup.data.splits["train"]))
        return lambda config: _seeded(lambda: type_(config, case.encoders, facts))
    if component.kind == "source":
        return lambda config: type_(config, type_.splits(config)[0])
    return type_  # type: ignore[no-any-return]


def _seeded(build: Callable[[], object]) -> object:
    with torch.random.fork_rng(devices=[]):
        return build()


def _declared(bench: Bench, component: Component) -> None:
    type_ = bench.registry.load(component)
    package = component.object.partition(":")[0].partition(".")[0]
    home = type_.__module__.partition(".")[0]
    _require(home == package, component, f"{component.object} is another package's, {type_.__module__}")
    if check := _DECLARED.get(component.kind):
        check(bench, component, type_)


def _declared_modality(bench: Bench, component: Component, type_: type[Modality]) -> None:
    declared, own = set(component.columns), set(type_.columns)
    _require(own == declared, component, f"the manifest's columns are {_names(declared)}, the class's {_names(own)}")
    case = bench.modality_case(component)
    value = case.batch(case.samples()).inputs[type_.input_name]
    text = f"{type_.input_name} holds {value.dtype}, so the manifest must say dense = false"
    _require(not component.dense or value.is_floating_point(), component, text)
    encoder = _find(bench, "encoder", component.encoder or "", component)
    _require(encoder.takes(component), component, f"its default encoder, {encoder.id}, does not take it")


def _declared_encoder(bench: Bench, component: Component, type_: type[Encoder]) -> None:
    case = bench.encoder_case(component)
    more = sorted(set(case.encoder.provides) - set(component.provides))
    _require(not more, component, f"provides {_names(more)}, which the manifest leaves out")
    less = sorted(set(component.provides) - set(case.encoder.provides))
    text = f"the manifest declares {_names(less)}, which it lacks with the options it is tried with"
    _require(not less, component, f"{text}; give others in conformance.toml, or remove what it never has")
    takes_something(bench, component)


def _declared_augmentation(bench: Bench, component: Component, type_: type[Augmentation]) -> None:
    takes_something(bench, component)


def takes_something(bench: Bench, component: Component) -> None:
    """A modality that an encoder, augmentation or objective works on is installed."""
    installed = bench.registry.components("modality")
    if not installed:
        raise Missing("no modality is installed; install a plugin that has one, such as unlabeled-timeseries")
    fits = any(component.takes(modality) for modality in installed)
    _require(fits, component, f"its modalities, {_names(component.modalities)}, are none that is installed")


def _declared_objective(bench: Bench, component: Component, type_: type[Objective]) -> None:
    declared, own = set(component.requires) - {PAIRED}, set(type_.requires) - {PAIRED}  # which no encoder provides
    _require(own == declared, component, f"the manifest requires {_names(declared)}, the class {_names(own)}")


def _names(words: Any) -> str:
    return ", ".join(sorted(words)) or "nothing"


def _find(bench: Bench, kind: str, id_: str, component: Component) -> Component:
    try:
        return bench.registry.find(kind, id_)
    except RegistryError as error:
        raise AssertionError(f"{component.id}: {error.problems[0]}") from None


_DECLARED: Mapping[str, Callable[[Bench, Component, Any], None]] = {
    "modality": _declared_modality,
    "encoder": _declared_encoder,
    "augmentation": _declared_augmentation,
    "objective": _declared_objective,
}


def pipelines(bench: Bench, component: Component) -> None:
    """Each default augmentation of a modality exists, takes it, accepts its options, and runs in its place."""
    case, tried = bench.modality_case(component), bench.tried(component, trained=False)
    for role, steps in case.modality.pipelines().items():
        view = tried.view()
        for number, step in enumerate(steps):
            found = _find(bench, "augmentation", str(step["id"]), component)
            _require(found.takes(component), component, f"pipelines.{role}.{number}: {found.id} does not take it")
            type_ = bench.registry.load(found)
            try:
                config = type_.Config.model_validate({key: value for key, value in step.items() if key != "id"})
            except ValidationError as error:
                text = f"pipelines.{role}.{number}: {describe(error, type_.Config)[0]}"
                raise AssertionError(f"{component.id}: {text}") from None
            view = type_(config)(view, make_draws(view))
        value = view.inputs[case.modality.input_name]
        kept = not value.is_floating_point() or finite(value)
        _require(kept, component, f"the role {role} gives {case.modality.input_name} that is not finite")


def views(bench: Bench, component: Component) -> None:
    """What an objective asks for: specifications whose maskings exist, and views that come of them in their order."""
    resolved = bench.resolved(component)
    specs = resolved.type.view_specs(resolved.config)
    _require(bool(specs), component, "asks for no view")
    for spec in specs:
        _require(isinstance(spec, ViewSpec), component, f"view_specs holds {type(spec).__name__}, no ViewSpec")
        for mask in spec.masks.values():
            found = _find(bench, "augmentation", str(mask["id"]), component)
            kept = issubclass(bench.registry.load(found), Masking)
            _require(kept, component, f"its mask {found.id} is no masking")
    case = bench.objective_case(component)
    expected = len(case.encoders) * sum(spec.count for spec in specs)
    _require(len(case.views) == expected, component, f"was given {len(case.views)} views and asked for {expected}")


def communication(bench: Bench, component: Component) -> None:
    """Counting, representing, the loss and what follows a step ask torch.distributed for nothing."""
    case = bench.objective_case(component)
    step, context = case.step(), case.context()
    with without_communication(component.id):
        case.objective.counts(case.views, context)
        case.objective.represent(case.views, case.encoders, context)
        case.objective.loss(step.outputs, {name: step.outputs[name] for name in case.objective.gathers}, context)
        case.after(step)


def _traces(bench: Bench, component: Component) -> None:
    check_traces(_USES[component.kind](bench, component), component.id)


def _use_modality(bench: Bench, component: Component) -> Callable[[], object]:
    case = bench.modality_case(component)
    folder = bench.folder()
    case.modality.save(folder)

    def use() -> None:
        modality = case.unfitted()
        modality.restore(folder)
        samples = [modality.decode(cell) for cell in case.cells]
        for role in ("plain", "weak"):
            taken = [modality.take(sample, Draws(0, 0, torch.tensor([11]), "", role), role) for sample in samples]
            modality.raw(case.batch(taken))

    return use


def _use_encoder(bench: Bench, component: Component) -> Callable[[], object]:
    def use() -> None:
        case = bench.encoder_case(component)
        assert case.pooled is not None
        if "tokens" in case.encoder.provides:
            case.encoder.layout(case.batch)

    return use


def _use_augmentation(bench: Bench, component: Component) -> Callable[[], object]:
    return lambda: [case.result() for case in bench.augmentation_cases(component)]


def _use_objective(bench: Bench, component: Component) -> Callable[[], object]:
    def use() -> None:
        case = bench.objective_case(component)
        case.after(case.step())

    return use


def _use_evaluator(bench: Bench, component: Component) -> Callable[[], object]:
    case = bench.evaluator_case(component)
    return lambda: case.evaluate()


def _use_source(bench: Bench, component: Component) -> Callable[[], object]:
    case = bench.source_case(component)
    opened = []

    def use() -> None:
        source = case.open()
        opened.append(source)  # what it holds open must not be closed by its end
        source.fingerprint()
        source.row(0, list(source.columns))

    return use


_USES: Mapping[str, Callable[[Bench, Component], Callable[[], object]]] = {
    "modality": _use_modality,
    "encoder": _use_encoder,
    "augmentation": _use_augmentation,
    "objective": _use_objective,
    "evaluator": _use_evaluator,
    "source": _use_source,
}
PROMISES: Mapping[str, Callable[[Bench, Component], None]] = {
    "object": _object,
    "config": _config,
    "options": _options,
    "declared": _declared,
    "traces": _traces,
}
