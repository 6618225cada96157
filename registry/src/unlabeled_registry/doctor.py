"""What is wrong with each installed plugin, and the cure: its state, what becomes of it in the probe, what it relies on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unlabeled_registry.damage import READER
from unlabeled_registry.probe import TIMEOUT, ProbeResult, probe_all
from unlabeled_registry.registry import Plugin, Registry


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    problem: str
    cure: str


@dataclass(frozen=True)
class Diagnosis:
    """All that is wrong with one plugin; `probe` is None for one that was not imported."""

    plugin: Plugin
    findings: tuple[Finding, ...]
    probe: ProbeResult | None

    @property
    def works(self) -> bool:
        """Whether a recipe that names its components runs."""
        return self.plugin.usable and self.probe is not None and self.probe.ok


def examine(registry: Registry, plugins: Sequence[Plugin], timeout: float = TIMEOUT) -> list[Diagnosis]:
    """Look at each plugin, and import those that are enabled, each in a process that ends after `timeout` seconds."""
    imported = [plugin for plugin in plugins if plugin.usable and registry.admit(plugin)]
    results = dict(zip((p.name for p in imported), probe_all((p.name for p in imported), timeout), strict=True))
    return [
        Diagnosis(plugin, tuple(_findings(registry, plugin, results.get(plugin.name))), results.get(plugin.name))
        for plugin in plugins
    ]


def _findings(registry: Registry, plugin: Plugin, result: ProbeResult | None) -> Iterable[Finding]:
    if plugin.state in ("failed", "incompatible"):
        yield Finding(plugin.reason, _cure_of_state(plugin))
    if result is None:
        return
    yield from (Finding(problem, _cure_of_problem(plugin, problem)) for problem in result.problems)
    for effect in result.effects:
        yield Finding(
            effect, f"it works in spite of that; ask its author for a release that does not, or {_aside(plugin)}"
        )
    known = {component.id for component in registry.components()}
    for id in plugin.manifest.uses if plugin.manifest else ():
        if id not in known:
            owner = id.partition("/")[0]
            yield Finding(
                f"its recipes use {id}, which no usable plugin provides", f"install or enable unlabeled-{owner}"
            )


def _cure_of_state(plugin: Plugin) -> str:
    if plugin.state == "incompatible":
        return f"pip install --upgrade {plugin.name}, or upgrade unlabeled"
    return f"upgrade or uninstall {plugin.name}; until then {_aside(plugin)}"


def _cure_of_problem(plugin: Plugin, problem: str) -> str:
    if READER in problem:
        return f"none of {plugin.name}: it is not at fault"
    if "ModuleNotFoundError" in problem:
        return f"pip install --upgrade {plugin.name} brings what it depends on; else {_aside(plugin)}"
    if "takes longer than" in problem:
        return f"try again with a longer --timeout; if it hangs, {_aside(plugin)}"
    return f"upgrade or uninstall {plugin.name}; until then {_aside(plugin)}"


def _aside(plugin: Plugin) -> str:
    return f"`unlabeled plugins disable {plugin.name}`"
