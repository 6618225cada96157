"""`unlabeled matrix`."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled_registry.negotiation import Cell
from unlabeled_registry.negotiation import matrix as negotiate_all
from unlabeled_registry.registry import discover

Rows = list[tuple[str, ...]]
_MARK = len("yes 99")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: [{objective, modality, runs, reason}].")
def matrix(as_json: bool) -> None:
    """Show which objective runs on which modality, and the reason for every no."""
    cells = negotiate_all(discover().components())
    if as_json:
        print_json(
            [{"objective": c.objective, "modality": c.modality, "runs": c.runs, "reason": c.reason} for c in cells]
        )
    elif not cells:
        click.echo("no plugin with an objective and no plugin with a modality is usable; see `unlabeled plugins list`")
    else:
        print_matrix(cells, max(80, shutil.get_terminal_size().columns))


def print_matrix(cells: Sequence[Cell], width: int) -> None:
    """Print the cells as tables of at most `width` columns, then the reasons that their numbers stand for."""
    objectives = list(dict.fromkeys(cell.objective for cell in cells))
    modalities = list(dict.fromkeys(cell.modality for cell in cells))
    by_place = {(cell.objective, cell.modality): cell for cell in cells}
    reasons = list(dict.fromkeys(cell.reason for cell in cells if _is_noted(cell)))
    headings = _headings(modalities)
    for group in _groups(headings, width - max(map(len, objectives))):
        rows = [
            (objective, *(_mark(by_place[objective, modality], reasons) for modality in group))
            for objective in objectives
        ]
        _print_table(("", *(headings[modality] for modality in group)), rows)
        click.echo()
    for number, reason in enumerate(reasons, start=1):
        click.echo(textwrap.fill(f"{number:>3}  {reason}", width, subsequent_indent="     ", break_on_hyphens=False))


def _is_noted(cell: Cell) -> bool:
    """A plain yes needs no note: its reason only names the encoder."""
    return cell.reason != f"with {cell.encoder}"


def _mark(cell: Cell, reasons: Sequence[str]) -> str:
    word = "yes" if cell.runs else "no"
    return f"{word} {reasons.index(cell.reason) + 1}" if _is_noted(cell) else word


def _headings(modalities: Sequence[str]) -> dict[str, str]:
    """How each modality is headed: by its short name where that is nobody else's."""
    short = {modality: modality.partition("/")[2] for modality in modalities}
    names = list(short.values())
    return {modality: name if names.count(name) == 1 else modality for modality, name in short.items()}


def _groups(headings: Mapping[str, str], width: int) -> list[list[str]]:
    """Modalities in as many groups as it takes for the headings of each to fit the width beside the objectives."""
    groups: list[list[str]] = [[]]
    for modality in headings:
        if groups[-1] and sum(max(len(headings[name]), _MARK) + 2 for name in (*groups[-1], modality)) > width:
            groups.append([])
        groups[-1].append(modality)
    return groups


def _print_table(header: Sequence[str], rows: Rows) -> None:
    """A coloured table on a terminal, plain columns elsewhere."""
    if not sys.stdout.isatty():
        print_columns(header, rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for objective, *marks in rows:
        table.add_row(objective, *(f"[{'green' if mark.startswith('yes') else 'red'}]{mark}[/]" for mark in marks))
    Console().print(table)
