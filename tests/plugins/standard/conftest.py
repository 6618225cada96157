"""A modality of plain arrays, and generic encoders for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unlabeled import Config, Modality, Sample
from unlabeled_standard.encoders.patch import Patch, PatchConfig


class ArrayConfig(Config):
    shape: tuple[int, ...]


class Array(Modality):
    """Arrays of one shape, channels first."""

    Config = ArrayConfig
    config: ArrayConfig
    input_name = "values"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.config.shape

    def decode(self, cell: Any) -> Sample:
        return {"values": np.asarray(cell, dtype=np.float32)}


@pytest.fixture
def build_patch() -> Callable[..., Patch]:
    """The patch encoder for arrays of a shape, with small defaults."""

    def build(shape: tuple[int, ...], **options: Any) -> Patch:
        config = PatchConfig(**{"patch": 2, "width": 12, "layers": 2, "heads": 2, **options})
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Patch(config, Array(ArrayConfig(shape=shape)))

    return build


@pytest.fixture
def random_values() -> Callable[..., Tensor]:
    """Standard normal values of a shape."""

    def values(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    return values
