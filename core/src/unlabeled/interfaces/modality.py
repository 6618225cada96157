"""Modality: one kind of raw data."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from unlabeled.interfaces.batch import Batch
from unlabeled.interfaces.draws import Draws

Sample = dict[str, np.ndarray]
"""One decoded cell: named arrays, so that it can be kept in a memory-mapped cache."""

ComponentSpec = Mapping[str, Any]
"""A component and its options as a recipe writes them: {"id": "vision/flip", "probability": 0.5}."""


class Config(BaseModel):
    """Base of every component's Config: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Modality(ABC):
    """How cells of one kind become batches. The least one needs: `input_name`, `decode`.

    Everything runs on loader workers except `fit`, so an instance must be cheap to copy and must not hold open files.

    columns: column types (see `Source.columns`) this modality reads, `other` for cells of a kind of its own; the first
        fitting column is used unless the recipe names one.
    input_name: name of the main input, as the encoder's forward calls it; what generic encoders and augmentations work
        on.
    channel_axis: axis of the main input (rows are axis 0) that holds its channels; None where it has none (a waveform).
    extras: collated names that belong in `Batch.extra` and not in the encoder's inputs.
    cached: True where decoding costs more than reading the result back from disk.
    """

    Config: ClassVar[type[BaseModel]] = Config
    columns: ClassVar[tuple[str, ...]] = ()
    input_name: ClassVar[str] = "pixel_values"
    channel_axis: ClassVar[int | None] = 1
    extras: ClassVar[tuple[str, ...]] = ()
    cached: ClassVar[bool] = False

    def __init__(self, config: BaseModel) -> None:
        self.config = config

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample's main input, without the rows, e.g. (3, 32, 32); encoders are built from it."""
        raise ValueError(f"{type(self).__name__} has no fixed input shape; choose an encoder that does not need one")

    @abstractmethod
    def decode(self, cell: Any) -> Sample:
        """The sample in a cell, deterministic. `ValueError` with a reason where the cell cannot be read: it is quarantined."""

    def check(self, cell: Any) -> None:
        """`ValueError` with a reason where the cell cannot be read: it is not given to `pack`; default: decode it."""
        self.decode(cell)

    def take(self, sample: Sample, draws: Draws, role: str) -> Sample:
        """What one view takes from a sample (a clip, a window, a caption); default: all of it.

        `draws` holds this one sample. Role `plain` is used by evaluation and must not depend on `draws`.
        """
        return sample

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Samples as tensors with rows first. Default: stack; where lengths of the first axis differ, pad with zeros on
        the right and add `attention_mask` (B, longest) int64, 1 where real.
        """
        batch: dict[str, Tensor] = {}
        for name in samples[0]:
            arrays = [torch.from_numpy(np.ascontiguousarray(sample[name])) for sample in samples]
            lengths = [len(array) if array.ndim else 0 for array in arrays]
            if len(set(lengths)) == 1:
                batch[name] = torch.stack(arrays)
            else:
                batch[name] = torch.nn.utils.rnn.pad_sequence(arrays, batch_first=True)
                places = torch.arange(max(lengths))
                batch["attention_mask"] = (places < torch.tensor(lengths).unsqueeze(1)).to(torch.int64)
        return batch

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """Default augmentations of the roles `weak`, `strong`, `global` and `local`; a recipe may replace each."""
        return {}

    def raw(self, batch: Batch) -> Tensor:
        """(B, F) float32: the raw features that every evaluation reports beside the trained ones; default: the flat input."""
        return batch.inputs[self.input_name].flatten(1).to(torch.float32)

    def blank(self) -> Sample:
        """What stands in for a missing cell, with `present` False."""
        raise ValueError(f"{type(self).__name__} has no blank; remove the rows without this cell")

    def show(self, sample: Sample) -> str | np.ndarray:
        """How a report shows a sample: text, or an image (H, W, 3) uint8."""
        return ", ".join(f"{name} {array.shape}" for name, array in sample.items())

    def fit(self, cells: Iterable[Any]) -> None:
        """Learn from the training cells what the config leaves open (a vocabulary, a length), once, before anything else."""

    def pack(self, cells: Iterable[Any]) -> Iterator[Sample] | None:
        """Samples cut from the whole column instead of one a cell (blocks of a corpus); None where each cell is a sample.

        The cells are those that pass `check`. Used only where the recipe has one modality; the number of a packed sample is its
        place in this sequence.
        """
        return None

    def save(self, folder: Path) -> None:
        """Write what `fit` learned into `folder`, as files that transformers' processor reads where it has one."""

    def restore(self, folder: Path) -> None:
        """Read back what `save` wrote; afterwards as if `fit` had run."""
