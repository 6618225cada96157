"""Shards of a stream: what they are, how many rows each part of them has, and how a part is read forward."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
from filelock import FileLock
from pydantic import Field
from rich.console import Console
from rich.progress import track

from unlabeled.data.cache import cache_root
from unlabeled.interfaces.modality import Config

_ENDS = 2**16
"""Bytes at each end of a file that its fingerprint covers; a parquet file's footer lies in the last."""


_CHUNK = 2**20
"""Bytes of a jsonl file that are parsed at a time; `datasets` would take ten times as many for each open file."""


class StreamConfig(Config):
    """Where a stream lies, and how it is read."""

    files: tuple[str, ...] = ()
    kind: str | None = Field(default=None, description="how `datasets` calls the files: parquet, json or csv")
    path: str | None = Field(default=None, description="a folder, or a name on the datasets hub")
    block_rows: int
    interleave: int

    @property
    def name(self) -> str:
        """What a person calls it."""
        first = self.path or self.files[0]
        return first if len(self.files) < 2 else f"{first} and {len(self.files) - 1} more"


class Shards:
    """The shards of one split of a stream, an IterableDataset of `datasets`.

    A part of a shard is what can be opened at its beginning without reading what lies before it: a row group of a parquet
    file; otherwise the whole shard. Holds no open file.
    """

    def __init__(self, config: StreamConfig, split: str) -> None:
        """`ValueError` with one line where there is no such split."""
        self.config, self.split = config, split
        self._datasets: dict[tuple[str, ...] | None, Any] = {}
        self._builder = _build(config)
        if split not in split_names(config):
            raise ValueError(f"{config.name}: no split {split}; there are: {', '.join(split_names(config))}")
        self._parquet = type(self._builder).__name__ == "Parquet"
        self.files = [str(file) for file in self._builder.config.data_files[split]]
        with _told(config.name, "check that it is a readable table"):
            self._all = self._dataset(None)
            self.features: Any = self._all.features or _first_features(self._all)
        if self.features is None:
            raise ValueError(f"{config.name}: holds no rows; give a source that does")

    @property
    def fingerprint(self) -> str:
        """Covers of each file its name, its size and 64 KiB at either end; of a remote one its address and version."""
        digest = hashlib.sha256()
        files = self._builder.config.data_files[self.split]
        for file, origin in zip(self.files, files.origin_metadata, strict=True):
            digest.update(repr((file, origin)).encode() if "://" in file else _digest(Path(file)))
        return digest.hexdigest()[:16]

    def name(self, shard: int) -> str:
        """A shard's file, or its number where shards are no files."""
        return self.files[shard] if len(self.files) == self._all.num_shards else f"{self.config.name}: shard {shard}"

    def count(self) -> list[list[int]]:
        """The rows of each part of each shard, found once and kept beside the decoded samples.

        Of parquet only the footers are read; anything else is read through. What an interrupted count has found is kept.
        """
        path = cache_root() / "streams" / f"{self.fingerprint}.rows"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
            found = [[int(rows) for rows in line.split()] for line in lines if line.endswith("\n")]
            path.write_text("".join(line for line in lines if line.endswith("\n")))
            console = Console(stderr=True)
            missing: Any = range(len(found), self._all.num_shards)
            if missing and not self._parquet:
                message = f"counting the rows of {len(missing)} shards of {self.config.name}, once"
                console.print(message, highlight=False, markup=False, soft_wrap=True)
                missing = track(missing, "counting rows", console=console, transient=True)
            with open(path, "a", encoding="ascii") as file:
                for shard in missing:
                    found.append(self._count(shard))
                    file.write(" ".join(map(str, found[-1])) + "\n")
                    file.flush()
        return found

    def read(self, shard: int, part: int, columns: Sequence[str]) -> Iterator[Any]:
        """The arrow tables of a part, of `block_rows` rows each (the last may have fewer), read forward.

        `ValueError` names the shard where it cannot be read.
        """
        dataset = self._dataset(columns).shard(num_shards=self._all.num_shards, index=shard)
        with _told(self.name(shard), "mend it, or leave it out of data.source"):
            if self._parquet:
                groups = dataset.reshard()
                dataset = groups.shard(num_shards=groups.num_shards, index=part)
            yield from dataset.with_format("arrow").iter(batch_size=self.config.block_rows)

    def _count(self, shard: int) -> list[int]:
        if not self._parquet:
            return [sum(table.num_rows for table in self.read(shard, 0, list(self.features)))]
        with _told(self.name(shard), "mend it, or leave it out of data.source"), fsspec.open(self.files[shard]) as file:
            footer = pyarrow.parquet.read_metadata(file)
        return [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]

    def _dataset(self, columns: Sequence[str] | None) -> Any:
        """The stream with these columns, or all; of parquet nothing else is read."""
        key = None if columns is None else tuple(columns)
        if key not in self._datasets:
            builder = self._builder if key is None else _build(self.config)
            if self._parquet:
                builder.config.batch_size = self.config.block_rows
                builder.config.columns = None if key is None else list(key)
            elif key is not None and type(builder).__name__ == "Json":
                builder.config.chunksize = _CHUNK
                builder.info.features = self.features
            dataset = builder.as_streaming_dataset(self.split)
            if not self._parquet and key is not None:
                dataset = dataset.cast(self.features).select_columns(list(key))
            self._datasets[key] = dataset
        return self._datasets[key]


@lru_cache
def split_names(config: StreamConfig) -> tuple[str, ...]:
    """Names of the splits a stream has."""
    return tuple(map(str, _build(config).config.data_files))


def _build(config: StreamConfig) -> Any:
    import datasets

    datasets.disable_progress_bars()
    for file in config.files:
        if not Path(file).is_file():
            raise ValueError(f"{file}: no such file; check the path")
    with _told(config.name, "check the path, or the name and the network"):
        return datasets.load_dataset_builder(config.path or config.kind, data_files=list(config.files) or None)


@contextmanager
def _told(name: str, cure: str) -> Iterator[None]:
    """Whatever `datasets` and its readers raise, as one line."""
    try:
        yield
    except Exception as error:
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name}: cannot be read ({reason}); {cure}") from None


def _first_features(dataset: Any) -> Any:
    """What the first rows say, where the format itself says nothing (csv)."""
    import datasets

    first = next(iter(dataset.with_format("arrow").iter(batch_size=1)), None)
    return None if first is None else datasets.Features.from_arrow_schema(first.schema)


def _digest(path: Path) -> bytes:
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(_ENDS)
        file.seek(max(0, size - _ENDS))
        return hashlib.sha256(repr((path.name, size)).encode() + head + file.read(_ENDS)).digest()
