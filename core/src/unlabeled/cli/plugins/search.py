"""`unlabeled plugins search`."""

from collections.abc import Mapping

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled_registry.discovery import installed_plugins
from unlabeled_registry.index.format import Release
from unlabeled_registry.schema import KINDS


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--modality", metavar="M", help="Those that provide this modality, or have encoders or augmentations for it."
)
@click.option("--objective", metavar="O", help="Those that provide this objective.")
@click.option("--kind", type=click.Choice(KINDS), help="Those that provide a component of this kind.")
@click.option("--index", "location", metavar="INDEX", help="The folder or address of the index.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(
    words: tuple[str, ...],
    modality: str | None,
    objective: str | None,
    kind: str | None,
    location: str | None,
    as_json: bool,
) -> None:
    """Find plugins in the index by words in their names, summaries and components."""
    from unlabeled_registry.index.client import configured_location, read_index
    from unlabeled_registry.index.search import search as search_index

    index = read_index(configured_location(location))
    found = search_index(index, words, modality=modality, objective=objective, kind=kind)
    installed = {plugin.name: plugin.version for plugin in installed_plugins()}
    if as_json:
        print_json([_summary(release, installed) for release in found])
    elif not found:
        say(f"nothing among {len(index.plugins)} plugins fits; `unlabeled plugins search` alone lists all")
    else:
        rows = [(item.name, item.version, _state(item, installed), item.summary) for item in found]
        print_columns(("NAME", "VERSION", "STATE", "SUMMARY"), rows)


def _state(release: Release, installed: Mapping[str, str]) -> str:
    if release.name in installed:
        return f"installed {installed[release.name]}"
    return "yanked" if release.yanked is not None else "available"


def _summary(release: Release, installed: Mapping[str, str]) -> dict[str, object]:
    return {
        "name": release.name,
        "version": release.version,
        "installed": installed.get(release.name),
        "summary": release.summary,
        "conformance": release.conformance,
        "yanked": release.yanked,
        "advisories": [vars(advisory) for advisory in release.advisories],
    }
