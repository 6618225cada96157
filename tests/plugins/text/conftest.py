"""Small texts, a tokenizer trained on them, and a small BERT."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from unlabeled import Draws, View
from unlabeled.testing import make_view
from unlabeled_text.encoders.bert import Bert, BertConfig
from unlabeled_text.modality import Text, TextConfig

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Unbelievably, the fox's cunning is unmatched; it keeps jumping happily!",
    "",
    "lazy",
    "Nobody had seen so many jumping foxes and lazy dogs on the brown hills before, and nobody will again.",
]
ViewMaker = Callable[..., View]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture(scope="session")
def text() -> Text:
    modality = Text(TextConfig(vocabulary_size=120, max_length=24))
    modality.fit(TEXTS)
    return modality


@pytest.fixture
def bert(text: Text) -> Bert:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Bert(BertConfig(hidden_size=32, layers=2, heads=4), text)


@pytest.fixture(scope="session")
def view_of() -> ViewMaker:
    """A view of cells, taken and collated as a loader does it."""

    def make(modality: Text, cells: Sequence[Any], role: str = "plain", ids: torch.Tensor | None = None) -> View:
        ids = torch.arange(len(cells)) * 7919 + 11 if ids is None else ids
        samples = [
            modality.take(modality.decode(cell), Draws(0, 0, ids[row : row + 1], "text", role, 0), role)
            for row, cell in enumerate(cells)
        ]
        inputs = modality.collate(samples)
        return make_view(inputs, extra={"words": inputs.pop("words")}, ids=ids, encoder="text", role=role)

    return make
