"""Agreement of the processes of a run: all go on with the same recipe, plugins and data, or all refuse together."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from unlabeled.errors import UnlabeledError
from unlabeled.training.processes.distributed import process_count, share

T = TypeVar("T")
_SHOWN = 3


def together(work: Callable[[], T]) -> T:
    """What `work` gives, once it succeeded on every process.

    `UnlabeledError` on all of them with the problems of each, so that none waits for one that has left.
    """
    problems: list[str] = []
    try:
        result = work()
    except UnlabeledError as error:
        problems = list(error.problems)
    found = _by_ranks(share(problems))
    if found:
        raise UnlabeledError(*found)
    return result


def agree(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """`UnlabeledError` on every process where their facts differ; it names what differs, and on which ranks.

    facts: what they are of, in the plural ("the data") -> name -> value, all of which JSON can hold.
    """
    everyone = share(facts)
    found = [
        [
            f"{subject} differ: {text}; start every process with the same"
            for subject, reference in everyone[0].items()
            if (text := _differences(reference, own[subject]))
        ]
        for own in everyone
    ]
    problems = _by_ranks(found)
    if problems:
        raise UnlabeledError(*problems)


def _differences(reference: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    names = [name for name in {**reference, **own} if reference.get(name) != own.get(name)]
    shown = [f"{name} is {_shown(own, name)}, on rank 0 {_shown(reference, name)}" for name in names[:_SHOWN]]
    return ", ".join(shown + ["..."] * (len(names) > _SHOWN))


def _shown(facts: Mapping[str, Any], name: str) -> str:
    return str(facts[name]) if name in facts else "missing"


def _by_ranks(problems: list[list[str]]) -> list[str]:
    """Each problem once, with the ranks that have it where not all do."""
    ranks: dict[str, list[int]] = {}
    for rank, texts in enumerate(problems):
        for text in dict.fromkeys(texts):
            ranks.setdefault(text, []).append(rank)
    return [
        text if len(those) == process_count() else f"rank{'s' * (len(those) > 1)} {', '.join(map(str, those))}: {text}"
        for text, those in ranks.items()
    ]
