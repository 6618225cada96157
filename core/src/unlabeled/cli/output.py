"""How commands print: JSON for programs, aligned columns for people."""

import json
from collections.abc import Sequence
from typing import Any

import click


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in aligned columns under a header; the last column takes the width it needs."""
    table = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header) - 1)]
    lines = ("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in table)
    click.echo("\n".join(lines))
