"""How commands print: JSON for programs, lines and aligned columns for people. No text of a plugin moves the cursor."""

import json
from collections.abc import Sequence
from typing import Any

import click

from unlabeled_registry.errors import escaped, printable

LONGEST = 1000
"""Characters of a cell that are shown; JSON has all of it."""


def say(text: str, *, err: bool = False) -> None:
    """Print a line, which may hold somebody else's text."""
    click.echo(escaped(text), err=err)


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in aligned columns under a header; the last column takes the width it needs.

    Of a very long cell the beginning is shown.
    """
    table = [tuple(header), *(tuple(printable(cell, LONGEST) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header) - 1)]
    lines = ("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in table)
    click.echo("\n".join(lines))
