"""`unlabeled plugins index`."""

from pathlib import Path

import click

from unlabeled.cli.output import say


@click.group()
def index() -> None:
    """Make an index of plugins from wheels, and check one."""


@index.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--wheels", "sources", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Add the wheels of this folder first; may be given several times.",
)  # fmt: skip
def build(folder: Path, sources: tuple[Path, ...]) -> None:
    """Make the index in FOLDER from the wheels in FOLDER/files and from state.json.

    A folder or any web server serves it: `pip --index-url FOLDER/simple/`, `unlabeled plugins --index FOLDER`, index.html.
    """
    from unlabeled_registry.index.build import build as build_index

    built = build_index(folder, sources)
    for sentence in built.left_out:
        say(f"left out: {sentence}")
    say(f"{folder}: {built.wheels} wheels of {built.plugins} plugins and {built.others} other distributions")


@index.command()
@click.argument("location")
def verify(location: str) -> int:
    """Check that the index at LOCATION, a folder or an address, says what its wheels say."""
    from unlabeled_registry.errors import RegistryError
    from unlabeled_registry.index.verify import verify as verify_index

    if problems := verify_index(location):
        raise RegistryError(*problems)
    say(f"{location}: every file is what its wheels make it")
    return 0
