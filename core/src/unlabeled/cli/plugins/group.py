"""`unlabeled plugins`: the list of its commands."""

import click

from unlabeled.cli.lazy import LazyGroup

SECTIONS = {
    "Installed plugins": {
        "list": ("unlabeled.cli.plugins.listing:list_plugins", "List the installed plugins and their states."),
        "info": (
            "unlabeled.cli.plugins.info:info",
            "Show one plugin, installed or in the index: its state and what it provides.",
        ),
        "enable": ("unlabeled.cli.plugins.switch:enable", "Let this environment use a plugin again."),
        "disable": ("unlabeled.cli.plugins.switch:disable", "Keep this environment from using a plugin."),
        "doctor": ("unlabeled.cli.plugins.doctor:doctor", "Import each plugin in its own process; say what is wrong."),
        "verify": ("unlabeled.cli.plugins.verify:verify", "Compare the installed files with what was installed."),
    },
    "Installing": {
        "search": ("unlabeled.cli.plugins.search:search", "Find plugins in the index."),
        "install": ("unlabeled.cli.plugins.install:install", "Install plugins from the plugin index."),
        "upgrade": ("unlabeled.cli.plugins.install:upgrade", "Bring plugins to the newest release that fits."),
        "outdated": ("unlabeled.cli.plugins.outdated:outdated", "List the plugins of which there is a newer release."),
        "uninstall": ("unlabeled.cli.plugins.uninstall:uninstall", "Remove plugins, broken ones too."),
        "lock": ("unlabeled.cli.plugins.lock:lock", "Write a requirements file with hashes of the installed plugins."),
        "sync": ("unlabeled.cli.plugins.sync:sync", "Make the plugins those of a lock file or a run."),
        "policy": ("unlabeled.cli.plugins.policy:policy", "Write and check the list of plugins that a cluster allows."),
    },
    "Writing a plugin": {
        "new": ("unlabeled.cli.plugins.new:new", "Write a new plugin's project: a working example of each kind."),
        "check": (
            "unlabeled.cli.plugins.check:check",
            "Build a plugin, install it afresh, and prove what it promises.",
        ),
    },
    "Keeping an index": {
        "index": ("unlabeled.cli.plugins.index:index", "Make an index of plugins from wheels, and check one."),
        "publish": ("unlabeled.cli.plugins.publish:publish", "Add a wheel whose check is green to an index."),
        "yank": ("unlabeled.cli.plugins.publish:yank", "Mark a release in an index as not to be installed, and why."),
        "advise": ("unlabeled.cli.plugins.publish:advise", "Tell of a fault in some versions of a plugin in an index."),
    },
}


@click.group(cls=LazyGroup, sections=SECTIONS, invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """Find, install, write, check and publish plugins."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
