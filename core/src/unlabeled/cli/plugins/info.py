"""`unlabeled plugins info`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled.cli.plugins.listing import summary
from unlabeled_registry.api import API_VERSION
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.registry import Plugin, discover

if TYPE_CHECKING:
    from unlabeled_registry.about import About


@click.command()
@click.argument("name")
@click.option("--index", "location", metavar="INDEX", help="What this index has, whether it is installed or not.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, location: str | None, as_json: bool) -> None:
    """Show one plugin: its state, its manifest and what it provides; one that is not installed from the index."""
    registry = discover()
    try:
        plugin = registry.plugin(name)
    except RegistryError as error:
        _show_available(name, location, as_json, missing=error)
        return
    if location is not None:
        _show_available(name, location, as_json, installed=plugin.version)
        return
    from unlabeled_registry.about import about

    found = about(plugin, registry)
    if as_json:
        print_json(summary(plugin) | _details(plugin) | asdict(found))
        return
    say(f"{plugin.name} {plugin.version}: {plugin.state}")
    if plugin.reason:
        say(f"reason: {plugin.reason}")
    manifest = plugin.manifest
    if manifest is not None:
        say(f"summary: {manifest.summary}")
        say(f"api: {manifest.api}, and these interfaces are {API_VERSION}")
        say(f"package: {manifest.package}, in {manifest.path.parent}")
        if manifest.hooks:
            click.echo("hooks: every run imports it")
        if manifest.uses:
            say(f"uses: {', '.join(manifest.uses)}")
    say(f"requires: {', '.join(found.requires) or 'nothing'}")
    say(f"installed: {_installed(found)}")
    say(f"files: {_files(found)}")
    say(f"policy: {_policy(found)}")
    say(f"conformance: `python -m unlabeled.testing {plugin.owner}` proves it, --index INDEX says what an index knows")
    if manifest is not None:
        click.echo()
        print_columns(("KIND", "ID", "SUMMARY"), [(c.kind, c.id, c.summary) for c in plugin.components])


def _installed(found: "About") -> str:
    if found.editable:
        return f"editable, {found.metadata}"
    wheels = f", from a wheel of sha256 {' or '.join(found.sha256)}" if found.sha256 else ""
    return f"{found.metadata}{wheels}"


def _files(found: "About") -> str:
    if found.editable:
        return "those of the checkout, whatever they are"
    if found.changed is None:
        return "nothing says what they were when it was installed"
    return "; ".join(found.changed) or "as they were installed"


def _policy(found: "About") -> str:
    if not found.policies:
        return "none holds here"
    return f"{'allowed' if found.allowed else 'not allowed'} by {', '.join(found.policies)}"


def _details(plugin: Plugin) -> dict[str, object]:
    if plugin.manifest is None:
        return {"components": []}
    return {
        "summary": plugin.manifest.summary,
        "api": plugin.manifest.api,
        "package": plugin.manifest.package,
        "path": str(plugin.manifest.path),
        "hooks": plugin.manifest.hooks,
        "uses": plugin.manifest.uses,
        "components": [{"kind": c.kind, "id": c.id, "summary": c.summary} for c in plugin.components],
    }


def _show_available(
    name: str, location: str | None, as_json: bool, *, installed: str = "", missing: RegistryError | None = None
) -> None:
    """What the index has; where no index is named, or none has it, the error says that it is not installed either."""
    from unlabeled.cli.plugins.available import show
    from unlabeled_registry.index.client import named_location, read_index

    place = named_location(location)
    if place is None:
        assert missing is not None
        raise missing
    try:
        releases = read_index(place).releases(name)
    except RegistryError as error:
        if location is not None:
            raise
        raise RegistryError(*(missing.problems if missing else ()), *error.problems) from None
    show(releases, installed, as_json)
