"""`unlabeled plugins install` and `upgrade`."""

import click

from unlabeled.cli.plugins.changing import confirm_and_install, install_options, plan_options
from unlabeled_registry.install.operations import Options, prepared_install, prepared_upgrade


@click.command()
@click.argument("requests", nargs=-1, required=True, metavar="NAME[==VERSION]...")
@install_options
@plan_options
def install(requests: tuple[str, ...], options: Options, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Install plugins from the plugin index, and what they need from the ordinary package index.

    Plugins come from the plugin index alone, as wheels whose hashes are enforced. Each is imported in a process of its own
    before it reaches the environment, which on any failure stays exactly what it was.
    """
    with prepared_install(requests, options) as preparation:
        confirm_and_install(preparation, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@install_options
@plan_options
def upgrade(names: tuple[str, ...], options: Options, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Bring plugins, all unless some are named, to the newest release that fits this environment."""
    with prepared_upgrade(names, options) as preparation:
        confirm_and_install(preparation, dry_run=dry_run, yes=yes, as_json=as_json)
