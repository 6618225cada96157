"""`unlabeled plugins verify`."""

from pathlib import Path

import click

from unlabeled.cli.output import print_json, say
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.lock.verify import verify as compare


@click.command()
@click.argument("lock", required=False, metavar="[FILE]", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON: {sound: [...], problems: [...]}.")
def verify(lock: Path | None, as_json: bool) -> None:
    """Compare the files of the plugins with what was installed, and their versions with a lock file.

    The file is FILE, or the one that `sync` made this environment follow. Exit code 2 where anything differs.
    """
    sound, problems = compare(lock)
    if as_json:
        print_json({"sound": sound, "problems": problems})
    else:
        for line in sound:
            say(f"as installed: {line}")
    if problems:
        raise RegistryError(*problems)
