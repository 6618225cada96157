"""The conformance kit of `unlabeled`, run where the plugin is installed, and the report that it writes."""

import json
from typing import Any

from unlabeled_registry.check.environment import Environment
from unlabeled_registry.check.process import Finished, StepError
from unlabeled_registry.check.report import contradiction
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.wheels import Wheel

IMPORT_LIMIT = 120.0
_IMPORT = """\
import sys
from importlib import import_module
for module in sys.argv[1:]:
    print(module, flush=True)
    import_module(module)
print("ended")
"""


def import_modules(wheel: Wheel, environment: Environment) -> None:
    """Import every module that the manifest names; `StepError` where one fails, ends the process or hangs.

    The kit would find this too, but once for every promise.
    """
    named = {str(table["object"]).partition(":")[0] for table in wheel.manifest.get("provides", ())}
    done = environment.run(["-c", _IMPORT, *sorted(named | {wheel.package})], "import", IMPORT_LIMIT)
    lines = done.log.splitlines()
    if done.code == 0 and lines[-1:] == ["ended"]:
        return
    module = next((line for line in reversed(lines) if line in named), wheel.package)
    if done.code is None:
        raise StepError(f"{wheel.name}: importing {module} does not end within {IMPORT_LIMIT:g} s", done.log)
    cause = f"ends the process with {done.code}" if _is_silent(done) else f"fails: {done.cause}"
    raise StepError(f"{wheel.name}: importing {module} {cause}", done.log)


def run_kit(wheel: Wheel, environment: Environment, limit: float) -> dict[str, Any]:
    """The kit's report on an installed plugin; `StepError` where there is none, `RegistryError` where it cannot be."""
    file = environment.folder / "report.json"
    done = environment.run(["-m", "unlabeled.testing", wheel.name, "--json", str(file)], "kit", limit)
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


def _is_silent(done: Finished) -> bool:
    """Whether a program ended without saying why."""
    return "Traceback" not in done.log


def _cause(done: Finished) -> str:
    if "No module named unlabeled" in done.log:
        return "the unlabeled that is installed beside it brings no checks; upgrade unlabeled"
    if done.code is not None and done.code < 0:
        return f"its process was ended by signal {-done.code}, after: {done.cause}"
    return done.cause
