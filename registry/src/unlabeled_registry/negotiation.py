"""Which objective runs with which encoder, and so on which modality: pure functions over manifests."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from unlabeled_registry.capabilities import PAIRED
from unlabeled_registry.collection import no_collection
from unlabeled_registry.errors import listed
from unlabeled_registry.manifest import Component
from unlabeled_registry.schema import ANY


class Verdict(NamedTuple):
    """Whether an objective runs with an encoder, the capabilities that are missing, and a sentence for a person."""

    runs: bool
    missing: tuple[str, ...]
    reason: str


class Cell(NamedTuple):
    """Whether an objective runs on a modality, why, and with which encoder; all ids are full."""

    objective: str
    modality: str
    runs: bool
    reason: str
    encoder: str | None


Answer = tuple[bool, str, str | None]
"""Whether an objective runs on a modality, why, and with which encoder."""


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


def refusal(objective: Component, modality: Component) -> str | None:
    """Why an objective that names its modalities does not run on this one; None where it does, given an encoder."""
    if objective.takes(modality):
        return None
    return f"{objective.id} is for {listed(objective.modalities)}, not {modality.id}; choose another objective"


@no_collection()
def matrix(components: Iterable[Component]) -> list[Cell]:
    """Every objective on every modality, both by full id."""
    parts = sorted(components, key=lambda component: component.id)
    encoders = [part for part in parts if part.kind == "encoder"]
    for_all, anywhere = _First([part for part in encoders if ANY in part.modalities]), _First(encoders)
    offers = [_Offer(part, encoders, for_all, anywhere) for part in parts if part.kind == "modality"]
    cells: list[Cell] = []
    rows: dict[tuple[str, ...], list[Answer]] = {}
    for objective in parts:
        if objective.kind != "objective":
            continue
        if objective.requires not in rows:
            rows[objective.requires] = [offer.answer(objective.requires) for offer in offers]
        id, everywhere = objective.id, ANY in objective.modalities
        for offer, answer in zip(offers, rows[objective.requires], strict=True):
            reason = None if everywhere else refusal(objective, offer.modality)
            cells.append(Cell(id, offer.modality.id, *(answer if reason is None else (False, reason, None))))
    return cells


def encoders_of(modality: Component, encoders: Iterable[Component]) -> list[Component]:
    """The encoders that take a modality: its default one first, then those made for it, then those for all."""
    fitting = [encoder for encoder in encoders if encoder.takes(modality)]
    return sorted(fitting, key=lambda part: (part.id != modality.encoder, modality.id not in part.modalities, part.id))


@cache
def _wanted(requires: tuple[str, ...]) -> frozenset[str]:
    return frozenset(requires) - {PAIRED}


class _First(dict[frozenset[str], str | None]):
    """Capabilities -> the first of some encoders that has them all; each is looked for once."""

    def __init__(self, encoders: Iterable[Component]) -> None:
        self.provided = [(encoder.id, frozenset(encoder.provides)) for encoder in encoders]
        self.somewhere = frozenset[str]().union(*(provides for _, provides in self.provided))

    def __missing__(self, wanted: frozenset[str]) -> str | None:
        self[wanted] = next((id for id, provides in self.provided if wanted <= provides), None)
        return self[wanted]


class _Offer:
    """A modality with its encoders.

    Encoders for all are many and the same for most modalities, so they are kept apart from the modality's own.
    """

    def __init__(self, modality: Component, encoders: Sequence[Component], for_all: _First, anywhere: _First) -> None:
        own = [part for part in encoders if modality.id in part.modalities or part.id == modality.encoder]
        self.modality, self.anywhere = modality, anywhere
        self.own = [(encoder.id, frozenset(encoder.provides)) for encoder in encoders_of(modality, own)]
        self.for_all = for_all if modality.dense else _First([])
        self.somewhere = self.for_all.somewhere.union(*(provides for _, provides in self.own))

    def answer(self, requires: tuple[str, ...]) -> Answer:
        """To an objective that requires so much."""
        encoder = self._encoder(_wanted(requires))
        if encoder is None:
            reason = self._why_not([name for name in requires if name != PAIRED])
        else:
            reason = "with a second modality" if PAIRED in requires else f"with {encoder}"
        return encoder is not None, reason, encoder

    def _encoder(self, wanted: frozenset[str]) -> str | None:
        for encoder, provides in self.own:
            if wanted <= provides:
                return encoder
        return self.for_all[wanted]

    def _why_not(self, wanted: Sequence[str]) -> str:
        """What no encoder of the modality has, and what would cure that."""
        name = self.modality.id
        if not self.own and not self.for_all.provided:
            needs = f" and provides {listed(wanted)}" if wanted else ""
            return f"{name} has no encoder; install or write one that takes it{needs}"
        nowhere = [each for each in wanted if each not in self.somewhere]
        lacking, together = (nowhere, "") if nowhere else (wanted, " together")
        has = self.anywhere[frozenset(lacking)]
        example = f" (as {has} does)" if has else ""
        return f"no encoder of {name} provides {listed(lacking)}{together}; install or write one that does{example}"
