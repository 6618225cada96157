"""Names of the interfaces that are going away: each warns for two minor versions, and names the plugin that uses it."""

import sys
import warnings
from typing import Any

from unlabeled_registry.api import API_VERSION, DEPRECATED, Deprecated, satisfies


class InterfaceWarning(FutureWarning):
    """A plugin uses a name of the interfaces that will be removed."""


def check_name(name: str) -> None:
    """Warn the module that takes `name` from the package `unlabeled`; `ImportError` once it was removed.

    No `AttributeError`, of which `from unlabeled import name` would drop the message.
    """
    for entry in DEPRECATED:
        if entry.name == name:
            if is_removed(entry):
                raise ImportError(f"unlabeled.{name} was removed in interfaces {entry.removed_in}; {entry.instead}")
            _warn(_plugin_of(_user()), entry)


def check_component(plugin: str, package: str, found: Any) -> None:
    """Warn where a plugin's class implements what will no longer be called; `AttributeError` once that is so."""
    bases = getattr(found, "__mro__", ())
    own = {name for base in bases if base.__module__.partition(".")[0] == package for name in vars(base)}
    interfaces = {base.__name__ for base in bases if base.__module__.partition(".")[0] == "unlabeled"}
    for entry in DEPRECATED:
        interface, _, method = entry.name.rpartition(".")
        if interface in interfaces and method in own:
            if is_removed(entry):
                raise AttributeError(f"{entry.name} is not called since interfaces {entry.removed_in}; {entry.instead}")
            _warn(plugin, entry)


def is_removed(entry: Deprecated) -> bool:
    """Whether these interfaces no longer have the name."""
    return satisfies(API_VERSION, f">={entry.removed_in}")


def _warn(plugin: str, entry: Deprecated) -> None:
    text = f"{plugin} uses {entry.name}, which interfaces {entry.removed_in} remove; {entry.instead}"
    warnings.warn(InterfaceWarning(text), stacklevel=4)


def _user() -> str:
    """The module that asked the package `unlabeled` for a name."""
    frame = sys._getframe(3)  # above this function, `check_name` and the package's `__getattr__`
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "?"))


def _plugin_of(module: str) -> str:
    """How a person knows the code: by its plugin, or by the module's own name where it belongs to none."""
    from unlabeled_registry.discovery import installed_plugins

    package = module.partition(".")[0]
    owners = (item.name for item in installed_plugins() if item.manifest and item.manifest.package == package)
    return next((f"plugin {name!r}" for name in owners), f"module {module!r}")
