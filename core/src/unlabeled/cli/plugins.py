"""`unlabeled plugins`: list, info, enable, disable."""

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled_registry.registry import Plugin, discover


@click.group()
def plugins() -> None:
    """List, inspect, enable and disable plugins."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: [{name, version, state, reason}].")
def list_plugins(as_json: bool) -> None:
    """List the installed plugins and their states, without importing any."""
    found = discover().plugins
    if as_json:
        print_json([_summary(plugin) for plugin in found])
    elif not found:
        click.echo("no plugins are installed; unlabeled-standard and one for your modality are a good start")
    else:
        rows = [(plugin.name, plugin.version, plugin.state, plugin.reason) for plugin in found]
        print_columns(("NAME", "VERSION", "STATE", "REASON"), rows)


@plugins.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, as_json: bool) -> None:
    """Show one plugin: its state, its manifest and what it provides."""
    plugin = discover().plugin(name)
    if as_json:
        print_json(_summary(plugin) | _details(plugin))
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


@plugins.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let this environment use a plugin again."""
    discover().enable(name)
    _print_state(name)


@plugins.command()
@click.argument("name")
def disable(name: str) -> None:
    """Keep this environment from using a plugin; it stays installed."""
    discover().disable(name)
    _print_state(name)


def _print_state(name: str) -> None:
    plugin = discover().plugin(name)
    click.echo(f"{plugin.name}: {plugin.state}" + (f" ({plugin.reason})" if plugin.reason else ""))


def _summary(plugin: Plugin) -> dict[str, object]:
    return {"name": plugin.name, "version": plugin.version, "state": plugin.state, "reason": plugin.reason}


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
