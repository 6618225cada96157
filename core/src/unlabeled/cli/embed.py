"""`unlabeled embed`."""

import click


@click.command()
@click.argument("model", type=click.Path())
@click.argument("data")
@click.option("--out", required=True, type=click.Path(), help="Parquet file to write.")
@click.option("--encoder", help="Which encoder, where the model has several.")
@click.option("--column", help="Which column to read; default: the first one of the modality's type.")
@click.option("--split", default="train", show_default=True, help="Split of a source that has several.")
def embed(model: str, data: str, out: str, encoder: str | None, column: str | None, split: str) -> None:
    """Write the embedding of every row of DATA (files, a folder, a hub name, sample:world) by MODEL (a run or an export)."""
    from unlabeled.cli.memory import keep_freed_memory
    from unlabeled.runs.embedding import embed_data

    keep_freed_memory()
    rows, bad = embed_data(model, data, out, encoder=encoder, column=column, split=split)
    click.echo(f"{out}: {rows} rows" + (f", {bad} could not be decoded and have no embedding" if bad else ""))
