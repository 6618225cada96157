"""Trackers beside metrics.jsonl, where they are installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class Trackers:
    """Writes metrics to TensorBoard where `tensorboard` is installed; nothing otherwise."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step."""
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
