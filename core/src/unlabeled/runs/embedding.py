"""Embeddings of a whole data set, as a parquet table."""

from pathlib import Path

import pyarrow
import pyarrow.parquet

from unlabeled.data.cache import BadCell
from unlabeled.data.reader import decode
from unlabeled.data.splits import choose_columns, join_cells, open_splits
from unlabeled.errors import UnlabeledError
from unlabeled.recipes.problems import did_you_mean
from unlabeled.recipes.schema import DataConfig, SplitConfig
from unlabeled.runs.api import LoadedEncoder, load
from unlabeled_registry.registry import discover

_ROWS = 256


def embed_data(
    model: str, source: str, out: str, *, encoder: str | None = None, column: str | None = None, split: str = "train"
) -> tuple[int, int]:
    """Write columns `id` (row number) and `embedding` (list of float32); numbers of rows written and of rows without one."""
    chosen = _choose(load(model), encoder, model)
    config = DataConfig(
        source=source,
        splits={"train": SplitConfig(split=None if split == "train" else split)},
        columns={} if column is None else {chosen.name: column},
    )
    rows = open_splits(config, discover())["train"]
    columns = choose_columns(config, rows.source, {chosen.name: type(chosen.modality).columns})[chosen.name]
    schema = pyarrow.schema([("id", pyarrow.int64()), ("embedding", pyarrow.list_(pyarrow.float32()))])
    bad = 0
    try:
        with pyarrow.parquet.ParquetWriter(Path(out), schema) as writer:
            for start in range(0, len(rows), _ROWS):
                numbers = [int(number) for number in rows.numbers[start : start + _ROWS]]
                cells = [join_cells(rows.source.row(number, columns), columns) for number in numbers]
                good = [position for position, cell in enumerate(cells) if _readable(chosen, cell)]
                bad += len(cells) - len(good)
                embedded = chosen.embed([cells[position] for position in good])
                vectors = dict(zip(good, embedded.tolist(), strict=True))
                table = [numbers, [vectors.get(position) for position in range(len(cells))]]
                writer.write_table(pyarrow.table(dict(zip(("id", "embedding"), table, strict=True)), schema=schema))
    except OSError as error:
        raise UnlabeledError(f"{out}: cannot be written ({error.strerror or error}); give another --out") from None
    return len(rows), bad


def _choose(encoders: dict[str, LoadedEncoder], name: str | None, model: str) -> LoadedEncoder:
    if name is None and len(encoders) == 1:
        return next(iter(encoders.values()))
    if name in encoders:
        return encoders[name]
    if name is None:
        raise UnlabeledError(f"{model}: holds several encoders ({', '.join(encoders)}); choose one with --encoder")
    raise UnlabeledError(f"--encoder {name}: not in {model}{did_you_mean(name, encoders)}")


def _readable(encoder: LoadedEncoder, cell: object) -> bool:
    try:
        decode(encoder.modality, cell, encoder.name)
    except BadCell:
        return False
    return cell is not None
