"""`unlabeled train`."""

import click


@click.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--run",
    "--run-folder",
    "folder",
    type=click.Path(),
    help="Run folder; default: runs/NAME-HASH of the recipe. Under torchrun write --run-folder.",
)
@click.option(
    "--dry-run", is_flag=True, help="Check everything, print the resolved recipe and what a step does; train nothing."
)
def train(recipe: str, overrides: tuple[str, ...], folder: str | None, dry_run: bool) -> None:
    """Pretrain as RECIPE says (a name of `unlabeled recipes`, or a YAML file), with dotted overrides.

    The same command again continues exactly where it stopped.

    Ctrl-C, SIGTERM and training.max_time=H:MM:SS stop after the step under way: a checkpoint is written, and the exit code
    is 75 (EX_TEMPFAIL: the same command continues). A second Ctrl-C stops at once, with 130; the last checkpoint is intact.
    Other exit codes: 0 finished, 2 something to mend, 1 a defect.
    """
    from unlabeled.cli.memory import keep_freed_memory
    from unlabeled.runs.api import train as run_recipe
    from unlabeled.runs.dry_run import describe_recipe
    from unlabeled.training.processes.distributed import leave

    if dry_run:
        click.echo(describe_recipe(recipe, overrides), nl=False)
    else:
        keep_freed_memory()
        run_recipe(recipe, overrides, run=folder)
        leave()
