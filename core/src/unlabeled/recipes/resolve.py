"""From a recipe as written to a recipe that can run: ids found, fits negotiated, options checked, all problems at once."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from unlabeled.errors import UnlabeledError
from unlabeled.recipes.problems import describe, did_you_mean
from unlabeled.recipes.schema import ComponentEntry, EvaluationEntry, ModalityEntry, ObjectiveEntry, Recipe
from unlabeled_registry.capabilities import PAIRED
from unlabeled_registry.errors import NotAllowed, RegistryError, listed
from unlabeled_registry.manifest import Component
from unlabeled_registry.negotiation import negotiate, refusal
from unlabeled_registry.registry import Registry
from unlabeled_registry.schema import ANY


@dataclass(frozen=True)
class Resolved:
    """A component that was found and imported, with its checked Config."""

    component: Component
    type: type[Any]
    config: BaseModel

    @property
    def id(self) -> str:
        return self.component.id

    def build(self, *arguments: Any) -> Any:
        """An instance: `type(config, *arguments)`."""
        return self.type(self.config, *arguments)

    def dump(self) -> dict[str, Any]:
        """As a recipe writes it, with every default."""
        return {"id": self.id, **self.config.model_dump(mode="json")}


@dataclass(frozen=True)
class ResolvedModality:
    """One encoder of the run."""

    modality: Resolved
    encoder: Resolved
    pipelines: Mapping[str, Sequence[Resolved]]
    """Role -> transforms, for the roles that some objective asks for."""


@dataclass(frozen=True)
class ResolvedObjective:
    """One objective of the run, with the views it asks for."""

    name: str
    objective: Resolved
    on: tuple[str, ...]
    weight: float
    views: tuple[Any, ...]
    """`ViewSpec`s, asked for of each encoder in `on`."""
    masks: Mapping[str, Resolved]


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe all of whose components exist, fit each other and accept their options."""

    recipe: Recipe
    modalities: Mapping[str, ResolvedModality]
    objectives: Sequence[ResolvedObjective]
    evaluators: Sequence[tuple[EvaluationEntry, Resolved]]

    def components(self) -> list[Resolved]:
        """Every component in use."""
        used = [item for entry in self.modalities.values() for item in (entry.modality, entry.encoder)]
        used += [item for entry in self.modalities.values() for steps in entry.pipelines.values() for item in steps]
        used += [item for entry in self.objectives for item in (entry.objective, *entry.masks.values())]
        used += [item for _, item in self.evaluators]
        return used

    def dump(self) -> dict[str, Any]:
        """The recipe with full ids and every default, as `recipe.yaml` of a run holds it."""
        base = self.recipe.model_dump(mode="json", exclude={"modalities", "objectives", "augmentations", "evaluation"})
        return {
            "summary": base["summary"],
            "modalities": {
                name: {**entry.modality.dump(), "encoder": entry.encoder.dump()}
                for name, entry in self.modalities.items()
            },
            "data": base["data"],
            "objectives": [
                {
                    **entry.objective.dump(),
                    "on": list(entry.on),
                    "weight": entry.weight,
                    "masks": {name: mask.dump() for name, mask in entry.masks.items()},
                }
                for entry in self.objectives
            ],
            "augmentations": {
                name: {role: [step.dump() for step in steps] for role, steps in entry.pipelines.items()}
                for name, entry in self.modalities.items()
            },
            "training": base["training"],
            "evaluation": [
                {
                    **entry.model_dump(
                        mode="json", include={"train", "test", "label", "max_samples", "data"}, exclude_none=True
                    ),
                    **evaluator.dump(),
                }
                for entry, evaluator in self.evaluators
            ],
        }


def resolve(data: Mapping[str, Any], registry: Registry) -> ResolvedRecipe:
    """Check a recipe and find its components; `UnlabeledError` lists every problem of shape, plugins, fit and options."""
    return _Resolver(registry).resolve(data)


