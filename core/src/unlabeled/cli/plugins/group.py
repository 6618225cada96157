"""`unlabeled plugins`: the list of its commands."""

import click

from unlabeled.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("unlabeled.cli.plugins.listing:list_plugins", "List the installed plugins and their states."),
    "info": (
        "unlabeled.cli.plugins.info:info",
        "Show one plugin, installed or in the index: its state and what it provides.",
    ),
    "search": ("unlabeled.cli.plugins.search:search", "Find plugins in the index."),
    "enable": ("unlabeled.cli.plugins.switch:enable", "Let this environment use a plugin again."),
    "disable": ("unlabeled.cli.plugins.switch:disable", "Keep this environment from using a plugin."),
    "index": ("unlabeled.cli.plugins.index:index", "Make an index of plugins from wheels, and check one."),
    "new": ("unlabeled.cli.plugins.new:new", "Write a new plugin's project: a working example of each kind."),
    "check": ("unlabeled.cli.plugins.check:check", "Build a plugin, install it afresh, and prove what it promises."),
}


@click.group(cls=LazyGroup, table=COMMANDS, invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List, inspect, enable and disable plugins."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
