"""`unlabeled plugins list`."""

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled_registry.registry import Plugin, discover


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: [{name, version, state, reason}].")
def list_plugins(as_json: bool) -> None:
    """List the installed plugins and their states, without importing any."""
    found = discover().plugins
    if as_json:
        print_json([summary(plugin) for plugin in found])
    elif not found:
        say("no plugins are installed; unlabeled-standard and one for your modality are a good start")
    else:
        rows = [(plugin.name, plugin.version, plugin.state, plugin.reason) for plugin in found]
        print_columns(("NAME", "VERSION", "STATE", "REASON"), rows)


def summary(plugin: Plugin) -> dict[str, object]:
    """What `--json` says of a plugin."""
    return {"name": plugin.name, "version": plugin.version, "state": plugin.state, "reason": plugin.reason}
