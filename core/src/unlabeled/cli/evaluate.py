"""`unlabeled evaluate`."""

import click

from unlabeled.cli.output import print_json


@click.command()
@click.argument("run", type=click.Path())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--with", "evaluators", multiple=True, help="Evaluator to run instead of the recipe's; may be repeated.")
@click.option(
    "--checkpoint", default="newest", show_default=True, help="newest, best (by training.keep_best) or a step."
)
@click.option("--json", "as_json", is_flag=True, help="Print the lines of evaluations.jsonl.")
def evaluate(run: str, overrides: tuple[str, ...], evaluators: tuple[str, ...], checkpoint: str, as_json: bool) -> None:
    """Evaluate RUN beside its baselines, on its own data or on other data given as data.* overrides."""
    from rich.console import Console

    from unlabeled.cli.memory import keep_freed_memory
    from unlabeled.runs.api import evaluate as evaluate_run
    from unlabeled.runs.evaluation import print_evaluations

    keep_freed_memory()
    lines = evaluate_run(run, evaluators, overrides, checkpoint=checkpoint)
    if as_json:
        print_json(lines)
    else:
        print_evaluations(lines, Console())
