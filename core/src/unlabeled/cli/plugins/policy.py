"""`unlabeled plugins policy`."""

from pathlib import Path

import click

from unlabeled.cli.output import say
from unlabeled_registry.environment import write_atomically
from unlabeled_registry.errors import RegistryError


@click.group()
def policy() -> None:
    """Write and check the list of plugins that a cluster allows."""


@policy.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file; default: print.")
@click.option("--editable", is_flag=True, help="Allow plugins from checkouts, whatever their files are.")
def write(out: Path | None, editable: bool) -> None:
    """Write a policy that allows the installed plugins, by name, version and the hash of their files, and no others."""
    from unlabeled_registry.policy.write import policy_of_installed

    text, left_out, count = policy_of_installed(editable=editable)
    for sentence in left_out:
        say(sentence, err=True)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomically(out, text)
    except OSError as error:
        raise RegistryError(f"{out}: cannot be written ({error.strerror}); give another --out") from None
    say(f"{out}: allows {count} plugins")


@policy.command()
def check() -> None:
    """Name the policies that hold here, and the plugins that they refuse, whose files are hashed; imports none.

    Exit code 2 where one is refused.
    """
    from unlabeled_registry.policy.files import VARIABLE, policy_files
    from unlabeled_registry.registry import discover

    files = policy_files()
    if not files:
        say(f"no policy holds here: every plugin is allowed; {VARIABLE} names a file")
        return
    registry = discover()
    refused = [plugin for plugin in registry.plugins if not registry.admit(plugin)]
    for file in files:
        say(f"policy: {file}")
    for plugin in registry.plugins:
        if plugin.allowed:
            say(f"allowed: {plugin.name} {plugin.version}")
    if refused:
        raise RegistryError(*(f"{plugin.name} {plugin.version}: {plugin.reason}" for plugin in refused))
