"""`unlabeled report`."""

import click


@click.command()
@click.argument("run", type=click.Path())
def report(run: str) -> None:
    """Write report.html into RUN: its worth beside its baselines, nearest neighbours, the loss, the recipe."""
    from pathlib import Path

    from unlabeled.runs.loading import load_run
    from unlabeled.runs.report import write_report
    from unlabeled.runs.run import Run

    folder = Run(Path(run))
    setup, learner, _ = load_run(folder)
    click.echo(str(write_report(folder, setup, learner)))
