"""Decoded samples on disk, memory-mapped: decoding is paid once where it costs more than reading."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
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
        self._bytes = np.memmap(folder / "samples.bin", dtype=np.uint8, mode="r") if self._size(folder) else None

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a finished cache lies there: the index is written last."""
        return (folder / "index.json").is_file()

    def __len__(self) -> int:
        return len(self._index)

    def sample(self, number: int) -> Sample:
        """Copy of sample `number`; `BadCell` where it could not be decoded when the cache was written."""
        entry = self._index[number]
        if isinstance(entry, str):
            raise BadCell(entry)
        result: Sample = {}
        for name, dtype, shape, offset in entry:
            count = int(np.prod(shape)) * np.dtype(dtype).itemsize
            raw = self._bytes[offset : offset + count] if self._bytes is not None else np.empty(0, dtype=np.uint8)
            result[name] = np.array(raw).view(dtype).reshape(shape)
        return result

    @staticmethod
    def write(folder: Path, samples: Iterable[Sample | BadCell]) -> "SampleCache":
        """Write samples in order and open the result; a half-written one is never opened."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        index: list[Any] = []
        offset = 0
        with open(partial / "samples.bin", "wb") as file:
            for sample in samples:
                if isinstance(sample, BadCell):
                    index.append(str(sample))
                    continue
                entry = []
                for name, array in sample.items():
                    array = np.asarray(array)
                    entry.append((name, array.dtype.str, array.shape, offset))
                    offset += file.write(np.ascontiguousarray(array).tobytes())
                index.append(entry)
        (partial / "index.json").write_text(json.dumps(index))
        try:
            partial.rename(folder)
        except OSError:  # another process wrote the same samples first
            shutil.rmtree(partial)
        return SampleCache(folder)

    @staticmethod
    def _size(folder: Path) -> int:
        return (folder / "samples.bin").stat().st_size
