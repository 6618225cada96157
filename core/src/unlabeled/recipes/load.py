"""Recipes by name, file or mapping, with overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlabeled.recipes.overrides import apply_overrides, as_mapping, parse_yaml, read_yaml
from unlabeled_registry.registry import Registry

_OF_A_SOURCE = {"source", "options", "columns", "label", "splits", "split_column", "where", "without"}


def load_recipe(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str], registry: Registry) -> dict[str, Any]:
    """The recipe as written, with overrides: from a mapping, a YAML file, or the name of an installed recipe.

    Overrides that name another source begin the data anew: columns, label and splits of the recipe's own do not carry over.
    """
    if isinstance(recipe, Mapping):
        data = dict(recipe)
    elif str(recipe).endswith((".yaml", ".yml")) or Path(recipe).is_file():
        data = read_yaml(Path(recipe))
    else:
        component = registry.find("recipe", str(recipe))
        data = as_mapping(parse_yaml(registry.read(component), f"recipe {component.id}"), f"recipe {component.id}")
    return apply_overrides(_without_old_data(data, overrides), overrides)


def _without_old_data(recipe: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The recipe without what belongs to its own source (columns, label, splits), where the overrides name another."""
    keys = [override.partition("=")[0].split(".") for override in overrides]
    other = any(
        key[:2] == ["data", "source"] or (key[:2] == ["data", "splits"] and key[-1] == "source") for key in keys
    )
    data = recipe.get("data")
    if not other or not isinstance(data, dict):
        return recipe
    return {**recipe, "data": {key: value for key, value in data.items() if key not in _OF_A_SOURCE}}
