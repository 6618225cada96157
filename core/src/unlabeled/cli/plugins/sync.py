"""`unlabeled plugins sync`."""

from pathlib import Path

import click

from unlabeled.cli.plugins.changing import confirm_and_install, install_options, plan_options
from unlabeled_registry.install.operations import Options
from unlabeled_registry.lock.sync import prepared_sync


@click.command()
@click.argument("target", metavar="FILE|RUN", type=click.Path(exists=True, path_type=Path))
@install_options
@plan_options
def sync(target: Path, options: Options, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Make the plugins those of a lock file, or bring back those of a run.

    A lock file names all plugins, so others are removed (not those installed from source), and the environment follows it
    from then on. A run names those that it used; others stay.
    """
    with prepared_sync(target, options) as preparation:
        confirm_and_install(preparation, dry_run=dry_run, yes=yes, as_json=as_json)
