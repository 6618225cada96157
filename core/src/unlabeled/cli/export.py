"""`unlabeled export`."""

import click


@click.command()
@click.argument("run", type=click.Path())
@click.argument("folder", type=click.Path())
@click.option(
    "--checkpoint", default="newest", show_default=True, help="newest, best (by training.keep_best) or a step."
)
def export(run: str, folder: str, checkpoint: str) -> None:
    """Write the encoders of RUN to FOLDER as transformers checkpoints, with processors and model cards."""
    from unlabeled.runs.api import export as export_run

    for path in export_run(run, folder, checkpoint=checkpoint):
        click.echo(str(path))
