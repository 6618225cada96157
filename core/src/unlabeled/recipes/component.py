"""What a component is, which options it has, what it declares, and how a recipe names it."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from unlabeled.recipes.options import Option, options_of
from unlabeled_registry.errors import PluginError, one_line
from unlabeled_registry.manifest import Component
from unlabeled_registry.registry import Registry
from unlabeled_registry.schema import ANY

if TYPE_CHECKING:
    from unlabeled.interfaces.objective import ViewSpec

Declared = dict[str, Any]


@dataclass(frozen=True)
class Description:
    """A component for a person who is about to use it."""

    component: Component
    version: str
    """The plugin's."""
    doc: str
    """Its class's docstring; empty where it has none of its own, and for a recipe."""
    options: list[Option]
    declares: Declared
    """What its manifest and its class say of it, by the interface's own names."""
    recipe: dict[str, Any]
    """The part of a recipe that names it."""
    override: str | None
    """An option as an argument of the command, where a recipe names the component."""


def describe_component(component: Component, registry: Registry) -> Description:
    """Import a component and describe it; `PluginError` where its plugin's code fails. A recipe is not imported."""
    version = registry.plugin(component.plugin).version
    if component.kind == "recipe":
        return Description(component, version, "", [], {"file": component.object}, {}, None)
    type_ = registry.load(component)
    try:
        options = options_of(type_.Config)
        declares = _DECLARES[component.kind](component, type_, registry)
    except (Exception, SystemExit) as error:
        raise PluginError(
            component.plugin,
            f"{component.kind} {component.id!r} of plugin {component.plugin!r} cannot be described: {one_line(error)}; "
            f"`python -m unlabeled.testing {component.owner}` shows what else it breaks",
        ) from error
    example = _example(options)
    recipe, path = _place(component, type_, registry, example)
    override = next((f"{path}.{name}={inline(value)}" for name, value in example.items()), None)
    return Description(component, version, _doc(type_), options, declares, recipe, override)


def _doc(type_: type[Any]) -> str:
    """The docstring of the class, else that of the nearest class it derives from before core's interface, which is general."""
    own = takewhile(lambda base: base.__module__.partition(".")[0] != "unlabeled", type_.__mro__)
    return next((inspect.cleandoc(text) for base in own if (text := vars(base).get("__doc__"))), "")


def _modality(component: Component, type_: type[Any], registry: Registry) -> Declared:
    return {
        "columns": list(type_.columns),
        "main_input": type_.input_name,
        "channel_axis": type_.channel_axis,
        "extras": list(type_.extras),
        "default_encoder": component.encoder,
        "encoders": [item.id for item in registry.components("encoder") if item.takes(component)],
        "pipelines": _with_defaults(type_, lambda config: _plain(type_(config).pipelines())),
    }


def _encoder(component: Component, type_: type[Any], registry: Registry) -> Declared:
    return {"modalities": _modalities(component), "provides": sorted({*component.provides, *type_.provides})}


def _augmentation(component: Component, type_: type[Any], registry: Registry) -> Declared:
    return {"is": "masking" if _is_masking(type_) else "transform", "modalities": _modalities(component)}


def _objective(component: Component, type_: type[Any], registry: Registry) -> Declared:
    from unlabeled.interfaces.objective import Objective  # torch, which a recipe's description need not wait for

    return {
        "modalities": _modalities(component),
        "requires": sorted({*component.requires, *type_.requires}),
        "views": _with_defaults(type_, lambda config: [_view(spec) for spec in type_.view_specs(config)]),
        "gathers": list(type_.gathers),
        "constants": list(type_.constants),
        "weights": dict(type_.weights),
        "needs_whole_batch": bool(type_.gathers) or type_.head is not Objective.head or type_.coupled is True,
        "survey_every": type_.survey_every,
    }


def _evaluator(component: Component, type_: type[Any], registry: Registry) -> Declared:
    return {"needs_label": type_.needs_label}


def _source(component: Component, type_: type[Any], registry: Registry) -> Declared:
    return {"splits": _with_defaults(type_, lambda config: list(type_.splits(config)))}


_DECLARES: Mapping[str, Callable[[Component, type[Any], Registry], Declared]] = {
    "modality": _modality,
    "encoder": _encoder,
    "augmentation": _augmentation,
    "objective": _objective,
    "evaluator": _evaluator,
    "source": _source,
}


def _is_masking(type_: type[Any]) -> bool:
    from unlabeled.interfaces.augmentation import Masking

    return issubclass(type_, Masking)


def _modalities(component: Component) -> list[str]:
    return ["all"] if ANY in component.modalities else list(component.modalities)


def _view(spec: "ViewSpec") -> Declared:
    return {"role": spec.role, "count": spec.count, "masks": _plain(spec.masks)}


def _with_defaults(type_: type[Any], ask: Callable[[Any], Any]) -> Any:
    """What it says with the default options; None where some option has no default."""
    try:
        config = type_.Config()
    except ValidationError:
        return None
    return ask(config)


def _plain(value: Any) -> Any:
    """Mappings and sequences as JSON and YAML have them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _example(options: Iterable[Option]) -> dict[str, Any]:
    """One option with a value: the first that must be given, else the first with a plain default."""
    own = [option for option in options if "." not in option.name]
    if not own:
        return {}
    plain = (option for option in own if isinstance(option.default, bool | int | float | str))
    found = next((option for option in own if option.required), None) or next(plain, own[0])
    return {found.name: "VALUE" if found.default is None else found.default}


def _place(
    component: Component, type_: type[Any], registry: Registry, example: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """Where a recipe names the component, and the dotted path to it. Capitals stand for what the reader chooses."""
    entry, name = {"id": component.id, **example}, component.name
    if component.kind == "modality":
        return {"modalities": {name: entry}}, f"modalities.{name}"
    if component.kind == "encoder":
        modality = next((item for item in registry.components("modality") if component.takes(item)), None)
        id_, key = (modality.id, modality.name) if modality else ("MODALITY", "NAME")
        return {"modalities": {key: {"id": id_, "encoder": entry}}}, f"modalities.{key}.encoder"
    if component.kind == "objective":
        return {"objectives": [entry]}, f"objectives.{name}"
    if component.kind == "evaluator":
        return {"evaluation": [entry]}, f"evaluation.{name}"
    if component.kind == "source":
        return {"data": {"source": f"sample:{component.id}", "options": dict(example)}}, "data.options"
    if _is_masking(type_):
        return {"objectives": [{"id": "OBJECTIVE", "masks": {"MASK": entry}}]}, "objectives.OBJECTIVE.masks.MASK"
    fitting = (item for item in registry.components("modality") if component.takes(item))
    key = next((item.name for item in fitting), "NAME")
    return {"augmentations": {key: {"ROLE": [entry]}}}, f"augmentations.{key}.ROLE.{name}"


def inline(value: Any) -> str:
    """A value as a recipe and an override write it: YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).removesuffix("\n...\n").strip()