class _Resolver:
    """Collects problems while resolving, so that one wrong place does not hide another."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.problems: list[str] = []

    def resolve(self, data: Mapping[str, Any]) -> ResolvedRecipe:
        recipe = self._shape(data)
        modalities = {name: self._modality(name, entry) for name, entry in recipe.modalities.items()}
        objectives = [
            self._objective(number, entry, recipe, modalities) for number, entry in enumerate(recipe.objectives)
        ]
        resolved_objectives = self._named([entry for entry in objectives if entry is not None])
        resolved_modalities = {
            name: ResolvedModality(*parts, self._pipelines(name, parts[0], recipe, resolved_objectives))
            for name, parts in modalities.items()
            if parts is not None
        }
        self._unused_augmentations(recipe, resolved_modalities, resolved_objectives)
        self._data_columns(recipe)
        evaluators = []
        for number, entry in enumerate(recipe.evaluation):
            found = self._component("evaluator", entry, ("evaluation", number))
            if found is not None:
                evaluators.append((entry, found))
        if self.problems:
            raise UnlabeledError(*self.problems)
        return ResolvedRecipe(recipe, resolved_modalities, resolved_objectives, evaluators)

    def _shape(self, data: Mapping[str, Any]) -> Recipe:
        try:
            return Recipe.model_validate(data)
        except ValidationError as error:
            self.problems += describe(error, Recipe)
        # Go on with what is well formed, so that the problems of the rest are told in the same round.
        kept = _without_errors(data, self.problems)
        try:
            return Recipe.model_validate(kept)
        except ValidationError:
            raise UnlabeledError(*self.problems) from None

    def _component(self, kind: str, entry: ComponentEntry, place: Sequence[str | int]) -> Resolved | None:
        dotted = ".".join(map(str, place))
        try:
            component = self.registry.find(kind, entry.id)
            found = self.registry.load(component)
        except NotAllowed as error:  # told once, however many of its components the recipe names
            self.problems += [problem for problem in error.problems if problem not in self.problems]
            return None
        except RegistryError as error:
            self.problems += [f"{dotted}.id: {problem}" for problem in error.problems]
            return None
        taken = sorted(set(type(entry).model_fields) & set(found.Config.model_fields))
        if taken:
            self.problems.append(
                f"{dotted}.id: {component.id} has options called {listed(taken)}, which mean something else in every "
                f"{kind}'s entry; its plugin must rename them"
            )
            return None
        try:
            return Resolved(component, found, found.Config.model_validate(entry.options))
        except ValidationError as error:
            self.problems += describe(error, found.Config, place, self._shown_by(component))
            return None

    def _shown_by(self, component: Component) -> str:
        """What `unlabeled components` needs to show this one."""
        others = [item for item in self.registry.components() if item.id == component.id]
        return component.id + (f" --kind {component.kind}" if len(others) > 1 else "")

    def _modality(self, name: str, entry: ModalityEntry) -> tuple[Resolved, Resolved] | None:
        place = ("modalities", name)
        modality = self._component("modality", entry, place)
        encoder_entry = entry.encoder
        if encoder_entry is None:
            if modality is None:
                return None
            if modality.component.encoder is None:
                self.problems.append(f"modalities.{name}.encoder: missing, as {modality.id} names no default; add one")
                return None
            encoder_entry = ComponentEntry(id=modality.component.encoder)
        encoder = self._component("encoder", encoder_entry, (*place, "encoder"))
        if modality is None or encoder is None:
            return None
        if not encoder.component.takes(modality.component):
            fitting = [item.id for item in self.registry.components("encoder") if item.takes(modality.component)]
            reads = ", ".join(encoder.component.modalities).replace(ANY, "arrays of numbers")
            self.problems.append(
                f"modalities.{name}.encoder.id: {encoder.id} reads {reads}, not {modality.id}; choose {' or '.join(fitting)}"
            )
            return None
        return modality, encoder

    def _objective(
        self,
        number: int,
        entry: ObjectiveEntry,
        recipe: Recipe,
        modalities: Mapping[str, tuple[Resolved, Resolved] | None],
    ) -> ResolvedObjective | None:
        place = ("objectives", number)
        objective = self._component("objective", entry, place)
        on = tuple(entry.on or recipe.modalities)
        unknown = [name for name in on if name not in recipe.modalities]
        for name in unknown:
            self.problems.append(
                f"objectives.{number}.on: no modality {name} in this recipe{did_you_mean(name, recipe.modalities)}"
            )
        if objective is None or unknown:
            return None
        if PAIRED in objective.component.requires and len(on) < 2:
            self.problems.append(
                f"objectives.{number}: {objective.id} needs two modalities; add another under modalities"
            )
        for name in on:
            parts = modalities[name]
            if parts is not None:
                verdict = negotiate(objective.component, parts[1].component)
                other = refusal(objective.component, parts[0].component)
                if other or not verdict.runs:
                    reason = other or verdict.reason
                    self.problems.append(f"objectives.{number}: {objective.id} cannot run on {name}: {reason}")
        views = objective.type.view_specs(objective.config)
        specs = {mask: spec for view in views for mask, spec in view.masks.items()}
        for mask in entry.masks:
            if mask not in specs:
                self.problems.append(
                    f"objectives.{number}.masks.{mask}: {objective.id} has no such mask{did_you_mean(mask, specs)}"
                )
        masks = {}
        for mask, spec in specs.items():
            chosen = entry.masks.get(mask) or ComponentEntry(**spec)
            found = self._component("augmentation", chosen, (*place, "masks", mask))
            if found is not None:
                masks[mask] = found
        return ResolvedObjective(objective.component.name, objective, on, entry.weight, tuple(views), masks)

    def _named(self, objectives: Sequence[ResolvedObjective]) -> list[ResolvedObjective]:
        """Objectives with distinct names: a second one of the same id gets its number."""
        names: list[str] = []
        result = []
        for entry in objectives:
            name = entry.name if entry.name not in names else f"{entry.name}-{len(names)}"
            names.append(name)
            result.append(replace(entry, name=name))
        return result

    def _pipelines(
        self, name: str, modality: Resolved, recipe: Recipe, objectives: Sequence[ResolvedObjective]
    ) -> dict[str, list[Resolved]]:
        defaults = modality.build().pipelines()
        written = recipe.augmentations.get(name, {})
        pipelines: dict[str, list[Resolved]] = {}
        roles = {view.role for entry in objectives if name in entry.on for view in entry.views} - {"plain"}
        for role in sorted(roles):
            if role in written:
                entries = written[role]
            elif role in defaults:
                entries = [ComponentEntry(**spec) for spec in defaults[role]]
            else:
                known = ", ".join(sorted({*defaults, *written})) or "none"
                self.problems.append(
                    f"augmentations.{name}.{role}: missing; {modality.id} has no default of this role (it has: {known}); "
                    "write a list of augmentations, [] for none"
                )
                continue
            steps = [
                self._component("augmentation", entry, ("augmentations", name, role, number))
                for number, entry in enumerate(entries)
            ]
            for number, step in enumerate(steps):
                if step is not None and not step.component.takes(modality.component):
                    reads = ", ".join(step.component.modalities)
                    self.problems.append(
                        f"augmentations.{name}.{role}.{number}.id: {step.id} changes {reads}, not {modality.id}; choose another"
                    )
            pipelines[role] = [step for step in steps if step is not None]
        return pipelines

    def _unused_augmentations(
        self,
        recipe: Recipe,
        modalities: Mapping[str, ResolvedModality],
        objectives: Sequence[ResolvedObjective],
    ) -> None:
        for name, roles in recipe.augmentations.items():
            if name not in recipe.modalities:
                hint = did_you_mean(name, recipe.modalities)
                self.problems.append(f"augmentations.{name}: no modality {name} in this recipe{hint}")
                continue
            if name not in modalities or len(objectives) < len(recipe.objectives):
                continue
            for role in roles:
                if role not in modalities[name].pipelines and not any(
                    problem.startswith(f"augmentations.{name}.{role}") for problem in self.problems
                ):
                    used = ", ".join(modalities[name].pipelines) or "none"
                    self.problems.append(
                        f"augmentations.{name}.{role}: no objective asks for this role (used: {used}); "
                        "remove it, as augmentations={} does"
                    )

    def _data_columns(self, recipe: Recipe) -> None:
        if recipe.data.source is None and not any(split.source for split in recipe.data.splits.values()):
            self.problems.append("data.source: missing; give files, a folder, a hub name, or sample:world")
        for name in recipe.data.columns:
            if name not in recipe.modalities:
                hint = did_you_mean(name, recipe.modalities)
                self.problems.append(f"data.columns.{name}: no modality {name} in this recipe{hint}")


def _without_errors(data: Mapping[str, Any], problems: Sequence[str]) -> dict[str, Any]:
    """A copy of a recipe without the keys that problems name, as far as defaults can stand in for them."""
    kept: dict[str, Any] = copy.deepcopy(dict(data))
    for problem in problems:
        parts = problem.partition(":")[0].split(".")
        target: Any = kept
        for part in parts[:-1]:
            target = target.get(part) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target.pop(parts[-1], None)
    training = kept.setdefault("training", {})
    if isinstance(training, dict) and not {"steps", "epochs"} & set(training):
        training["steps"] = 1
    return kept
