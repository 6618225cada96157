"""lock.json: the plugins and data a run was made with."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.training.setup import Data
from unlabeled_registry.discovery import distributions
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.lock.sync import read_run
from unlabeled_registry.lock.used import UsedPlugin, differences, used_plugins
from unlabeled_registry.registry import Registry

_LIBRARIES = ("unlabeled", "unlabeled-registry", "torch", "transformers", "accelerate", "datasets", "numpy")


def make_lock(recipe: ResolvedRecipe, registry: Registry, data: Data) -> dict[str, Any]:
    """The plugins in use with the hashes of what is installed, versions of the libraries that matter, the data's fingerprint."""
    used = {item.component.plugin for item in recipe.components()}
    used |= {plugin.name for plugin in registry.plugins if plugin.usable and plugin.manifest and plugin.manifest.hooks}
    plugins = {name: asdict(plugin) for name, plugin in used_plugins(used).items()}
    installed = {found.name: found.version for found in distributions()}
    libraries = {name: installed.get(name) for name in _LIBRARIES}
    return {"plugins": plugins, "libraries": libraries, "python": platform.python_version(), "data": data.fingerprint}


def facts(lock: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What all processes of a run must have alike."""
    plugins = {name: plugin["version"] for name, plugin in lock["plugins"].items()}
    files = {name: plugin["contents"][:12] for name, plugin in lock["plugins"].items()}
    return {
        "the plugins": plugins,
        "the plugins' files": files,
        "the libraries": lock["libraries"],
        "the data": lock["data"],
    }


def compare_plugins(lock: Mapping[str, Any], folder: Path) -> str | None:
    """A sentence on how the plugins differ from those of the run that lies in a folder, or None."""
    try:
        before = read_run(folder)
    except RegistryError:  # a run from before locks held hashes
        return None
    now = {name: UsedPlugin(**plugin) for name, plugin in lock["plugins"].items()}
    found = differences(before, now)
    if not found:
        return None
    return f"plugins differ from those the run began with: {'; '.join(found)}; `unlabeled plugins sync {folder}` restores them"
