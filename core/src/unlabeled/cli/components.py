"""`unlabeled components`."""

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled_registry.registry import discover
from unlabeled_registry.schema import KINDS


@click.command()
@click.argument("id", required=False)
@click.option("--kind", type=click.Choice(KINDS), help="Only components of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: [{kind, id, plugin, summary}], or all about one.")
def components(id: str | None, kind: str | None, as_json: bool) -> None:
    """List what the installed plugins provide, or show the one called ID: what it is, declares, and its options.

    The list imports no plugin; to show one imports the plugin that it belongs to.
    """
    registry = discover()
    if id is not None:
        component = registry.find(kind, id)
        from unlabeled.cli.component import show

        show(component, registry, as_json)
        return
    found = registry.components(kind)
    if as_json:
        print_json([{"kind": c.kind, "id": c.id, "plugin": c.plugin, "summary": c.summary} for c in found])
    else:
        print_columns(("KIND", "ID", "SUMMARY"), [(c.kind, c.id, c.summary) for c in found])
