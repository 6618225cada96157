"""`unlabeled plugins check`."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from unlabeled.cli.output import print_columns, say
from unlabeled_registry.check.check import check as check_plugin
from unlabeled_registry.check.process import StepError
from unlabeled_registry.check.signals import Terminated
from unlabeled_registry.environment import write_atomically
from unlabeled_registry.errors import RegistryError, listed

LOG_LINES = 15


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to this file.")
@click.option("--from-scratch", is_flag=True, help="Install everything, torch too, into an empty environment.")
@click.option("--keep", is_flag=True, help="Keep the folder with wheel, environment and logs.")
@click.option("--limit", type=click.FloatRange(min=1), default=900, show_default=True, help="Seconds for the checks.")
def check(path: Path, file: Path | None, from_scratch: bool, keep: bool, limit: float) -> int:
    """Build the plugin in the folder PATH (or take the wheel PATH), install it afresh, and prove what it promises.

    Exits with 0 where every required promise is kept, 1 where one is not, 2 where it cannot be checked. The report goes to
    the output; how far it is, a line a component, to the error output.
    """

    def tell(text: str) -> None:
        say(text, err=True)

    try:
        report = check_plugin(path, from_scratch=from_scratch, keep=keep, limit=limit, tell=tell)
    except StepError as error:
        for line in error.log.rstrip().splitlines()[-LOG_LINES:]:
            tell(f"| {line}")
        raise
    except Terminated as ended:
        tell(f"error: {ended}")
        return ended.code
    if file is not None:
        try:
            write_atomically(file, json.dumps(report, indent=1, sort_keys=True) + "\n")
        except OSError as error:
            raise RegistryError(f"{file}: cannot be written ({error.strerror}); name another file") from None
    print_report(report)
    if report["green"]:
        return 0
    tell(
        f"to try one again: pip install -e PROJECT, then python -m unlabeled.testing {report['plugin']} --only PROMISE"
    )
    return 1


def print_report(report: dict[str, Any]) -> None:
    """What each component keeps, then each promise that is not kept, then the sum."""
    checks = report["checks"]
    every = Counter((check["kind"], _place(check, report)) for check in checks)
    kept = Counter((check["kind"], _place(check, report)) for check in checks if check["result"] == "passed")
    rows = [(*part, f"{kept[part]} of {count}") for part, count in every.items()]
    print_columns(("KIND", "COMPONENT", "KEPT"), rows)
    for line in _broken(report):
        say(line)
    colour = "green" if report["green"] else "red"
    counts = f"{report['passed']} of {report['required']} promises kept, {report['ran']} checked"
    say(f"{colour}: {report['plugin']} {report['version']}: {counts}; sha256 {report['sha256']}")


def _broken(report: dict[str, Any]) -> Iterator[str]:
    """A line for each promise that is not kept, and one for all that one component breaks for the same reason."""
    alike: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for number, check in enumerate(report["checks"]):
        if check["result"] != "passed":
            reason = check["message"] or str(number)
            alike.setdefault((check["result"], check["kind"], _place(check, report), reason), []).append(check)
    for (result, kind, place, _), checks in alike.items():
        message = checks[0]["message"]
        if len(checks) == 1:
            reason = f": {message}" if message else ""
            yield f"{result}: {kind} {place}: {checks[0]['promise']} ({checks[0]['text']}){reason}"
        else:
            names = listed(check["promise"] for check in checks)
            yield f"{result}: {kind} {place}: {message} ({len(checks)} promises: {names})"


def _place(check: dict[str, Any], report: dict[str, Any]) -> str:
    """The component that a check is of, or the plugin itself."""
    return str(check["component"] or report["plugin"])
