"""`unlabeled plugins uninstall`."""

import click

from unlabeled.cli.plugins.changing import agreed, finished, plan_options
from unlabeled_registry.install.removal import carry_out_removal, prepare_removal


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--force", is_flag=True, help="Although another plugin, or the lock that is followed, needs it.")
@click.option("--autoremove", is_flag=True, help="Also what came with plugins and nothing needs any longer.")
@plan_options
def uninstall(names: tuple[str, ...], force: bool, autoremove: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove plugins; none is imported, so a broken one goes like any other.

    What they brought and nothing needs any longer is named, and stays unless --autoremove is given, with or without a NAME.
    """
    if not (names or autoremove):
        raise click.UsageError("name a plugin, or give --autoremove")
    plan = prepare_removal(names, force=force, autoremove=autoremove)
    if agreed(plan, dry_run=dry_run, yes=yes, as_json=as_json):
        carry_out_removal(plan)
        finished(plan, as_json=as_json)
