"""`unlabeled plugins outdated`."""

from dataclasses import asdict

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled_registry.install.outdated import outdated as find_outdated


@click.command()
@click.option("--index", help="The plugin index: a folder or an address; default: $UNLABELED_INDEX, or the settings'.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: [{name, installed, fits, newest, reason, warnings}]."
)
def outdated(index: str | None, as_json: bool) -> None:
    """List the plugins of which the index has a newer release, or a warning about the installed one."""
    found = find_outdated(index)
    if as_json:
        print_json([asdict(entry) for entry in found])
    elif not found:
        say("every plugin is at its newest release")
    else:
        notes = ("; ".join([*e.warnings, *([f"{e.newest}: {e.reason}"] if e.reason else [])]) for e in found)
        rows = [(e.name, e.installed, e.fits, e.newest, note) for e, note in zip(found, notes, strict=True)]
        print_columns(("NAME", "INSTALLED", "UPGRADE TO", "NEWEST", "NOTE"), rows)
