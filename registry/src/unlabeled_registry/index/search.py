"""Searching an index: by words, and by what a plugin has to do with a modality, an objective or a kind."""

from collections.abc import Sequence
from typing import NamedTuple

from unlabeled_registry.errors import ManifestError
from unlabeled_registry.index.format import Index, Release, newest
from unlabeled_registry.schema import ANY


class Facets(NamedTuple):
    """What a release can be found by."""

    text: str  # case-folded: names, summaries, ids
    modalities: tuple[str, ...]  # full ids of those that it provides, or has encoders or augmentations for
    objectives: tuple[str, ...]
    capabilities: tuple[str, ...]  # those that its encoders have or its objectives need
    kinds: tuple[str, ...]


def facets(release: Release) -> Facets:
    """What a release can be found by; one with a manifest for other interfaces only by its name and summary."""
    try:
        components = release.parsed().components
    except ManifestError:
        components = ()
    texts = [release.name, release.summary]
    texts += [f"{part.kind} {part.id} {part.summary}" for part in components]
    provided = [part.id for part in components if part.kind == "modality"]
    taken = [id for part in components for id in part.modalities if id != ANY]
    capabilities = {name for part in components for name in (*part.provides, *part.requires)}
    return Facets(
        text=" ".join([*texts, *sorted(capabilities)]).casefold(),
        modalities=tuple(sorted({*provided, *taken})),
        objectives=tuple(sorted(part.id for part in components if part.kind == "objective")),
        capabilities=tuple(sorted(capabilities)),
        kinds=tuple(sorted({part.kind for part in components})),
    )


def search(
    index: Index,
    words: Sequence[str] = (),
    *,
    modality: str | None = None,
    objective: str | None = None,
    kind: str | None = None,
) -> list[Release]:
    """The newest release of each plugin that has all the words and fits the rest; ids are full or short."""
    found = []
    for releases in index.plugins.values():
        release = newest(releases)
        has = facets(release)
        if (
            all(word.casefold() in has.text for word in words)
            and (modality is None or _names(modality, has.modalities))
            and (objective is None or _names(objective, has.objectives))
            and (kind is None or kind in has.kinds)
        ):
            found.append(release)
    return found


def _names(wanted: str, ids: Sequence[str]) -> bool:
    return any(wanted in (id, id.partition("/")[2]) for id in ids)
