"""The registry: the installed plugins, their states, and their components by id."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from unlabeled_registry.api import API_VERSION
from unlabeled_registry.discovery import Installed, installed_plugins
from unlabeled_registry.environment import read_disabled, write_disabled
from unlabeled_registry.errors import (
    NotAllowed,
    PluginError,
    RegistryError,
    UnknownComponent,
    did_you_mean,
    listed,
    one_line,
)
from unlabeled_registry.loading import load_object
from unlabeled_registry.manifest import Component, Manifest, owner_of
from unlabeled_registry.policy.files import Policy, read_policies, refusal

if TYPE_CHECKING:
    from unlabeled_registry.policy.guard import Guard

SELECTION_VARIABLE = "UNLABELED_PLUGINS"

State = Literal["available", "enabled", "disabled", "incompatible", "active", "failed"]
"""available: in an index, not installed. enabled: installed, not imported yet. active: imported. failed: broken."""


@dataclass
class Plugin:
    """An installed plugin. `manifest` is None where it cannot be used; `reason` says why the plugin is not usable."""

    name: str
    version: str
    state: State
    reason: str
    manifest: Manifest | None
    allowed: bool = True  # by the policies that hold here

    @property
    def owner(self) -> str:
        """The first half of its components' full ids."""
        return owner_of(self.name)

    @property
    def usable(self) -> bool:
        """Whether its components can be found."""
        return self.state in ("enabled", "active")

    @property
    def components(self) -> tuple[Component, ...]:
        """What its manifest provides, usable or not."""
        return self.manifest.components if self.manifest else ()


class Registry:
    """Installed plugins by name. Finding and listing run no plugin code; `load` imports the one that is asked for."""

    def __init__(self, plugins: Iterable[Plugin], guard: "Guard | None" = None) -> None:
        """guard: refuses imports that a policy does not allow, where there is one."""
        self.plugins = tuple(sorted(plugins, key=lambda plugin: plugin.name))
        self._guard = guard

    def plugin(self, name: str) -> Plugin:
        """The plugin of this name, with or without `unlabeled-`; `RegistryError` where none is installed."""
        for plugin in self.plugins:
            if name in (plugin.name, plugin.owner):
                return plugin
        known = [plugin.name for plugin in self.plugins] + [plugin.owner for plugin in self.plugins]
        raise RegistryError(
            f"no plugin {name!r} is installed{did_you_mean(name, known) or '; `unlabeled plugins list` names all'}"
        )

    def components(self, kind: str | None = None) -> tuple[Component, ...]:
        """Components of the usable plugins, by kind and full id."""
        found = [component for plugin in self.plugins if plugin.usable for component in plugin.components]
        chosen = [component for component in found if kind in (None, component.kind)]
        return tuple(sorted(chosen, key=lambda component: (component.kind, component.id)))

    def find(self, kind: str | None, id: str) -> Component:
        """The component with this full id, or short id where one owner has it; `UnknownComponent` otherwise.

        kind: None for any, where only one kind of component has this id. `NotAllowed` where a policy forbids its plugin.
        """
        named = [component for component in self.components() if id in (component.id, component.name)]
        matches = [component for component in named if kind in (None, component.kind)]
        if len(matches) == 1:
            return matches[0]
        what = kind or "component"
        kinds = sorted({component.kind for component in matches})
        names = sorted({component.id for component in matches})
        if len(names) > 1:
            raise UnknownComponent(f"{what} {id!r} is provided by several plugins; write one of: {', '.join(names)}")
        if matches:
            raise UnknownComponent(f"{names[0]!r} is of the kinds {listed(kinds)}; choose one by --kind {kinds[0]}")
        for plugin in self.plugins:
            same = any(id == part.name and kind in (None, part.kind) for part in plugin.components)
            owned = same or id.startswith(f"{plugin.owner}/")
            if owned and not plugin.allowed:
                raise NotAllowed(plugin.name, plugin.reason)
            if owned and not plugin.usable:
                raise UnknownComponent(f"{what} {id!r} belongs to plugin {_unusable(plugin)}")
        if named:
            raise UnknownComponent(f"{named[0].id!r} is of kind {named[0].kind!r}; here a {kind!r} is needed")
        raise UnknownComponent(f"unknown {what} {id!r}{self._instead(kind, id)}")

    def load(self, component: Component) -> Any:
        """Import the object of a component; `PluginError` where the plugin's own code fails, whatever it raises.

        `NotAllowed` where a policy forbids the plugin; then nothing of it was imported.
        """
        plugin = self.plugin(component.plugin)
        self._admit(plugin)
        if not plugin.usable:
            raise PluginError(plugin.name, f"{component.kind} {component.id!r}: plugin {_unusable(plugin)}")
        with _importing(plugin, f"loading {component.kind} {component.id!r}"):
            return load_object(component)

    def read(self, component: Component) -> str:
        """The text of a recipe's file; `RegistryError` where it cannot be read, `NotAllowed` where a policy forbids that."""
        manifest = self.plugin(component.plugin).manifest
        path = component.object.partition(":")[2]
        if manifest is None or component.kind != "recipe":
            raise RegistryError(f"{component.kind} {component.id!r} is no recipe that can be read")
        self._admit(self.plugin(component.plugin))
        file = manifest.path.parent / path
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(f"recipe {component.id!r}: {file} cannot be read: {one_line(error)}") from None

    def import_hooks(self) -> list[str]:
        """Import the usable plugins whose manifest says `hooks = true`; a sentence on each that fails, which is set aside.

        As no run asked for them, each is first imported in a process of its own, where it may hang or crash.
        """
        from unlabeled_registry.probe import vet

        problems: list[str] = []
        hearing: list[tuple[Plugin, Manifest]] = []
        for plugin in self.plugins:
            if plugin.state == "enabled" and plugin.manifest and plugin.manifest.hooks:
                try:
                    self._admit(plugin)
                    hearing.append((plugin, plugin.manifest))
                except NotAllowed as error:
                    problems += error.problems
        for (plugin, manifest), cause in zip(hearing, vet([manifest for _, manifest in hearing]), strict=True):
            if cause:
                plugin.state, plugin.reason = "failed", cause
                problems.append(f"plugin {_unusable(plugin)}")
                continue
            try:
                with _importing(plugin, "importing its hooks"):
                    import_module(manifest.package)
            except PluginError as error:
                problems += error.problems
        return problems

    def packages(self) -> dict[str, ModuleType]:
        """The imported package of each active plugin by the plugin's name: where its hooks are."""
        active = {p.name: p.manifest.package for p in self.plugins if p.state == "active" and p.manifest}
        return {name: sys.modules[package] for name, package in active.items() if package in sys.modules}

    def enable(self, name: str) -> None:
        """Let this environment use a plugin again."""
        write_disabled(read_disabled() - {self.plugin(name).name})

    def disable(self, name: str) -> None:
        """Keep this environment from using a plugin."""
        write_disabled(read_disabled() | {self.plugin(name).name})

    def admit(self, plugin: Plugin) -> bool:
        """Whether no policy forbids a plugin that is about to be imported: its files are hashed, once."""
        if plugin.allowed and self._guard is not None and (reason := self._guard.refusal(plugin.name)):
            plugin.state, plugin.reason, plugin.allowed = "disabled", reason, False
        return plugin.allowed

    def _admit(self, plugin: Plugin) -> None:
        if not self.admit(plugin):
            raise NotAllowed(plugin.name, plugin.reason)

    def _instead(self, kind: str | None, id: str) -> str:
        known = {name: part.id for part in self.components(kind) for name in (part.name, part.id)}
        if hint := did_you_mean(id, known):
            return hint
        if broken := [plugin.name for plugin in self.plugins if plugin.manifest is None]:
            return f"; it may belong to a plugin whose manifest cannot be read: {', '.join(broken)}"
        listing = "unlabeled components" + (f" --kind {kind}" if kind else "")
        return f"; `{listing}` lists what is installed"


