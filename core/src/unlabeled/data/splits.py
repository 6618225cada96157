"""The splits of a recipe: which rows of which source each holds, and which column feeds which encoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from unlabeled.data.blocks import Blocks
from unlabeled.data.order import sample_positions
from unlabeled.data.sources import locate
from unlabeled.data.streams import Stream
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.draws import hash_key
from unlabeled.interfaces.source import Source
from unlabeled.recipes.problems import describe, did_you_mean
from unlabeled.recipes.schema import SPLITS, Cell, DataConfig, SplitConfig
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.registry import Registry


@dataclass(frozen=True)
class Split:
    """Some rows of a source."""

    name: str
    source: Source
    numbers: np.ndarray | Blocks
    """(n,) int64: the numbers of its rows in the source, which are the samples' ids; of a stream, the same as blocks."""

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str, limit: int | None = None) -> list[Any]:
        """The cells of a column, in order."""
        return [self.source.row(int(number), [name])[name] for number in self.numbers[:limit]]

    def cells(self, columns: Sequence[str]) -> Iterator[Any]:
        """The cells of an encoder's columns, in order: a cell, or a list of cells where there are several columns."""
        for number in self.numbers:
            yield join_cells(self.source.row(int(number), columns), columns)

    @property
    def streamed(self) -> bool:
        """Whether rows are read forward, so that reading one far away is dear."""
        return isinstance(self.numbers, Blocks)

    def order(self, seed: int, epoch: int, positions: np.ndarray, attempt: int = 0) -> np.ndarray:
        """The rows (0..n-1) at `positions` of an epoch, int64; `attempt` above 0 is the substitute for a bad one."""
        if isinstance(self.numbers, Blocks):
            return self.numbers.order(seed, epoch, positions, attempt)
        return sample_positions(seed, epoch, positions, len(self), attempt)

    @property
    def fingerprint(self) -> str:
        """Changes when the rows or their selection change."""
        numbers = self.numbers
        chosen = numbers.fingerprint if isinstance(numbers, Blocks) else numbers.tobytes().hex()
        return f"{hash_key(self.source.fingerprint(), chosen) % 2**64:016x}"


def join_cells(row: Mapping[str, Any], columns: Sequence[str]) -> Any:
    """One cell, or the cells of several columns as one flat list without missing ones (None where all are missing)."""
    if len(columns) == 1:
        return row[columns[0]]
    parts: list[Any] = []
    for name in columns:
        cell = row[name]
        if cell is not None:
            parts.extend(cell if isinstance(cell, list) else [cell])
    return parts or None


def open_splits(config: DataConfig, registry: Registry) -> dict[str, Split]:
    """Every split the data have; `UnlabeledError` lists what is wrong with them."""
    if config.source is None and not config.splits:
        raise UnlabeledError("data.source: missing; give files, a folder, a hub name, or sample:world")
    problems: list[str] = []
    splits: dict[str, Split] = {}
    for name in SPLITS:
        try:
            split = _open_split(name, config, registry)
        except UnlabeledError as error:
            problems += error.problems
            continue
        if split is not None:
            splits[name] = split
    problems += [
        f"data.splits.{name}: no rows left; check `where`, `without` and the split's name"
        for name, split in splits.items()
        if len(split) == 0
    ]
    if not splits and not problems:
        problems.append("data: no split train; name one under data.splits.train")
    if problems:
        raise UnlabeledError(*dict.fromkeys(problems))
    if set(splits) == {"train"} and len(splits["train"]) > 1:
        splits = _hold_out(splits["train"], config.holdout)
    return splits


