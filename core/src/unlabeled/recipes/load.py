"""Recipes by name, file or mapping, with overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlabeled.recipes.overrides import apply_overrides, as_mapping, parse_yaml, read_yaml
from unlabeled_registry.registry import Registry


def load_recipe(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str], registry: Registry) -> dict[str, Any]:
    """The recipe as written, with overrides: from a mapping, a YAML file, or the name of an installed recipe."""
    if isinstance(recipe, Mapping):
        data = dict(recipe)
    elif str(recipe).endswith((".yaml", ".yml")) or Path(recipe).is_file():
        data = read_yaml(Path(recipe))
    else:
        component = registry.find("recipe", str(recipe))
        data = as_mapping(parse_yaml(registry.read(component), f"recipe {component.id}"), f"recipe {component.id}")
    return apply_overrides(data, overrides)
