"""Decoded samples on disk, memory-mapped: decoding is paid once where it costs more than reading."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.interfaces.modality import Sample


class BadCell(Exception):
    """A cell that cannot be decoded; the message is the reason."""


def cache_root() -> Path:
    """Where decoded samples are kept: `UNLABELED_CACHE`, else a folder in the user's cache."""
    return Path(os.environ.get("UNLABELED_CACHE") or Path.home() / ".cache" / "unlabeled").expanduser()


def cache_folder(*parts: object) -> Path:
    """The folder of decoded samples for everything they depend on."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:24]
    return cache_root() / "decoded" / digest


class SampleCache:
    """Samples by number, as raw bytes in one file with an index beside it."""

    def __init__(self, folder: Path) -> None:
        """Open a finished cache."""
        self.folder = folder
        self._index: list[Any] = json.loads((folder / "index.json").read_text())
        rejected = folder / "rejected.json"
        self.rejected: dict[int, str] = (
            {int(number): reason for number, reason in json.loads(rejected.read_text()).items()}
            if rejected.is_file()
            else {}
        )
        """Of packed samples: the numbers of the rows that went into none, and why."""
        self.complete = None not in self._index
        """Whether every cell was decoded or found bad; one that was cut off may fare better elsewhere."""
        self._bytes = np.memmap(folder / "samples.bin", dtype=np.uint8, mode="r") if self._size(folder) else None

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a finished cache lies there: the index is written last."""
        return (folder / "index.json").is_file()

    def __len__(self) -> int:
        return len(self._index)

    def sample(self, number: int) -> Sample | None:
        """Copy of sample `number`, None where it was cut off; `BadCell` where it could not be decoded."""
        entry = self._index[number]
        if entry is None:
            return None
        if isinstance(entry, str):
            raise BadCell(entry)
        result: Sample = {}
        for name, dtype, shape, offset in entry:
            count = int(np.prod(shape)) * np.dtype(dtype).itemsize
            raw = self._bytes[offset : offset + count] if self._bytes is not None else np.empty(0, dtype=np.uint8)
            result[name] = np.array(raw).view(dtype).reshape(shape)
        return result

    @staticmethod
    def write(
        folder: Path, samples: Iterable[Sample | BadCell | None], rejected: Mapping[int, str] | None = None
    ) -> "SampleCache":
        """Write samples in order and open the result; a half-written one is never opened.

        rejected: read when the samples have come to their end.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        index: list[Any] = []
        offset = 0
        with open(partial / "samples.bin", "wb") as file:
            for sample in samples:
                if sample is None or isinstance(sample, BadCell):
                    index.append(None if sample is None else str(sample))
                    continue
                entry = []
                for name, array in sample.items():
                    array = np.asarray(array)
                    entry.append((name, array.dtype.str, array.shape, offset))
                    offset += file.write(np.ascontiguousarray(array).tobytes())
                index.append(entry)
        if rejected:
            (partial / "rejected.json").write_text(json.dumps(dict(rejected)))
        (partial / "index.json").write_text(json.dumps(index))
        try:
            partial.rename(folder)
        except OSError:  # another process wrote the same samples first
            shutil.rmtree(partial)
        return SampleCache(folder)

    @staticmethod
    def _size(folder: Path) -> int:
        return (folder / "samples.bin").stat().st_size
