"""Sources in core: tables (parquet, csv, jsonl), folders of files, and `datasets` hub names."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from unlabeled.data.columns import column_type, label_names
from unlabeled.data.streams import Stream
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.modality import Config
from unlabeled.interfaces.source import Row, Source

TABLES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json"}
COMPRESSED = {".gz", ".bz2", ".xz", ".zst", ".zip"}
FILE_TYPES = {
    "image": {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"},
    "audio": {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus"},
    "video": {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg"},
    "text": {".txt", ".md"},
    "series": {".npy"},
}
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
}
_SPLIT_FOLDERS |= {"validation": "validation", "test": "test", "testing": "test"}


class TableConfig(Config):
    """Where a table lies."""

    files: tuple[str, ...] = ()
    hub: str | None = Field(default=None, description="a name on the datasets hub")


class Table(Source):
    """Rows of parquet, csv or jsonl files, or of a hub data set, memory-mapped by `datasets`."""

    Config = TableConfig
    config: TableConfig

    def __init__(self, config: BaseModel, split: str) -> None:
        super().__init__(config, split)
        for file in self.config.files:
            if not Path(file).is_file():
                raise ValueError(f"{file}: no such file; check the path")
        self._data = self._load()

    def __len__(self) -> int:
        return len(self._data)

    @cached_property
    def columns(self) -> Mapping[str, str]:
        return {name: column_type(feature) for name, feature in self._data.features.items()}

    def row(self, index: int, columns: Sequence[str]) -> Row:
        return {name: self._data.data.column(name)[index].as_py() for name in columns}

    def fingerprint(self) -> str:
        return str(self._data._fingerprint)

    def label_names(self, column: str) -> tuple[str, ...] | None:
        return label_names(self._data.features, column)

    def values(self, column: str) -> list[Any]:
        """Every cell of a column."""
        return self._data.data.column(column).to_pylist()

    def _load(self) -> Any:
        import datasets

        datasets.disable_progress_bars()
        name = self.config.hub or ", ".join(self.config.files)
        try:
            if self.config.hub:
                return datasets.load_dataset(self.config.hub, split=self.split)
            kind = TABLES[_suffix(self.config.files[0])]
            return datasets.load_dataset(kind, data_files=list(self.config.files), split="train")
        except Exception as error:
            reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
            cure = (
                "check the name, the split and the network" if self.config.hub else "check that it is a readable table"
            )
            raise ValueError(f"{name}: cannot be read ({reason}); {cure}") from None


class FolderConfig(Config):
    """Where the files lie."""

    path: str


class Folder(Source):
    """Files of a folder, in the order of their names; subfolders are classes (column `label`).

    Folders named train, validation (val, dev) and test at the top are splits. Files of the same stem and different kinds
    (photo.jpg, photo.txt) are one row with several columns.
    """

    Config = FolderConfig
    config: FolderConfig

    def __init__(self, config: BaseModel, split: str) -> None:
        super().__init__(config, split)
        root = Path(self.config.path)
        folders = _split_folders(root)
        self._root = folders.get(split, root)
        rows: dict[str, dict[str, str]] = {}
        self._files: list[tuple[str, int]] = []
        for path in sorted(self._root.rglob("*")):
            kind = _file_type(path)
            if kind and not any(part.startswith(".") for part in path.relative_to(self._root).parts):
                key = str(path.relative_to(self._root).with_suffix(""))
                rows.setdefault(key, {})[kind] = str(path)
                self._files.append((str(path), path.stat().st_size))
        if not rows:
            known = ", ".join(sorted(suffix for suffixes in FILE_TYPES.values() for suffix in suffixes))
            raise ValueError(f"{self._root}: no file of a known kind ({known}); check the path")
        self._rows = list(rows.values())
        parts = [Path(key).parts for key in rows]
        self._classes = sorted({part[0] for part in parts if len(part) > 1})
        self._labels = [self._classes.index(part[0]) if len(part) > 1 else -1 for part in parts]

    @classmethod
    def splits(cls, config: BaseModel) -> tuple[str, ...]:
        """The split folders there are, or `train` for all files."""
        assert isinstance(config, FolderConfig)
        return tuple(_split_folders(Path(config.path))) or ("train",)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def columns(self) -> Mapping[str, str]:
        kinds = {kind: kind for row in self._rows for kind in row}
        return {**kinds, "label": "label"} if self._classes else kinds

    def row(self, index: int, columns: Sequence[str]) -> Row:
        files = self._rows[index]
        return {name: self._cell(files.get(name), name, index) for name in columns}

    def _cell(self, path: str | None, name: str, index: int) -> Any:
        if name == "label":
            return self._labels[index]
        if path is None:
            return None
        if name == "text":
            return Path(path).read_bytes()
        return {"path": path, "bytes": None}

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self._files).encode()).hexdigest()[:16]

    def label_names(self, column: str) -> tuple[str, ...] | None:
        return tuple(self._classes) if column == "label" else None


def _split_folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; check the path")
    found = {_SPLIT_FOLDERS[item.name]: item for item in sorted(root.iterdir()) if item.name in _SPLIT_FOLDERS}
    return {name: found[name] for name in ("train", "validation", "test") if name in found}


def _file_type(path: Path) -> str | None:
    suffix = path.suffix.lower()
    return next((kind for kind, suffixes in FILE_TYPES.items() if suffix in suffixes), None)


def locate(source: str | list[str], *, stream: Mapping[str, Any] | None) -> tuple[type[Source] | str, dict[str, Any]]:
    """The class of source that reads this, and its options; `sample:NAME` gives NAME, to be found among plugins.

    stream: how it is to be streamed, or None where it is not.
    """
    names = [source] if isinstance(source, str) else source
    if len(names) == 1 and names[0].startswith("sample:"):
        if stream is not None:
            raise UnlabeledError(f"data.streaming: {names[0]} is made, not streamed; remove data.streaming")
        return names[0].removeprefix("sample:"), {}
    if len(names) == 1 and Path(names[0]).is_dir():
        path = os.path.abspath(names[0])
        return (Folder, {"path": path}) if stream is None else (Stream, {"path": path, **stream})
    suffixes = {_suffix(name) for name in names}
    if len(suffixes) == 1 and suffixes <= set(TABLES):
        files = tuple(os.path.abspath(name) for name in names)
        if stream is None:
            return Table, {"files": files}
        return Stream, {"files": files, "kind": TABLES[suffixes.pop()], **stream}
    if len(names) == 1 and not names[0].startswith((".", "/", "~")) and not Path(names[0]).suffix:
        return (Table, {"hub": names[0]}) if stream is None else (Stream, {"path": names[0], **stream})
    kinds = ", ".join(TABLES)
    raise UnlabeledError(
        f"data.source: {', '.join(names)} is no folder and no table ({kinds}); check the path, or use sample:world"
    )


def _suffix(name: str) -> str:
    """What says how a table is written; compressed ones are called corpus.jsonl.gz."""
    path = Path(name)
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix
