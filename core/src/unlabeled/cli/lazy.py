"""Groups of commands that are imported when they run."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from unlabeled_registry.errors import did_you_mean


class LazyGroup(click.Group):
    """Commands that are imported when they run; their list is printed without importing any."""

    def __init__(self, *arguments: Any, sections: Mapping[str, Mapping[str, tuple[str, str]]], **settings: Any) -> None:
        """sections: heading -> name -> (module:click command, what the list of commands says)."""
        super().__init__(*arguments, **settings)
        self.sections = sections

    @property
    def table(self) -> dict[str, tuple[str, str]]:
        """Every command of every section."""
        return {name: entry for commands in self.sections.values() for name, entry in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        table = self.table
        if cmd_name not in table:
            instead = did_you_mean(cmd_name, table) or f"; `{ctx.command_path} --help` lists all"
            raise click.UsageError(f"unknown command {cmd_name!r}{instead}")
        module, _, name = table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, summary) for name, (_, summary) in commands.items()])
