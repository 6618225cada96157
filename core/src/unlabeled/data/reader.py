"""Reader: a split's rows as decoded samples of each encoder."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unlabeled.data.cache import BadCell, SampleCache, cache_folder
from unlabeled.data.order import sample_positions
from unlabeled.data.quarantine import CutOff, Verdict
from unlabeled.data.splits import Split, join_cells
from unlabeled.data.workers import Supervision, Watch, in_order
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.modality import Modality, Sample

logger = logging.getLogger(__name__)

_CHUNK = 16  # rows of a job, where no step says how many
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Decoding:
    """How cells are decoded; the result depends on it only for decoders that hang or end their process."""

    workers: int = 0
    timeout: float = 300.0
    cut_off: CutOff = field(default_factory=CutOff)


@dataclass(frozen=True)
class Example:
    """One row, decoded."""

    id: int
    samples: Mapping[str, Sample]
    """Encoder name -> sample; the modality's blank where the cell is missing."""
    present: Mapping[str, bool]


class Reader:
    """Decodes rows of a split, from caches where there are any."""

    def __init__(
        self,
        split: Split,
        modalities: Mapping[str, Modality],
        columns: Mapping[str, Sequence[str]],
        decoding: Decoding | None = None,
    ) -> None:
        self.split = split
        self.decoding = decoding or Decoding()
        self.modalities = dict(modalities)
        self.columns = {name: tuple(columns[name]) for name in modalities}
        self.caches: dict[str, SampleCache] = {}
        self.packed = False

    def __len__(self) -> int:
        return len(next(iter(self.caches.values()))) if self.packed else len(self.split)

    @cached_property
    def fingerprint(self) -> str:
        """Of the split."""
        return self.split.fingerprint

    @property
    def rejected(self) -> Mapping[int, str]:
        """Number of a row in the source -> why it went into no packed sample."""
        return {number: reason for cache in self.caches.values() for number, reason in cache.rejected.items()}

    @property
    def cached(self) -> bool:
        """Whether no row has to be decoded."""
        return all(name in self.caches and self.caches[name].complete for name in self.modalities)

    def order(self, seed: int, epoch: int, positions: np.ndarray, attempt: int = 0) -> np.ndarray:
        """The positions to read at `positions` of an epoch, int64; `attempt` above 0 is the substitute for a bad one."""
        if self.packed:
            return sample_positions(seed, epoch, positions, len(self), attempt)
        return self.split.order(seed, epoch, positions, attempt)

    def example(self, position: int, watch: Watch | None = None, step: int | None = None) -> Example:
        """The row at `position` of the split; `BadCell` names the encoder and the reason.

        step: what was cut off before it is not decoded; None: nor what was cut off since.
        """
        number = position if self.packed else int(self.split.numbers[position])
        cut_off = self.decoding.cut_off.find(self.fingerprint, number, self.modalities, step)
        if cut_off is not None:
            raise BadCell(cut_off)
        samples: dict[str, Sample] = {}
        for name, cache in self.caches.items():
            sample = cache.sample(position)
            if sample is not None:
                samples[name] = sample
        present = dict.fromkeys(samples, True)
        left = [name for name in self.modalities if name not in samples]
        if left:
            watch = watch or Watch()
            encoders = list(self.modalities)
            watch.begin(position, encoders.index(left[0]))
            try:
                row = self.split.source.row(number, [column for name in left for column in self.columns[name]])
                for name in left:
                    watch.begin(position, encoders.index(name))
                    cell = join_cells(row, self.columns[name])
                    present[name] = cell is not None
                    samples[name] = decode(self.modalities[name], cell, name)
            finally:
                watch.end()
        return Example(number, samples, present)

    def examples(self, positions: Sequence[int]) -> Iterator[Example | BadCell]:
        """The rows at `positions` in order, by supervised workers where there is anything to decode."""
        yield from self._in_chunks(self._try_examples, positions, 0 if self.cached else self.decoding.workers)

    def supervision(self, workers: int, steps: bool = False) -> Supervision[Any]:
        """How workers of this reader are watched; steps: their jobs are numbers of steps."""

        def blame(job: Any, position: int, encoder: int, reason: str) -> None:
            cut_off, number = self.decoding.cut_off, int(self.split.numbers[position])
            name = list(self.modalities)[encoder]
            logger.warning("row %d: %s: %s", number, name, reason)
            cut_off.add(Verdict(job if steps else cut_off.step, self.fingerprint, number, name, reason))

        return Supervision(workers, self.decoding.timeout, blame, lambda: self.decoding.cut_off.version)

    def prepare(self, fitted: Mapping[str, Path], *, cache: bool = True) -> None:
        """Pack, and cache where that pays; a stream does neither. `fitted` holds each modality's saved folder."""
        if self.split.streamed:
            self._check_stream()
            return
        for name, modality in self.modalities.items():
            folder = cache_folder(
                self.fingerprint, self.columns[name], type(modality), modality.config, _digest(fitted.get(name))
            )
            if len(self.modalities) == 1 and type(modality).pack is not Modality.pack:
                packed = self._pack(name, modality, folder.with_name(folder.name + "-packed"))
                if packed is not None:
                    self.caches[name] = packed
                    self.packed = True
                    continue
            if not cache or not modality.cached:
                continue
            if not SampleCache.exists(folder):  # where it does, no cell is missing
                if self._has_missing(name):
                    continue
                logger.info("decoding %d %s cells once into the cache", len(self.split), name)
                SampleCache.write(folder, self._decode_all(name))
            self.caches[name] = SampleCache(folder)

    def _pack(self, name: str, modality: Modality, folder: Path) -> SampleCache | None:
        if SampleCache.exists(folder):
            return SampleCache(folder)
        rejected: dict[int, str] = {}
        samples = modality.pack(self._readable_cells(name, rejected))
        if samples is None:
            return None
        cache = SampleCache.write(folder, samples, rejected)
        if len(cache) == 0:
            raise UnlabeledError(
                f"data.splits.{self.split.name}: too little text in column {', '.join(self.columns[name])} to fill one "
                "sample; give more, or shorten modalities.*.max_length"
            )
        return cache

    def _check_stream(self) -> None:
        for name, modality in self.modalities.items():
            if len(self.modalities) == 1 and modality.pack(iter(())) is not None:
                raise UnlabeledError(
                    f"modalities.{name}.pack: samples cut from the whole column need it read and kept, which a stream is "
                    f"not; set modalities.{name}.pack=false, or data.streaming=false"
                )

    def _has_missing(self, name: str) -> bool:
        return any(cell is None for cell in self.split.cells(self.columns[name]))

    def _readable_cells(self, name: str, rejected: dict[int, str]) -> Iterator[Any]:
        """The cells of a column that can be packed; the others are noted by the numbers of their rows."""
        cells = self.split.cells(self.columns[name])
        for position, cell in enumerate(cells):
            if cell is None:
                continue
            try:
                self.modalities[name].check(cell)
            except Exception as error:
                rejected[int(self.split.numbers[position])] = str(_bad_cell(name, error))
            else:
                yield cell

    def _decode_all(self, name: str) -> Iterator[Sample | BadCell | None]:
        work = partial(self._decode_cells, name)
        yield from self._in_chunks(work, range(len(self.split)), self.decoding.workers)

    def _decode_cells(self, name: str, positions: Sequence[int], watch: Watch) -> list[Sample | BadCell | None]:
        """The samples of one encoder; None for those that were cut off."""
        samples: list[Sample | BadCell | None] = []
        encoder = list(self.modalities).index(name)
        for position in positions:
            number = int(self.split.numbers[position])
            if self.decoding.cut_off.find(self.fingerprint, number, [name]) is not None:
                samples.append(None)
                continue
            watch.begin(position, encoder)
            cell = join_cells(self.split.source.row(number, self.columns[name]), self.columns[name])
            try:
                samples.append(decode(self.modalities[name], cell, name))
            except BadCell as bad:
                samples.append(bad)
            watch.end()
        return samples

    def _try_examples(self, positions: Sequence[int], watch: Watch) -> list[Example | BadCell]:
        found: list[Example | BadCell] = []
        for position in positions:
            try:
                found.append(self.example(position, watch))
            except BadCell as bad:
                found.append(bad)
        return found

    def _in_chunks(
        self, work: Callable[[Sequence[int], Watch], list[_Result]], positions: Sequence[int], workers: int
    ) -> Iterator[_Result]:
        chunks = (positions[start : start + _CHUNK] for start in range(0, len(positions), _CHUNK))
        for done in in_order(work, chunks, self.supervision(workers)):
            yield from done


def decode(modality: Modality, cell: Any, name: str) -> Sample:
    """The sample in a cell, the blank where it is missing; `BadCell` with the encoder's name and the reason."""
    try:
        return modality.blank() if cell is None else modality.decode(cell)
    except Exception as error:  # any decoder, any corrupt file: the cell is set aside, the run goes on
        raise _bad_cell(name, error) from None


def _bad_cell(name: str, error: Exception) -> BadCell:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BadCell(f"{name}: {reason}")


def _digest(folder: Path | None) -> str:
    """What lies in a folder, by content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder is not None and folder.is_dir() else ():
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
