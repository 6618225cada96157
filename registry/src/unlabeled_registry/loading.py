"""A component's object: imported, and held to its kind."""

from importlib import import_module
from operator import attrgetter
from typing import Any

from unlabeled_registry.deprecation import check_component
from unlabeled_registry.manifest import Component


def load_object(component: Component) -> Any:
    """Import the class of a component; raises whatever the plugin's code raises, and `TypeError` for another kind of object."""
    module, _, attribute = component.object.partition(":")
    found = attrgetter(attribute)(import_module(module))
    interface = component.kind.capitalize()
    bases = ((base.__module__.partition(".")[0], base.__name__) for base in getattr(found, "__mro__", ()))
    if ("unlabeled", interface) not in bases:  # by name, as the registry imports no interface
        raise TypeError(f"{component.object} is no {interface}; derive it from unlabeled.{interface}")
    check_component(f"plugin {component.plugin!r}", module.partition(".")[0], found)
    return found
