"""The plugins that a run uses, as its lock keeps them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from unlabeled_registry.install.distributions import installations, plugins_of
from unlabeled_registry.lock.contents import contents


@dataclass(frozen=True)
class UsedPlugin:
    """A plugin of a run: its version, and the sha256 of what is installed of it."""

    version: str
    contents: str
    editable: bool

    def __str__(self) -> str:
        return f"{self.version} ({'editable, ' * self.editable}{self.contents[:12] or 'unknown contents'})"


def used_plugins(names: Iterable[str]) -> dict[str, UsedPlugin]:
    """These plugins and the installed ones that they need, by name; none is imported."""
    plugins = plugins_of(installations())
    todo, found = list(names), dict[str, UsedPlugin]()
    while todo:
        name = todo.pop()
        if name in found or name not in plugins:
            continue
        item = plugins[name]
        found[name] = UsedPlugin(item.version, contents(item), item.editable)
        todo += [canonicalize_name(requirement.name) for requirement in item.requires]
    return dict(sorted(found.items()))


def differences(old: Mapping[str, UsedPlugin], new: Mapping[str, UsedPlugin]) -> list[str]:
    """What differs between the plugins of a run and those there are now."""
    return [
        f"{name} is {new.get(name, 'missing')}, and was {old.get(name, 'not used')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
