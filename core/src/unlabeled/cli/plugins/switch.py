"""`unlabeled plugins enable` and `disable`."""

import click

from unlabeled.cli.output import say
from unlabeled_registry.registry import discover


@click.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let this environment use a plugin again."""
    discover().enable(name)
    _print_state(name)


@click.command()
@click.argument("name")
def disable(name: str) -> None:
    """Keep this environment from using a plugin; it stays installed."""
    discover().disable(name)
    _print_state(name)


def _print_state(name: str) -> None:
    plugin = discover().plugin(name)
    say(f"{plugin.name}: {plugin.state}" + (f" ({plugin.reason})" if plugin.reason else ""))
