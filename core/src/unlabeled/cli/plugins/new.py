"""`unlabeled plugins new`."""

from pathlib import Path

import click

from unlabeled import __version__
from unlabeled.cli.output import say
from unlabeled_registry.scaffold.names import names_of
from unlabeled_registry.scaffold.render import kinds_of, render, write
from unlabeled_registry.schema import KINDS


@click.command()
@click.argument("name")
@click.option("--kind", "kinds", default="", metavar="KIND,...", help=f"What it provides: some of {', '.join(KINDS)}.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write it; default: unlabeled-NAME.")
def new(name: str, kinds: str, folder: Path | None) -> None:
    """Write the project of a new plugin: manifest, a working example of each kind, tests, README and build file."""
    names = names_of(name)
    files = render(names, kinds_of(kinds), __version__)
    folder = folder or Path(names.distribution)
    write(files, folder)
    say(f"{folder}: {len(files)} files of {names.distribution}; README.md there says what each is for")
    say(f"next: unlabeled plugins check {folder}")
