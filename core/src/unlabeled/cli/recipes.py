"""`unlabeled recipes`."""

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled_registry.errors import escaped
from unlabeled_registry.registry import discover


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON: [{id, plugin, summary}].")
def recipes(name: str | None, as_json: bool) -> None:
    """List the installed recipes, or print the YAML of the one called NAME."""
    registry = discover()
    if name is not None:
        lines = registry.read(registry.find("recipe", name)).split("\n")
        click.echo("\n".join("\t".join(map(escaped, line.split("\t"))) for line in lines), nl=False)
        return
    found = registry.components("recipe")
    if as_json:
        print_json([{"id": recipe.id, "plugin": recipe.plugin, "summary": recipe.summary} for recipe in found])
    else:
        print_columns(("ID", "SUMMARY"), [(recipe.id, recipe.summary) for recipe in found])