def choose_columns(
    config: DataConfig, source: Source, modalities: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Encoder name -> its columns: as the recipe says, else the first column of a type the modality reads.

    modalities: encoder name -> column types. `UnlabeledError` lists columns that are missing.
    """
    problems = []
    chosen: dict[str, tuple[str, ...]] = {}
    for name, types in modalities.items():
        written = config.columns.get(name)
        if written is not None:
            names = (written,) if isinstance(written, str) else tuple(written)
            for column in names:
                if column not in source.columns:
                    problems.append(f"data.columns.{name}: no column {column}{did_you_mean(column, source.columns)}")
            chosen[name] = names
            continue
        fitting = [column for column, kind in source.columns.items() if kind in types and column != config.label]
        if fitting:
            chosen[name] = (fitting[0],)
        else:
            there = ", ".join(f"{column} ({kind})" for column, kind in source.columns.items())
            problems.append(
                f"data.columns.{name}: no column of type {' or '.join(types)}; name one of {there} with data.columns.{name}="
            )
    if config.label is not None and config.label not in source.columns:
        problems.append(f"data.label: no column {config.label}{did_you_mean(config.label, source.columns)}")
    if problems:
        raise UnlabeledError(*problems)
    return chosen


def _open_split(name: str, config: DataConfig, registry: Registry) -> Split | None:
    wanted = config.splits.get(name)  # type: ignore[call-overload]
    own: SplitConfig = wanted or SplitConfig()
    location = own.source or config.source
    if location is None:
        return None
    place = f"data.splits.{name}" if wanted is not None else "data"
    type_, options = _source_type(location, own, config, registry)
    try:
        source_config = type_.Config.model_validate(options)
    except ValidationError as error:
        raise UnlabeledError(*describe(error, type_.Config, ("data", "options"))) from None
    try:
        if own.split is not None and config.split_column is None:
            source = type_(source_config, own.split)
        else:
            there = type_.splits(source_config)
            if name not in there and wanted is None and config.split_column is None:
                return None
            source = type_(source_config, name if name in there else there[0])
    except ValueError as error:
        raise UnlabeledError(f"{place}: {error}") from None
    if len(source) == 0:
        raise UnlabeledError(f"{place}: the source holds no rows; give one that does")
    where: dict[str, Cell | list[Cell]] = {**config.where, **own.where}
    if config.split_column is not None:
        where[config.split_column] = own.split or name
    without: dict[str, Cell | list[Cell]] = {**config.without, **own.without}
    if isinstance(source, Stream):
        if where or without:
            raise UnlabeledError(
                f"{place}: where, without and split_column would read the whole stream to choose rows; "
                "write files that hold these rows alone, or set data.streaming=false"
            )
        return Split(name, source, source.blocks)
    numbers = _select(source, where, without, place)
    if len(numbers) == 0 and wanted is None and name != "train":
        return None
    return Split(name, source, numbers)


def _source_type(
    location: str | list[str], own: SplitConfig, config: DataConfig, registry: Registry
) -> tuple[type[Source], dict[str, Any]]:
    streaming = config.streaming if own.streaming is None else own.streaming
    stream = {"block_rows": config.block_rows, "interleave": config.interleave} if streaming else None
    found, options = locate(location, stream=stream)
    if not isinstance(found, str):
        if config.options:
            raise UnlabeledError(f"data.options: only a sample: source has options; remove {', '.join(config.options)}")
        return found, options
    try:
        return registry.load(registry.find("source", found)), config.options
    except RegistryError as error:
        raise UnlabeledError(*(f"data.source: {problem}" for problem in error.problems)) from None


def _select(
    source: Source, where: Mapping[str, Cell | list[Cell]], without: Mapping[str, Cell | list[Cell]], place: str
) -> np.ndarray:
    kept = np.ones(len(source), dtype=bool)
    for key, conditions, keep in (("where", where, True), ("without", without, False)):
        for column, value in conditions.items():
            if column not in source.columns:
                raise UnlabeledError(f"{place}.{key}: no column {column}{did_you_mean(column, source.columns)}")
            values = value if isinstance(value, list) else [value]
            cells = [source.row(number, [column])[column] for number in range(len(source))]
            names = source.label_names(column) or ()
            named = [names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else cell for cell in cells]
            matches = np.array([cell in values or name in values for cell, name in zip(cells, named, strict=True)])
            kept &= matches if keep else ~matches
    return np.flatnonzero(kept).astype(np.int64)


def _hold_out(train: Split, fraction: float) -> dict[str, Split]:
    """Train and test by a hash of the row's number, so that a row stays on its side when rows are added; of a stream by
    blocks, so that neither reads what the other holds.
    """
    if isinstance(train.numbers, Blocks):
        kept, held_out = train.numbers.hold_out(fraction)
        return {"train": Split("train", train.source, kept), "test": Split("test", train.source, held_out)}
    keys = np.array([hash_key("holdout", int(number)) % 2**32 for number in train.numbers]) / 2**32
    held = keys < fraction
    if held.all() or not held.any():
        held = np.arange(len(train)) == len(train) - 1
    return {
        "train": Split("train", train.source, train.numbers[~held]),
        "test": Split("test", train.source, train.numbers[held]),
    }
