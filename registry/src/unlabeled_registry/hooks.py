"""Hooks: what a plugin may be told about the life of a run, and the calls that survive a plugin's failure.

A plugin's package defines functions of these names and marks them:

    from unlabeled import hookimpl

    @hookimpl
    def run_ended(run, metrics):
        print(run, metrics)

A run asks the packages of the components it uses for their hooks. One that is to hear of every run says `hooks = true` at
the top of its manifest. An implementation may take fewer arguments than its hook has. All arguments are plain data, to be
read and not changed.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from unlabeled_registry.errors import one_line

PROJECT = "unlabeled"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class RunHooks:
    """The hooks, in the order in which a run calls them."""

    @hookspec
    def recipe_loaded(self, recipe: dict[str, Any]) -> None:
        """The recipe was read and checked; `recipe` is the resolved one."""

    @hookspec
    def run_started(self, run: Path, recipe: dict[str, Any], step: int) -> None:
        """Training begins in the folder `run`, after `step` steps of an earlier start."""

    @hookspec
    def step_ended(self, run: Path, step: int, metrics: dict[str, float]) -> None:
        """Step `step` (counted from 1) is over; `metrics` is its line of metrics.jsonl, without `loss` where it was skipped."""

    @hookspec
    def evaluation_ended(self, run: Path, step: int, evaluation: dict[str, Any]) -> None:
        """An evaluator finished; `evaluation` is its line of evaluations.jsonl."""

    @hookspec
    def checkpoint_written(self, run: Path, step: int, checkpoint: Path) -> None:
        """The folder `checkpoint` is complete."""

    @hookspec
    def run_ended(self, run: Path, step: int, metrics: dict[str, float]) -> None:
        """Training reached its last step; `metrics` is the last line of metrics.jsonl."""


class Hooks:
    """Calls the hooks of the registered plugins.

    A plugin whose hook fails is reported once, by name, through `report`, and is not called again; the others are.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(RunHooks)

    def register(self, plugin: str, package: ModuleType) -> None:
        """Take the hooks of a plugin's imported package; nothing happens where it is known or has failed already."""
        if self._manager.has_plugin(plugin):
            return
        try:
            self._manager.register(package, plugin)
            self._manager.check_pending()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end the run
            self._drop(plugin, f"its hooks cannot be used: {one_line(error)}")

    def call(self, hook: str, **arguments: Any) -> None:
        """Call one hook of every registered plugin, with the arguments that `RunHooks` names."""
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            others = self._manager.get_plugins() - {implementation.plugin}
            try:
                self._manager.subset_hook_caller(hook, others)(**arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self._drop(implementation.plugin_name, f"its hook {hook!r} failed: {one_line(error)}")

    def _drop(self, plugin: str, problem: str) -> None:
        self._manager.set_blocked(plugin)
        self._report(f"plugin {plugin!r}: {problem}; its hooks are not called again")
