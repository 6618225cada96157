"""An import that takes long is told of while it lasts."""

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled_registry import patience
from unlabeled_registry.errors import PluginError
from unlabeled_registry.registry import discover
from unlabeled_registry.testing import write_distribution

MANIFEST = """\
schema = 1
name = "unlabeled-slow"
api = ">=1.0,<2"
summary = "Slow"
[[provides]]
kind = "objective"
id = "contrast"
object = "unlabeled_slow.parts:Contrast"
summary = "Contrast"
"""
PARTS = """\
import sys
{wait}

class Objective:
    __module__ = "unlabeled.interfaces.objective"  # the real one imports torch

class Contrast(Objective): pass
"""
WAITS = "assert sys.stderr.told.wait(60), 'nobody said anything'"


class Screen(io.StringIO):
    """A standard error that knows when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def flush(self) -> None:
        self.told.set()


@pytest.fixture
def monitored(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Screen]:
    """Puts a screen in the place of standard error, which pytest changes between a fixture and its test."""

    def put() -> Screen:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return put


def load(site: Path, wait: str) -> None:
    write_distribution(site, "unlabeled-slow", MANIFEST, {"parts.py": PARTS.format(wait=wait)})
    registry = discover()
    registry.load(registry.find("objective", "contrast"))


def test_while_it_lasts(site: Path, monitored: Callable[[], Screen], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = monitored()
    monkeypatch.setattr(patience, "SECONDS", 0.0)
    load(site, WAITS)  # it ends when the line was written, and fails where none is
    assert screen.getvalue() == (
        "plugin 'unlabeled-slow': loading objective 'slow/contrast' takes longer than 0 s; Ctrl-C ends the wait, and "
        "`unlabeled plugins doctor unlabeled-slow` says whether it hangs\n"
    )


@pytest.mark.parametrize("wait", ["pass", "raise SystemExit"])
def test_nothing_is_left_of_the_wait_when_it_is_over(site: Path, monitored: Callable[[], Screen], wait: str) -> None:
    screen, before = monitored(), set(threading.enumerate())
    try:
        load(site, wait)
    except PluginError:
        assert wait != "pass"
    assert set(threading.enumerate()) == before
    assert screen.getvalue() == ""
