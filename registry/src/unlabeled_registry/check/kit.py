"""The conformance kit of `unlabeled`, run where the plugin is installed, and the report that it writes."""

import json
import re
from collections.abc import Callable
from typing import Any

from unlabeled_registry.check.environment import Environment
from unlabeled_registry.check.process import Finished, StepError
from unlabeled_registry.check.report import contradiction
from unlabeled_registry.errors import RegistryError, printable
from unlabeled_registry.index.wheels import Wheel

LOAD_LIMIT = 120.0
_PART = re.compile(r"\[\d+/\d+\] .")  # how the kit's line of a finished component begins
_LOAD = """\
import sys
from importlib import import_module
from operator import attrgetter
for place in sys.argv[1:]:
    print(place, flush=True)
    module, _, name = place.partition(":")
    attrgetter(name or "__name__")(import_module(module))
print("ended")
"""


def load_objects(wheel: Wheel, environment: Environment) -> None:
    """Load every object that the manifest names; `StepError` where an import fails, ends the process or hangs.

    The kit would find this too, but once for every promise.
    """
    objects = [str(table["object"]) for table in wheel.manifest.get("provides", ()) if table["kind"] != "recipe"]
    done = environment.run(["-c", _LOAD, wheel.package, *objects], "load", LOAD_LIMIT)
    lines = done.log.splitlines()
    if done.code == 0 and lines[-1:] == ["ended"]:
        return
    place = next((line for line in reversed(lines) if line in objects), wheel.package)
    if done.code is None:
        raise StepError(f"{wheel.name}: loading {place} does not end within {LOAD_LIMIT:g} s", done.log)
    if "Traceback" in done.log or "SyntaxError" in done.log:
        raise StepError(f"{wheel.name}: loading {place} fails: {done.cause}{_line(done, wheel)}", done.log)
    raise StepError(f"{wheel.name}: loading {place} ends the process with {done.code}", done.log)


def _line(done: Finished, wheel: Wheel) -> str:
    """The last line of the plugin's own code in a traceback, in brackets, or nothing."""
    lines = re.findall(rf'File ".*/({wheel.package}/[^"]+)", line (\d+)', done.log)
    return f" ({lines[-1][0]}, line {lines[-1][1]})" if lines else ""


def run_kit(wheel: Wheel, environment: Environment, limit: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """The kit's report on an installed plugin; `StepError` where there is none, `RegistryError` where it cannot be.

    `tell` hears what the kit says of each component as it is finished.
    """
    file = environment.folder / "report.json"

    def heard(line: str) -> None:
        if _PART.match(line):
            tell(printable(line.rstrip()))

    done = environment.run(["-m", "unlabeled.testing", wheel.name, "--json", str(file)], "kit", limit, heard)
    if done.code is None:
        raise StepError(
            f"{wheel.name}: the checks did not end within {limit:g} s; something in it hangs or is slow (the log's last "
            "line says where), or --limit must be raised",
            done.log,
        )
    if done.code not in (0, 1) or not file.exists():
        raise StepError(f"{wheel.name}: cannot be checked: {_cause(done)}", done.log)
    try:
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        report = {}
    problem = contradiction(report, wheel)
    if not problem and report["green"] is not (done.code == 0):
        problem = "contradicts itself"
    if problem:
        raise RegistryError(f"{wheel.name}: the report of its checks {problem}; a plugin must not touch it")
    return report


def _cause(done: Finished) -> str:
    if "No module named unlabeled" in done.log:
        return "the unlabeled that is installed beside it brings no checks; upgrade unlabeled"
    if done.code is not None and done.code < 0:
        return f"its process was ended by signal {-done.code}, after: {done.cause}"
    return done.cause
