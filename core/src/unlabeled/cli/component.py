"""How one component is shown: `unlabeled components ID`."""

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from shlex import quote
from typing import Any

import click

from unlabeled.cli.output import print_json
from unlabeled.recipes.component import Description, describe_component, inline
from unlabeled.recipes.options import Option
from unlabeled_registry.capabilities import CAPABILITIES
from unlabeled_registry.errors import printable
from unlabeled_registry.manifest import Component
from unlabeled_registry.registry import Registry

_HEADER = ("OPTION", "TYPE", "DEFAULT", "ALLOWED")
_WIDEST = (30, 18, 18)
"""Of the first columns; what is longer goes on in the next line, and the last column takes what is left."""


def show(component: Component, registry: Registry, as_json: bool) -> None:
    """Print what a component is; `PluginError` where its plugin fails."""
    found = describe_component(component, registry)
    if as_json:
        print_json(_answer(found))
        return
    width = min(max(60, shutil.get_terminal_size().columns), 120)
    click.echo("\n\n".join(part for part in _parts(found, width) if part))


def _parts(found: Description, width: int) -> list[str]:
    component = found.component
    head = [
        f"{component.id}: {component.kind} of {component.plugin} {printable(found.version)}",
        *textwrap.wrap(component.summary, width),
    ]
    said = [line for label, value in found.declares.items() for line in _declared(label, value, width)]
    doc = _paragraphs(found.doc, width)
    return [
        "\n".join(head),
        "" if doc.rstrip(".") == component.summary else doc,
        "\n".join(said),
        "" if component.kind == "recipe" else _table(found.options, width),
        _usage(found, width),
    ]


def _paragraphs(text: str, width: int) -> str:
    """A docstring, its paragraphs filled anew; one that its author laid out stays as it is."""
    paragraphs = [[printable(line, 1000) for line in part.splitlines()] for part in text.split("\n\n")]
    return "\n\n".join(
        "\n".join(lines)
        if any(line.startswith((" ", "-", "*", ">>>")) for line in lines)
        else textwrap.fill(" ".join(lines), width, break_on_hyphens=False)
        for lines in paragraphs
    )


def _declared(label: str, value: Any, width: int) -> list[str]:
    """`label: value`, of a mapping a line for each key; nothing where there is nothing to say."""
    if value in (None, [], {}, False):
        return []
    label = label.replace("_", " ")
    if label in ("requires", "provides"):
        value = {name: CAPABILITIES.get(name, "") for name in value}
    if isinstance(value, dict):
        return [f"{label}:", *(line for key in value for line in _filled(f"  {key}: {_sentence(value[key])}", width))]
    return _filled(f"{label}: {_sentence(value)}", width)


def _filled(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)


def _sentence(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(item if isinstance(item, str) else _given(item) for item in value)
    return "yes" if value is True else inline(value)


def _given(spec: Any) -> str:
    """A view or a component of a pipeline, without what it leaves empty."""
    return inline({key: part for key, part in spec.items() if part} if isinstance(spec, dict) else spec)


def _table(options: Sequence[Option], width: int) -> str:
    """A row for each option with its description below it."""
    if not options:
        return "It has no options."
    rows = [_cells(option) for option in options]
    widths = [
        min(max(len(row[column]) for row in [_HEADER, *rows]), most)
        for column, most in zip(range(3), _WIDEST, strict=True)
    ]
    widths.append(max(10, width - sum(widths) - 2 * len(widths)))
    lines = _row(_HEADER, widths)
    for option, row in zip(options, rows, strict=True):
        lines += _row(row, widths)
        about = printable(option.description, 2000)
        lines += textwrap.wrap(about, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


def _cells(option: Option) -> tuple[str, str, str, str]:
    default = "required" if option.required else inline(_rounded(option.default))
    return option.name, option.type, default, option.allowed


def _rounded(value: Any) -> Any:
    """Floats to six digits: 4/3 is no reason for a wider column."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of one row, each cell wrapped to its column."""
    wrapped = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(cells, widths, strict=True)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*wrapped, fillvalue="")
    ]


def _usage(found: Description, width: int) -> str:
    """How one writes it."""
    if found.component.kind == "recipe":
        return f"print it: unlabeled recipes {found.component.id}\nrun it:   unlabeled train {found.component.id}"
    lines = [f"in a recipe: {section}: {inline(part)}" for section, part in found.recipe.items()]
    if found.override is not None:
        lines.append(f"as an override, where a recipe names it: {quote(found.override)}")
    return "\n".join(lines)


def _answer(found: Description) -> dict[str, object]:
    component = found.component
    return {
        "kind": component.kind,
        "id": component.id,
        "plugin": component.plugin,
        "version": found.version,
        "summary": component.summary,
        "object": component.object,
        "doc": found.doc,
        "declares": found.declares,
        "options": [asdict(option) for option in found.options],
        "recipe": found.recipe,
        "override": found.override,
    }
