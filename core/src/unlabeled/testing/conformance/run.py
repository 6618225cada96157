"""Checks an installed plugin: runs what is required of it, and reports what ran."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from types import FrameType
from typing import Any

import torch
import transformers

from unlabeled.testing.conformance.bench import Bench
from unlabeled.testing.conformance.checks import CHECKS, PLUGIN_CHECKS
from unlabeled.testing.conformance.companions import Missing
from unlabeled.testing.conformance.promises import Required, required
from unlabeled.testing.conformance.report import Outcome, Part, Report, Result
from unlabeled_registry.blame import blame
from unlabeled_registry.errors import RegistryError, one_line
from unlabeled_registry.manifest import Component
from unlabeled_registry.registry import Plugin, Registry, discover

LIMIT = 120
"""Seconds within which a promise must be shown."""


@dataclass(frozen=True)
class Checks:
    """The functions that prove promises; tests take some away."""

    of_plugin: Mapping[str, Callable[[Bench], None]]
    of_components: Mapping[tuple[str, str], Callable[[Bench, Component], None]]


ALL = Checks(PLUGIN_CHECKS, CHECKS)


def check_plugin(
    name: str,
    *,
    only: str | None = None,
    seen: Callable[[Result], None] = lambda result: None,
    finished: Callable[[Part], None] = lambda part: None,
    checks: Checks = ALL,
    registry: Registry | None = None,
) -> Report:
    """Prove every promise of an installed plugin, or the one called `only`.

    `seen` hears of each promise as it ends, and `finished` of each component, and of the plugin itself, when all of its have.
    `RegistryError` where the plugin cannot be checked: it is not installed, or cannot be used.
    """
    registry = registry or discover()
    plugin, wanted = requirements(name, registry)
    results: dict[Required, Result] = {}
    with Bench(registry, plugin) as bench:
        parts = [list(items) for _, items in groupby(wanted, key=lambda item: (item.kind, item.component))]
        for number, items in enumerate(parts, 1):
            for item in items:
                if only in (None, item.promise, f"{item.component or 'plugin'}:{item.promise}"):
                    results[item] = prove(item, bench, checks)
                    seen(results[item])
            tried = [results[item] for item in items if item in results]
            if tried:
                finished(Part(number, len(parts), tried))
    return Report(plugin.name, plugin.version, wanted, results)


def requirements(name: str, registry: Registry) -> tuple[Plugin, list[Required]]:
    """A plugin and what it must prove, from its manifest alone; `RegistryError` where it cannot be used."""
    plugin = registry.plugin(name)
    if plugin.manifest is None or not (registry.admit(plugin) and plugin.usable):
        raise RegistryError(f"plugin {plugin.name!r} is {plugin.state}: {plugin.reason}")
    return plugin, list(required(plugin.manifest))


def prove(item: Required, bench: Bench, checks: Checks = ALL) -> Result:
    """Try to prove one promise."""
    start = time.perf_counter()
    outcome, message = _try(item, bench, checks)
    seconds = round(time.perf_counter() - start, 3)
    return Result(item.component, item.kind, item.promise, item.text, outcome, message, seconds)


def _try(item: Required, bench: Bench, checks: Checks) -> tuple[Outcome, str]:
    check = _find(item, bench, checks)
    if check is None:
        return "not-run", "its check is missing from this kit; upgrade unlabeled"
    transformers.utils.logging.disable_progress_bar()
    try:
        with _limited(LIMIT), torch.random.fork_rng(devices=[]):
            check()
    except Missing as error:
        return "not-run", str(error)
    except AssertionError as error:
        return "failed", _line(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin's code raises
        return "failed", _line(one_line(error)) + _where(error, bench.plugin)
    return "passed", ""


def _where(error: BaseException, plugin: Plugin) -> str:
    """The last place in the plugin's own code that an error came through, in brackets; nothing where there is none."""
    place = blame(error, [plugin])
    return f" ({place.partition(' (')[2]}" if place else ""


def _find(item: Required, bench: Bench, checks: Checks) -> Callable[[], Any] | None:
    if item.kind == "plugin":
        of_plugin = checks.of_plugin.get(item.promise)
        return None if of_plugin is None else lambda: of_plugin(bench)
    component = next(part for part in bench.plugin.components if (part.kind, part.id) == (item.kind, item.component))
    check = checks.of_components.get((item.kind, item.promise))
    return None if check is None else lambda: check(bench, component)


def _line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[0]


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """`TimeoutError` after so many seconds; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
