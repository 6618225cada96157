"""`unlabeled plugins info`."""

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled.cli.plugins.listing import summary
from unlabeled_registry.registry import Plugin, discover


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, as_json: bool) -> None:
    """Show one plugin: its state, its manifest and what it provides."""
    plugin = discover().plugin(name)
    if as_json:
        print_json(summary(plugin) | _details(plugin))
        return
    click.echo(f"{plugin.name} {plugin.version}: {plugin.state}")
    if plugin.reason:
        click.echo(f"reason: {plugin.reason}")
    if plugin.manifest is None:
        return
    for label in ("summary", "api", "package", "path"):
        click.echo(f"{label}: {getattr(plugin.manifest, label)}")
    if plugin.manifest.uses:
        click.echo(f"uses: {', '.join(plugin.manifest.uses)}")
    print_columns(("\nKIND", "ID", "SUMMARY"), [(c.kind, c.id, c.summary) for c in plugin.components])


def _details(plugin: Plugin) -> dict[str, object]:
    if plugin.manifest is None:
        return {"components": []}
    return {
        "summary": plugin.manifest.summary,
        "api": plugin.manifest.api,
        "package": plugin.manifest.package,
        "path": str(plugin.manifest.path),
        "uses": plugin.manifest.uses,
        "components": [{"kind": c.kind, "id": c.id, "summary": c.summary} for c in plugin.components],
    }
