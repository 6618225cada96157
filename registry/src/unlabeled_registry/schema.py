"""The keys a manifest may hold and the check of each value."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from unlabeled_registry.api import API_VERSION, satisfies
from unlabeled_registry.capabilities import CAPABILITIES
from unlabeled_registry.errors import did_you_mean

SCHEMA = 1
ANY = "*"

_ID = "[a-z0-9]+(?:-[a-z0-9]+)*"
_SHORT_ID = re.compile(_ID)
_FULL_ID = re.compile(f"{_ID}/{_ID}")
_NAMES = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_OBJECT = re.compile(f"{_NAMES}:{_NAMES}")
_FILE = re.compile(r"[A-Za-z_]\w*:[\w-][\w.-]*(?:/[\w-][\w.-]*)*\.ya?ml")


def checked(table: Mapping[str, Any], keys: Mapping[str, "Key"], place: str, problems: list[str]) -> dict[str, Any]:
    """The values of `table` that are as they must be; whatever is wrong is added to `problems`, one line each."""
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in keys:
            problems.append(f"{place}{name}: unknown key{hint(name, keys)}")
            continue
        try:
            values[name] = keys[name].check(value)
        except ValueError as error:
            problems.append(f"{place}{name}: {error}")
    problems += [f"{place}{name}: missing" for name, key in keys.items() if key.required and name not in table]
    return values


def check_object(value: str, kind: str, package: str) -> str:
    """An object's place, which must lie in the plugin's own package; `ValueError` otherwise."""
    pattern, example = (_FILE, "recipes/name.yaml") if kind == "recipe" else (_OBJECT, "Name")
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r} must look like '{package}:{example}'")
    if re.split("[.:]", value, maxsplit=1)[0] != package:
        raise ValueError(f"{value!r} lies outside the plugin's own package, {package!r}")
    return value


def hint(word: str, known: Iterable[str]) -> str:
    """What to write instead of `word`: the closest of the known words, or all of them."""
    known = tuple(known)
    return did_you_mean(word, known) or f"; one of: {', '.join(known)}"


# A check returns the value as a Manifest holds it, or raises ValueError with what is wrong.


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():  # a terminal would obey the rest
        raise ValueError("must be one line of text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError('must be a list of text, such as ["a", "b"]')
    return tuple(value)


def _schema(value: Any) -> int:
    if value != SCHEMA:
        newer = isinstance(value, int) and value > SCHEMA
        raise ValueError(f"{value!r} is not {SCHEMA}" + ("; upgrade unlabeled-registry to read it" if newer else ""))
    return SCHEMA


def _range(value: Any) -> str:
    text = _text(value)
    satisfies(API_VERSION, text)
    return text


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _kind(value: Any) -> str:
    if not isinstance(value, str) or value not in OF_KIND:
        raise ValueError(f"{value!r} is no kind{hint(str(value), OF_KIND)}")
    return value


def _short_id(value: Any) -> str:
    if not isinstance(value, str) or not _SHORT_ID.fullmatch(value):
        raise ValueError(f"{value!r} must be lower-case letters, digits and hyphens, such as 'my-part'")
    return value


def _full_id(value: Any) -> str:
    if not isinstance(value, str) or not _FULL_ID.fullmatch(value):
        raise ValueError(f"{value!r} must be a full name, such as 'vision/vit'")
    return value


def _full_ids(value: Any) -> tuple[str, ...]:
    return tuple(_full_id(item) for item in _texts(value))


def _modalities(value: Any) -> tuple[str, ...]:
    items = _texts(value)
    if not items:
        raise ValueError('names no modality; write ["*"] for all')
    return tuple(item if item == ANY else _full_id(item) for item in items)


def _capabilities(value: Any) -> tuple[str, ...]:
    items = _texts(value)
    for item in items:
        if item not in CAPABILITIES:
            raise ValueError(f"{item!r} is no capability{hint(item, CAPABILITIES)}")
    return items


def _tables(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise ValueError("must be one or more [[provides]] tables")
    return value


class Key(NamedTuple):
    """A key of a manifest's table."""

    check: Callable[[Any], Any]
    required: bool = True


HEADER = {
    "schema": Key(_schema),
    "name": Key(_text),
    "api": Key(_range),
    "summary": Key(_text),
    "uses": Key(_full_ids, required=False),
    "hooks": Key(_truth, required=False),
    "provides": Key(_tables, required=False),
}
COMPONENT = {"kind": Key(_kind), "id": Key(_short_id), "object": Key(_text), "summary": Key(_text)}
OF_KIND: dict[str, dict[str, Key]] = {
    "modality": {
        "encoder": Key(_full_id),
        "columns": Key(_texts, required=False),
        "dense": Key(_truth, required=False),
    },
    "encoder": {"modalities": Key(_modalities), "provides": Key(_capabilities, required=False)},
    "augmentation": {"modalities": Key(_modalities, required=False)},
    "objective": {"requires": Key(_capabilities, required=False), "modalities": Key(_modalities, required=False)},
    "evaluator": {},
    "source": {},
    "recipe": {},
}
KINDS = tuple(OF_KIND)
