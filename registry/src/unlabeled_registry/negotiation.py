"""Which objective runs with which encoder, and so on which modality: pure functions over manifests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unlabeled_registry.capabilities import PAIRED
from unlabeled_registry.errors import listed
from unlabeled_registry.manifest import Component
from unlabeled_registry.schema import ANY


@dataclass(frozen=True)
class Verdict:
    """Whether an objective runs with an encoder, the capabilities that are missing, and a sentence for a person."""

    runs: bool
    missing: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Cell:
    """Whether an objective runs on a modality, why, and with which encoder; all ids are full."""

    objective: str
    modality: str
    runs: bool
    reason: str
    encoder: str | None


def negotiate(objective: Component, encoder: Component) -> Verdict:
    """Compare what the objective requires with what the encoder can have.

    `paired` is not asked of encoders: a recipe with a second modality provides it.
    """
    missing = tuple(name for name in objective.requires if name not in (*encoder.provides, PAIRED))
    if missing:
        needs = f"{objective.id} requires {listed(missing)}, which {encoder.id} lacks; choose another encoder"
        return Verdict(False, missing, needs)
    paired = ", with a second modality" if PAIRED in objective.requires else ""
    return Verdict(True, (), f"with {encoder.id}{paired}")


def matrix(components: Iterable[Component]) -> list[Cell]:
    """Every objective on every modality, both by full id."""
    parts = sorted(components, key=lambda component: component.id)
    encoders = [part for part in parts if part.kind == "encoder"]
    return [
        _cell(objective, modality, encoders)
        for objective in parts
        if objective.kind == "objective"
        for modality in parts
        if modality.kind == "modality"
    ]


def encoders_of(modality: Component, encoders: Iterable[Component]) -> list[Component]:
    """The encoders that take a modality: its default one first, then those made for it, then those for all."""
    fitting = [encoder for encoder in encoders if encoder.takes(modality)]
    return sorted(fitting, key=lambda part: (part.id != modality.encoder, ANY in part.modalities, part.id))


def _cell(objective: Component, modality: Component, encoders: Sequence[Component]) -> Cell:
    candidates = encoders_of(modality, encoders)
    for encoder in candidates:
        verdict = negotiate(objective, encoder)
        if verdict.runs:
            reason = "with a second modality" if PAIRED in objective.requires else verdict.reason
            return Cell(objective.id, modality.id, True, reason, encoder.id)
    return Cell(objective.id, modality.id, False, _why_not(objective, modality, candidates, encoders), None)


def _why_not(
    objective: Component, modality: Component, candidates: Sequence[Component], encoders: Sequence[Component]
) -> str:
    """What no encoder of the modality has, and what would cure that; equal causes give equal sentences."""
    if not candidates:
        return f"{modality.id} has no encoder; install or write one that takes it"
    missing = [negotiate(objective, encoder).missing for encoder in candidates]
    nowhere = [name for name in missing[0] if all(name in lacks for lacks in missing)]
    wanted = nowhere or [name for name in objective.requires if name != PAIRED]
    together = "" if nowhere else " together"
    elsewhere = [encoder.id for encoder in encoders if set(wanted) <= set(encoder.provides)]
    example = f" (as {elsewhere[0]} does)" if elsewhere else ""
    return f"no encoder of {modality.id} provides {listed(wanted)}{together}; install or write one that does{example}"
