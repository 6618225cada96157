"""Where the trainer writes what happens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Record(Protocol):
    """The part of a run folder that the trainer needs."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        ...

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints in it."""
        ...

    def append(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to one of the run's .jsonl files."""
        ...

    def read(self, name: str) -> list[dict[str, Any]]:
        """The lines of one of them."""
        ...

    def cut(self, step: int) -> None:
        """Drop the lines that lie after a step."""
        ...
