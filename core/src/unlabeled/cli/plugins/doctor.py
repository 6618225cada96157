"""`unlabeled plugins doctor`."""

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled.cli.plugins.listing import summary
from unlabeled_registry.damage import damage
from unlabeled_registry.doctor import Diagnosis, examine
from unlabeled_registry.libraries import audio_problems
from unlabeled_registry.probe import TIMEOUT
from unlabeled_registry.registry import discover


@click.command()
@click.argument("name", required=False)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=TIMEOUT, help="Seconds for each plugin.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: {environment, plugins}.")
def doctor(name: str | None, timeout: float, as_json: bool) -> int:
    """Import each enabled plugin, or the one called NAME, in a process of its own; say what is wrong, and the cure.

    Exits with 1 where anything is wrong.
    """
    registry = discover()
    chosen = registry.plugins if name is None else (registry.plugin(name),)
    environment = [*audio_problems(), *damage()]
    found = examine(registry, chosen, timeout)
    if as_json:
        print_json({"environment": environment, "plugins": [_answer(diagnosis) for diagnosis in found]})
    else:
        print_columns(("NAME", "STATE", "WORKS", "IMPORT", "LOADS"), [_row(diagnosis) for diagnosis in found])
        for problem in environment:
            say(f"problem: {problem}")
        for diagnosis in found:
            for finding in diagnosis.findings:
                say(f"{diagnosis.plugin.name}: {finding.problem}")
                say(f"  cure: {finding.cure}")
    return int(bool(environment) or any(diagnosis.findings for diagnosis in found))


def _row(diagnosis: Diagnosis) -> tuple[str, ...]:
    plugin, probe = diagnosis.plugin, diagnosis.probe
    seconds = "-" if probe is None or probe.seconds is None else f"{probe.seconds:.2f} s"
    heavy = "" if probe is None else ", ".join(probe.heavy)
    return plugin.name, plugin.state, "yes" if diagnosis.works else "no", seconds, heavy


def _answer(diagnosis: Diagnosis) -> dict[str, object]:
    probe = diagnosis.probe
    return summary(diagnosis.plugin) | {
        "works": diagnosis.works,
        "findings": [{"problem": finding.problem, "cure": finding.cure} for finding in diagnosis.findings],
        "seconds": probe and probe.seconds,
        "heavy": probe.heavy if probe else [],
        "network": probe.network if probe else None,
    }
