"""Reader: a split's rows as decoded samples of each encoder."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlabeled.data.cache import BadCell, SampleCache, cache_folder
from unlabeled.data.splits import Split, join_cells
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.modality import Modality, Sample

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One row, decoded."""

    id: int
    samples: Mapping[str, Sample]
    """Encoder name -> sample; the modality's blank where the cell is missing."""
    present: Mapping[str, bool]


class Reader:
    """Decodes rows of a split, from caches where there are any."""

    def __init__(self, split: Split, modalities: Mapping[str, Modality], columns: Mapping[str, Sequence[str]]) -> None:
        self.split = split
        self.modalities = dict(modalities)
        self.columns = {name: tuple(columns[name]) for name in modalities}
        self.caches: dict[str, SampleCache] = {}
        self.packed = False

    def __len__(self) -> int:
        return len(next(iter(self.caches.values()))) if self.packed else len(self.split)

    def example(self, position: int) -> Example:
        """The row at `position` of the split; `BadCell` names the encoder and the reason."""
        if self.packed:
            (name,) = self.modalities
            return Example(position, {name: self.caches[name].sample(position)}, {name: True})
        number = int(self.split.numbers[position])
        wanted = [column for name in self.modalities if name not in self.caches for column in self.columns[name]]
        row = self.split.source.row(number, wanted) if wanted else {}
        samples, present = {}, {}
        for name, modality in self.modalities.items():
            if name in self.caches:
                sample = self.caches[name].sample(position)
                samples[name], present[name] = sample, True
                continue
            cell = join_cells(row, self.columns[name])
            present[name] = cell is not None
            samples[name] = decode(modality, cell, name)
        return Example(number, samples, present)

    def prepare(self, fitted: Mapping[str, Path], *, cache: bool = True) -> None:
        """Pack, and cache where that pays; `fitted` holds the folder in which each modality saved what it learned."""
        for name, modality in self.modalities.items():
            folder = cache_folder(
                self.split.fingerprint, self.columns[name], type(modality), modality.config, _digest(fitted.get(name))
            )
            if len(self.modalities) == 1 and type(modality).pack is not Modality.pack:
                packed = self._pack(name, modality, folder.with_name(folder.name + "-packed"))
                if packed is not None:
                    self.caches[name] = packed
                    self.packed = True
                    continue
            if cache and modality.cached and not self._has_missing(name):
                if not SampleCache.exists(folder):
                    logger.info("decoding %d %s cells once into the cache", len(self.split), name)
                    SampleCache.write(folder, self._decode_all(name))
                self.caches[name] = SampleCache(folder)

    def _pack(self, name: str, modality: Modality, folder: Path) -> SampleCache | None:
        if SampleCache.exists(folder):
            return SampleCache(folder)
        samples = modality.pack(self.split.cells(self.columns[name]))
        if samples is None:
            return None
        cache = SampleCache.write(folder, samples)
        if len(cache) == 0:
            raise UnlabeledError(
                f"data.splits.{self.split.name}: too little text in column {', '.join(self.columns[name])} to fill one "
                "sample; give more, or shorten modalities.*.max_length"
            )
        return cache

    def _has_missing(self, name: str) -> bool:
        return any(cell is None for cell in self.split.cells(self.columns[name]))

    def _decode_all(self, name: str) -> Iterator[Sample | BadCell]:
        for cell in self.split.cells(self.columns[name]):
            try:
                yield decode(self.modalities[name], cell, name)
            except BadCell as bad:
                yield bad


def decode(modality: Modality, cell: Any, name: str) -> Sample:
    """The sample in a cell, the blank where it is missing; `BadCell` with the encoder's name and the reason."""
    try:
        return modality.blank() if cell is None else modality.decode(cell)
    except Exception as error:  # any decoder, any corrupt file: the cell is set aside, the run goes on
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadCell(f"{name}: {reason}") from None


def _digest(folder: Path | None) -> str:
    """What lies in a folder, by content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder is not None and folder.is_dir() else ():
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
