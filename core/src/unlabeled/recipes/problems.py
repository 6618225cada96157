"""Problems as people read them: one line each, with the place and a suggestion."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` where one of `known` is close, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(names)}" if names else ""


def describe(
    error: ValidationError, model: type[BaseModel], place: Sequence[str | int] = (), component: str | None = None
) -> list[str]:
    """One line for each error of a pydantic validation, under the dotted `place`.

    component: the id of the one whose options these are, so that a person learns where to read of them.
    """
    return [
        _with_listing(_line(item, model, place), item["type"], component) for item in error.errors(include_url=False)
    ]


def _with_listing(line: str, problem: str, component: str | None) -> str:
    if component is None or problem not in ("extra_forbidden", "missing"):
        return line
    return f"{line}{'' if line.endswith('?') else ';'} `unlabeled components {component}` lists its options"


def _line(item: Any, model: type[BaseModel], place: Sequence[str | int]) -> str:
    location = [part for part in item["loc"] if not _is_branch(part)]
    dotted = ".".join(str(part) for part in [*place, *location])
    if item["type"] == "extra_forbidden":
        return f"{dotted}: unknown key{did_you_mean(str(location[-1]), _known_keys(model, location[:-1]))}"
    if item["type"] == "missing":
        return f"{dotted}: missing; add it"
    given = "" if item["type"] == "value_error" else f", not {_short(item['input'])}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{dotted or 'recipe'}: {message[:1].lower()}{message[1:]}{given}"


def _is_branch(part: str | int) -> bool:
    # pydantic adds the branch of a union to the location (`str`, `list[str]`); people did not write it.
    return isinstance(part, str) and (part in {"str", "int", "float", "bool"} or "[" in part)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> Iterable[str]:
    """Field names of the model nested at `location`, as far as plain models nest."""
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", {})
        if isinstance(part, str) and part in fields:
            current = _model_in(fields[part].annotation)
        # An index or a mapping's key stays within the model that `_model_in` found.
    return getattr(current, "model_fields", {})


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
