"""Source: where rows come from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

Row = dict[str, Any]


class Source(ABC):
    """One split of a data set: numbered rows of undecoded cells.

    A row's number is its identity: all randomness of a sample is keyed by it, so `row(i)` must always be the same row.
    Cells are what `Modality.decode` reads: bytes with a path, a string, a list of strings, an array, or a
    mapping of plain values (column type `other`).
    Objects are copied into worker processes, so they hold paths and not open files.
    """

    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: BaseModel, split: str) -> None:
        """Open one split; `ValueError` with one line where it cannot be (unknown split: name those that exist)."""
        self.config = config
        self.split = split

    @classmethod
    def splits(cls, config: BaseModel) -> tuple[str, ...]:
        """Names of the splits this source has; the first one is trained on by default."""
        return ("train",)

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, str]:
        """Column name -> type: `image`, `text`, `audio`, `video`, `series`, `label` (integers), `number` or `other`."""

    @abstractmethod
    def row(self, index: int, columns: Sequence[str]) -> Row:
        """The named cells of row `index`, undecoded. Must be cheap for the columns that are not asked for."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A short hexadecimal digest that changes when any row may have changed."""

    def label_names(self, column: str) -> tuple[str, ...] | None:
        """Names of the integer labels in `column`, in order, or None where they have none."""
        return None
