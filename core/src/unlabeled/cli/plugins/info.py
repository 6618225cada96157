"""`unlabeled plugins info`."""

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled.cli.plugins.listing import summary
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.registry import Plugin, discover


@click.command()
@click.argument("name")
@click.option("--index", "location", metavar="INDEX", help="What this index has, whether it is installed or not.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, location: str | None, as_json: bool) -> None:
    """Show one plugin: its state, its manifest and what it provides; one that is not installed from the index."""
    if location is not None:
        _show_available(name, location, as_json)
        return
    registry = discover()
    try:
        plugin = registry.plugin(name)
    except RegistryError as error:
        _show_available(name, None, as_json, error)
        return
    if as_json:
        print_json(summary(plugin) | _details(plugin))
        return
    say(f"{plugin.name} {plugin.version}: {plugin.state}")
    if plugin.reason:
        say(f"reason: {plugin.reason}")
    if plugin.manifest is None:
        return
    for label in ("summary", "api", "package", "path"):
        say(f"{label}: {getattr(plugin.manifest, label)}")
    if plugin.manifest.uses:
        say(f"uses: {', '.join(plugin.manifest.uses)}")
    print_columns(("\nKIND", "ID", "SUMMARY"), [(c.kind, c.id, c.summary) for c in plugin.components])


def _details(plugin: Plugin) -> dict[str, object]:
    if plugin.manifest is None:
        return {"components": []}
    return {
        "summary": plugin.manifest.summary,
        "api": plugin.manifest.api,
        "package": plugin.manifest.package,
        "path": str(plugin.manifest.path),
        "uses": plugin.manifest.uses,
        "components": [{"kind": c.kind, "id": c.id, "summary": c.summary} for c in plugin.components],
    }


def _show_available(name: str, location: str | None, as_json: bool, missing: RegistryError | None = None) -> None:
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
        raise RegistryError(*(missing.problems if missing else ()), *error.problems) from None
    show(releases, as_json)
