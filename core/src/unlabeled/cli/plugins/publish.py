"""`unlabeled plugins publish`, `yank` and `advise`: what the keeper of an index does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from unlabeled.cli.output import say
from unlabeled_registry.index.notices import advise as advise_in
from unlabeled_registry.index.notices import unyank, withdraw
from unlabeled_registry.index.notices import yank as yank_in
from unlabeled_registry.index.publish import publish as publish_in

_folder: Callable[[Any], Any] = click.option(
    "--index", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The folder of the index."
)


@click.command()
@click.argument("wheel", type=click.Path(path_type=Path))
@_folder
@click.option("--report", type=click.Path(path_type=Path), help="What `plugins check --json` wrote of this very file.")
def publish(wheel: Path, folder: Path, report: Path | None) -> None:
    """Add WHEEL to the index in DIR: its check must be green, its name no one else's, its version a new one.

    Attestations in WHEEL.provenance go with it (PEP 740). On any failure the index stays byte for byte what it was.
    """
    added, found = publish_in(wheel, folder, report)
    kept = f"{found['passed']} of {found['required']} promises kept"
    say(f"published {added.name} {added.version}: {kept}; sha256 {added.sha256}")


@click.command()
@click.argument("release", metavar="NAME==VERSION")
@_folder
@click.option("--reason", metavar="TEXT", help="What people are told.")
@click.option("--undo", is_flag=True, help="Take the yank back.")
def yank(release: str, folder: Path, reason: str | None, undo: bool) -> None:
    """Mark a release as not to be installed; who asks for its very number still gets it, with the reason."""
    if undo is (reason is not None):
        raise click.UsageError("give either --reason TEXT or --undo")
    if reason is None:
        say(f"{unyank(release, folder)}: no longer yanked")
    else:
        say(f"{yank_in(release, reason, folder)}: yanked ({reason})")


@click.command()
@click.argument("name")
@_folder
@click.option("--affects", metavar="RANGE", help="The versions, such as '<1.2'.")
@click.option("--id", "id_", required=True, help="The advisory's id; one of the same id is replaced.")
@click.option("--summary", metavar="TEXT", help="What is wrong, in one line.")
@click.option("--fixed-in", metavar="VERSION", help="The first version without the fault, where there is one.")
@click.option("--undo", is_flag=True, help="Take the advisory back.")
def advise(
    name: str, folder: Path, affects: str | None, id_: str, summary: str | None, fixed_in: str | None, undo: bool
) -> None:
    """Tell of a fault in some versions of a plugin; they are not installed unless asked for by number."""
    if undo and affects is summary is fixed_in is None:
        say(f"{withdraw(name, id_, folder)}: no longer under advisory {id_}")
    elif not undo and affects is not None and summary is not None:
        say(f"{advise_in(name, affects, id_, summary, fixed_in, folder)}: under advisory {id_}")
    else:
        raise click.UsageError("give either --affects RANGE and --summary TEXT, or --undo")
