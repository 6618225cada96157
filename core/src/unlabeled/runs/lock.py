"""lock.json: the plugins and data a run was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.training.setup import Data
from unlabeled_registry.registry import Registry

_LIBRARIES = ("unlabeled", "unlabeled-registry", "torch", "transformers", "accelerate", "datasets", "numpy")


def make_lock(recipe: ResolvedRecipe, registry: Registry, data: Data) -> dict[str, Any]:
    """Versions of the plugins in use and of the libraries that matter, and the data's fingerprint."""
    used = {item.component.plugin for item in recipe.components()}
    plugins = {plugin.name: plugin.version for plugin in registry.plugins if plugin.name in used}
    libraries = {name: _version(name) for name in _LIBRARIES}
    return {"plugins": plugins, "libraries": libraries, "python": platform.python_version(), "data": data.fingerprint}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
