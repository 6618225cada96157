"""Recipes as text: reading YAML, and dotted `key=value` overrides."""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from unlabeled.errors import UnlabeledError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats and booleans: `1e-3` is a number and not a string, `on` is a word and not True."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|^[-+]?\.(inf|nan)$", re.IGNORECASE),
    list("-+0123456789."),
)


def parse_yaml(text: str, place: str) -> Any:
    """The value of a YAML text; `UnlabeledError` names `place` and the line where it cannot be read."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UnlabeledError(f"{place}{where}: {problem}; mend the YAML") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnlabeledError(
            f"{path}: cannot be read ({error}); give a recipe file or a name of `unlabeled recipes`"
        ) from None
    return as_mapping(parse_yaml(text, str(path)), str(path))


def as_mapping(value: Any, place: str) -> dict[str, Any]:
    """`value` if it is a mapping; `UnlabeledError` otherwise."""
    if not isinstance(value, dict):
        raise UnlabeledError(
            f"{place}: a recipe is a mapping of sections (modalities, data, objectives, training, ...)"
        )
    return value


def apply_overrides(recipe: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The recipe with each `dotted.key=value` set; values are YAML.

    Members of a list are named by their number or by their short id: `objectives.simclr.temperature=0.1`.
    """
    result = copy.deepcopy(recipe)
    problems = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            problems.append(f"{override}: an override is key=value, such as training.steps=100")
            continue
        try:
            _set(result, key.split("."), parse_yaml(text, override), override)
        except UnlabeledError as error:
            problems.extend(error.problems)
    if problems:
        raise UnlabeledError(*problems)
    return result


def _set(target: Any, parts: list[str], value: Any, override: str) -> None:
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(target, list):
            position = _position(target, part, override)
            if last:
                target[position] = value
            else:
                target = target[position]
        elif isinstance(target, dict):
            if last:
                target[part] = value
            else:
                if not isinstance(target.get(part), dict | list):
                    target[part] = {}
                target = target[part]
        else:
            raise UnlabeledError(f"{override}: {'.'.join(parts[:number])} is a value, so it has no key {part}")


def _position(items: list[Any], part: str, override: str) -> int:
    if part.isdigit() and int(part) < len(items):
        return int(part)
    ids = [str(item.get("id", "")) if isinstance(item, dict) else "" for item in items]
    for position, name in enumerate(ids):
        if part in (name, name.rpartition("/")[2]):
            return position
    known = ", ".join(name.rpartition("/")[2] for name in ids if name) or f"0 to {len(items) - 1}"
    raise UnlabeledError(f"{override}: no member {part}; known: {known}")
