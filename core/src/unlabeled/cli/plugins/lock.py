"""`unlabeled plugins lock`."""

from pathlib import Path

import click

from unlabeled.cli.output import say
from unlabeled_registry.environment import write_atomically
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.lock.requirements import make_lock


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file; default: print.")
@click.option("--index", help="The plugin index, asked only for hashes that are not known here.")
@click.option(
    "--installer", type=click.Choice(["pip", "uv"]), help="Who asks the ordinary index for hashes not known here."
)
def lock(out: Path | None, index: str | None, installer: str | None) -> None:
    """Write the installed plugins, and what they need beyond unlabeled itself, as requirements with hashes.

    pip and uv install the file as it is; it names no index. torch and the rest of unlabeled's own needs are not in it.
    """
    found, left_out = make_lock(index, installer)
    for sentence in left_out:
        say(sentence, err=True)
    if out is None:
        click.echo(found.text(), nl=False)
        return
    try:
        write_atomically(out, found.text())
    except OSError as error:
        raise RegistryError(f"{out}: cannot be written ({error.strerror}); give another --out") from None
    say(f"{out}: {len(found.plugins)} plugins and {len(found.others)} packages that they need")
