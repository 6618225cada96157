"""The report of the conformance kit, held to the wheel that it is of and to itself."""

from typing import Any

from unlabeled_registry.index.wheels import Wheel
from unlabeled_registry.manifest import owner_of

SCHEMA = 1
_COUNTS = ("required", "ran", "passed")
_TEXTS = ("component", "kind", "promise", "text", "result", "message")


def contradiction(report: Any, wheel: Wheel) -> str:
    """What in a report contradicts the wheel or itself, or nothing."""
    try:
        return _contradiction(report, wheel)
    except (KeyError, TypeError, ValueError, AttributeError):
        return "is not what the kit writes"


def shortcoming(report: Any, wheel: Wheel) -> str:
    """Why a report does not show that this very file keeps its promises, or nothing; its counts are counted again."""
    if problem := contradiction(report, wheel):
        return problem
    if report.get("sha256") != wheel.sha256:
        return f"is of sha256 {report.get('sha256')}, and this file has {wheel.sha256}"
    checks, required = report["checks"], report["required"]
    passed = sum(check["result"] == "passed" for check in checks)
    if not report["green"] or {required, report["ran"], report["passed"], len(checks)} != {passed}:
        return f"is red: {passed} of {required} promises kept"
    named = {f"{owner_of(wheel.name)}/{table['id']}" for table in wheel.manifest.get("provides", ())}
    if missing := sorted((named | {""}) - {check["component"] for check in checks}):
        return f"shows nothing of {missing[0] or 'the plugin itself'}"
    return ""


def _contradiction(report: Any, wheel: Wheel) -> str:
    checks, counts = report["checks"], [int(report[name]) for name in _COUNTS]
    if report["schema"] != SCHEMA:
        return f"has schema {report['schema']}, not {SCHEMA}"
    if (report["plugin"], report["version"]) != (wheel.name, wheel.version):
        return f"is of {report['plugin']} {report['version']}, not of {wheel.name} {wheel.version}"
    if not all(isinstance(check[name], str) for check in checks for name in _TEXTS):
        return "is not what the kit writes"
    results = [check["result"] for check in checks]
    found = [len(results), len(results) - results.count("not-run"), results.count("passed")]
    if counts != found or report["green"] is not (counts[0] == counts[2] > 0):
        return "contradicts itself"
    return ""
