"""`unlabeled components`."""

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled_registry.registry import discover
from unlabeled_registry.schema import KINDS


@click.command()
@click.option("--kind", type=click.Choice(KINDS), help="Only components of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: [{kind, id, plugin, summary}].")
def components(kind: str | None, as_json: bool) -> None:
    """List what the installed plugins provide."""
    found = discover().components(kind)
    if as_json:
        print_json([{"kind": c.kind, "id": c.id, "plugin": c.plugin, "summary": c.summary} for c in found])
    else:
        print_columns(("KIND", "ID", "SUMMARY"), [(c.kind, c.id, c.summary) for c in found])
