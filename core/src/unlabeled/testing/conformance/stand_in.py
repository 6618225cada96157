"""Objectives for all modalities on data of no plugin's kind, whose encoder has what they commonly require."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.interfaces.batch import Batch, Encoded, Layout, Tokens
from unlabeled.interfaces.encoder import Encoder, gather_tokens
from unlabeled.interfaces.modality import Modality, Sample
from unlabeled.interfaces.objective import Facts
from unlabeled.testing.conformance.bench import ROWS, Bench
from unlabeled.testing.conformance.companions import Missing
from unlabeled.testing.conformance.components import takes_something
from unlabeled.testing.steps import take_step
from unlabeled.testing.views import make_draws, make_view
from unlabeled_registry.capabilities import PAIRED
from unlabeled_registry.errors import one_line
from unlabeled_registry.manifest import Component
from unlabeled_registry.schema import ANY

TOKENS, NUMBERS = 8, 4


class Numbers(Modality):
    """Eight tokens of four numbers."""

    input_name: ClassVar[str] = "stand_in_values"
    channel_axis: ClassVar[int | None] = 2

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One row."""
        return TOKENS, NUMBERS

    def decode(self, cell: Any) -> Sample:
        """Any numbers of this shape."""
        return {self.input_name: np.asarray(cell, dtype=np.float32).reshape(self.input_shape)}


class Layers(Encoder):
    """Two layers on each token alone, with a class token."""

    provides = frozenset({"tokens", "class-token", "mask-token", "drop-tokens", "patches", "layers"})

    def __init__(self) -> None:
        super().__init__(Numbers.Config(), Numbers(Numbers.Config()))
        self.width = 8
        self.stem = nn.Linear(NUMBERS, self.width)
        self.stack = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(2))
        self.class_token = nn.Parameter(torch.randn(self.width))
        self.mask_token = nn.Parameter(torch.randn(self.width))

    def embed(self, batch: Batch) -> Tokens:
        """(B, 8, D) and the class token."""
        values = self.stem(self.patches(batch))
        return Tokens(values, prefix=self.class_token.expand(batch.rows, 1, -1), grid=(TOKENS,))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """Each token through both layers."""
        values = tokens.values if keep is None else gather_tokens(tokens.values, keep)
        hidden, prefix = [], tokens.prefix
        for layer in self.stack:
            values = torch.tanh(layer(values))
            prefix = None if prefix is None else torch.tanh(layer(prefix))
            hidden.append(values)
        return Encoded(values, prefix, tokens.grid if keep is None else None, layers=tuple(hidden) if layers else ())

    def layout(self, batch: Batch) -> Layout:
        """A sequence."""
        return Layout.dense((TOKENS,), batch.rows, batch.device)

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The learned vector."""
        return tokens.with_values(torch.where(mask.unsqueeze(2), self.mask_token, tokens.values))

    def patches(self, batch: Batch) -> Tensor:
        """The numbers themselves."""
        return batch.inputs[Numbers.input_name].to(self.mask_token.dtype)

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        """The numbers themselves."""
        return patches


def modalities(bench: Bench, component: Component) -> None:
    """An objective for all modalities takes a step on data that it cannot know; one that names its modalities has one."""
    if ANY not in component.modalities:
        return takes_something(bench, component)
    if not set(component.requires) - {PAIRED} <= Layers.provides:
        return None  # so rare a capability that no data are at hand which the objective could not know
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _step_on_a_stand_in(bench, component)
    except Missing:
        raise
    except Exception as error:
        text = (
            f"on data of another kind it fails with {one_line(error)}; keep to what its capabilities give, or name its"
        )
        raise AssertionError(f"{component.id}: {text} modalities in the manifest") from None
    return None


def _step_on_a_stand_in(bench: Bench, component: Component) -> None:
    resolved = bench.resolved(component)
    encoders = {name: Layers() for name in ("first", "second")[: 2 if PAIRED in component.requires else 1]}
    objective = resolved.type(resolved.config, encoders, Facts(samples=64, batch_size=ROWS, steps=4, epochs=1.0))
    views = []
    for name, encoder in encoders.items():
        for spec in resolved.type.view_specs(resolved.config):
            maskings = {mask: bench.entry("augmentation", entry).build() for mask, entry in spec.masks.items()}
            for index in range(spec.count):
                values = {Numbers.input_name: torch.randn(ROWS, *encoder.modality.input_shape)}
                view = make_view(values, encoder=name, role=spec.role, index=index)
                masks = {mask: masking(encoder.layout(view), make_draws(view)) for mask, masking in maskings.items()}
                views.append(replace(view, masks=masks))
    take_step(objective, views, encoders)
