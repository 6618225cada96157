"""Three small encoders of different width, and views of six samples for them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlabeled import Batch, Config, Encoded, Encoder, Modality, Sample, Tokens, View
from unlabeled.testing import make_view

ROWS = 6
WIDTHS = {"image": 8, "text": 5, "sound": 7}


class Values(Modality):
    """Four numbers a sample."""

    input_name = "values"

    def decode(self, cell: Any) -> Sample:
        return {"values": np.asarray(cell, dtype=np.float32)}


class Hidden(Encoder):
    """One hidden layer: a single token."""

    def __init__(self, width: int) -> None:
        super().__init__(Config(), Values(Config()))
        self.width = width
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, width)

    def embed(self, batch: Batch) -> Tokens:
        return Tokens(self.first(batch.inputs["values"]).unsqueeze(1))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        return Encoded(self.last(tokens.values.tanh()))


@pytest.fixture
def encoders() -> Mapping[str, Hidden]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: Hidden(width).double() for name, width in WIDTHS.items()}


@pytest.fixture
def views() -> Mapping[str, View]:
    """Encoder name -> the view CLIP asks for; nothing is missing."""
    generator = torch.Generator().manual_seed(1)
    values = {name: torch.randn(ROWS, 4, generator=generator, dtype=torch.float64) for name in WIDTHS}
    return {name: make_view({"values": value}, encoder=name, role="weak") for name, value in values.items()}