def discover() -> Registry:
    """The plugins that are installed, read from their manifests; no plugin is imported.

    From then on this process imports no plugin that a policy forbids. `RegistryError` where a policy is damaged.
    """
    installed, disabled, selected, policies = installed_plugins(), read_disabled(), _selected(), read_policies()
    plugins = [_plugin(item, disabled, selected, policies) for item in installed]
    registry = Registry(plugins, _guard(installed, policies) if policies else None)
    for name in selected or ():
        try:
            registry.plugin(name)
        except RegistryError as error:
            raise RegistryError(f"{SELECTION_VARIABLE} or --only: {error.problems[0]}") from None
    return registry


def _selected() -> frozenset[str] | None:
    """The plugins that the environment variable names, and no others; None where it is not set."""
    names = os.environ.get(SELECTION_VARIABLE)
    return None if names is None else frozenset(name.strip() for name in names.split(",") if name.strip())


def _guard(installed: Iterable[Installed], policies: tuple[Policy, ...]) -> "Guard":
    from unlabeled_registry.policy.guard import guard

    return guard(policies, {package: item.name for item in installed for package in item.packages})


def _plugin(
    item: Installed, disabled: frozenset[str], selected: frozenset[str] | None, policies: tuple[Policy, ...]
) -> Plugin:
    state: State = "enabled"
    reason = ""
    if policies and (refused := refusal(policies, item.name, item.version)):
        return Plugin(item.name, item.version, "disabled", refused, item.manifest, allowed=False)
    if item.name in disabled:
        state, reason = "disabled", f"`unlabeled plugins enable {item.name}` allows it again"
    elif selected is not None and not selected & {item.name, owner_of(item.name)}:
        state, reason = "disabled", f"{SELECTION_VARIABLE}, or --only, does not name it"
    elif item.manifest is None:
        state, reason = "failed", "; ".join(item.problems)
    elif not item.manifest.compatible:
        state = "incompatible"
        reason = f"it needs interfaces {item.manifest.api}, and these are {API_VERSION}; install a release that fits"
    return Plugin(item.name, item.version, state, reason, item.manifest)


@contextmanager
def _importing(plugin: Plugin, doing: str) -> Iterator[None]:
    """Whatever the plugin's own code raises in here fails that plugin alone, as `PluginError`; else it becomes active."""
    from unlabeled_registry.patience import told_when_slow

    try:
        with told_when_slow(plugin.name, doing):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the command
        from unlabeled_registry.damage import damage_behind

        if damaged := damage_behind(error):
            raise RegistryError(*damaged) from error
        plugin.state, plugin.reason = "failed", f"{doing}: {one_line(error)}"
        raise PluginError(plugin.name, f"plugin {_unusable(plugin)}") from error
    plugin.state = "active"


def _unusable(plugin: Plugin) -> str:
    cure = "; upgrade or uninstall it" if plugin.state == "failed" else ""
    return f"{plugin.name!r}, which is {plugin.state}: {plugin.reason}{cure}"
