"""Groups of commands that are imported when they run."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from unlabeled_registry.errors import did_you_mean


class LazyGroup(click.Group):
    """Commands that are imported when they run; their list is printed without importing any."""

    def __init__(self, *arguments: Any, table: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        """table: name -> (module:click command, what the list of commands says)."""
        super().__init__(*arguments, **settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            instead = did_you_mean(cmd_name, self.table) or f"; `{ctx.command_path} --help` lists all"
            raise click.UsageError(f"unknown command {cmd_name!r}{instead}")
        module, _, name = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])
