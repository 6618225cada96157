"""What flows through a step: batches, views, tokens.

Shapes: B samples (rows), N content tokens, S prefix tokens, D encoder width.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples of one modality, ready for its encoder.

    inputs: exactly as the forward of the transformers model names them: pixel_values, input_ids, attention_mask, ...; rows
        first; what augmentations change
    ids: (B,) int64: each sample's number in its data set, the key of all its randomness.
    present: (B,) bool: False where the cell was missing and the modality's blank stands in.
    extra: what else the modality's own code needs: word ids, lengths (see `Modality.extras`).
    """

    inputs: dict[str, Tensor]
    ids: Tensor
    present: Tensor
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        return self.ids.device

    def with_inputs(self, **inputs: Tensor) -> "Batch":
        """The same samples with some inputs replaced; the originals stay as they are."""
        return replace(self, inputs={**self.inputs, **inputs})

    def to(self, device: torch.device) -> "Batch":
        """The batch with every tensor on `device`."""
        extra = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in self.extra.items()}
        inputs = {key: value.to(device) for key, value in self.inputs.items()}
        return replace(self, inputs=inputs, ids=self.ids.to(device), present=self.present.to(device), extra=extra)


@dataclass(frozen=True)
class View(Batch):
    """What an objective sees: a batch after augmentation and masking.

    encoder: name of the encoder (the key under `modalities` in the recipe) this view is for.
    role: the augmentation pipeline it went through; `plain` is no augmentation at all.
    index: number of this view among those of the same encoder and role.
    masks: name -> (B, N) bool, True where the masking chose the token. What happens to it is the objective's decision.
    window: (B, 2 * axes) float: where the view lies in its sample, in fractions (start and end of each axis), if it
        does.
    """

    encoder: str = ""
    role: str = "plain"
    index: int = 0
    masks: dict[str, Tensor] = field(default_factory=dict)
    window: Tensor | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """Identity within a step: two views with the same key hold the same tensors."""
        return (self.encoder, self.role, self.index)

    def with_inputs(self, **inputs: Tensor) -> "View":
        """The same view with some inputs replaced; the originals stay as they are."""
        return replace(self, inputs={**self.inputs, **inputs})


@dataclass(frozen=True)
class Layout:
    """How the tokens of a batch lie, known without running the network.

    grid: tokens along each axis, e.g. (T, H, W); their product is N. (N,) where they lie in no order (the nodes of a graph).
    lengths: (B,) int64: number of real tokens of each row; for a padded batch the first `lengths[b]` are real, so what leaves
        tokens out moves the others up.
    maskable: (B, N) bool: tokens that a masking may choose (no padding, no special tokens).
    groups: (B, N) int64: tokens with the same number belong together (the pieces of a word); None where each stands
        alone.
    """

    grid: tuple[int, ...]
    lengths: Tensor
    maskable: Tensor
    groups: Tensor | None = None

    @staticmethod
    def dense(grid: tuple[int, ...], rows: int, device: torch.device) -> "Layout":
        """The layout of a batch without padding: every token real and maskable."""
        count = 1
        for size in grid:
            count *= size
        lengths = torch.full((rows,), count, dtype=torch.int64, device=device)
        return Layout(grid, lengths, torch.ones(rows, count, dtype=torch.bool, device=device))

    @property
    def tokens(self) -> int:
        """N, the number of content tokens of each row with padding."""
        return self.maskable.shape[1]


@dataclass(frozen=True)
class Tokens:
    """Embedded samples, before the layers of the encoder.

    values: (B, N, D) content tokens.
    prefix: (B, S, D) class and register tokens, which are never masked or dropped.
    positions: what the encoder needs to know of each token's place after some are dropped: (B, N, ...) or None.
    padding: (B, N) bool, True where the token is real (torch's attention has it the other way round); None where all are.
    features: what else belongs to the tokens, rows first, and all that `encode` needs beside `values`, as it sees no batch
        (the edges of a graph). Named in common: `local` (B, N, L), convolution features after their norm, and `local-raw`,
        before it (wav2vec 2.0 and its kin).
    grid: tokens along each axis, where the encoder needs it to put them back in place.
    """

    values: Tensor
    prefix: Tensor | None = None
    positions: Tensor | None = None
    padding: Tensor | None = None
    features: dict[str, Tensor] = field(default_factory=dict)
    grid: tuple[int, ...] | None = None

    def with_values(self, values: Tensor) -> "Tokens":
        """The same tokens with other values (B, N, D)."""
        return replace(self, values=values)

    def add(self, offset: Tensor) -> "Tokens":
        """The same tokens with `offset` (broadcast to (B, N, D)) added."""
        return replace(self, values=self.values + offset)

    def prepend(self, tokens: Tensor) -> "Tokens":
        """The same tokens with `tokens` (B, K, D) put before the prefix."""
        prefix = tokens if self.prefix is None else torch.cat([tokens, self.prefix], dim=1)
        return replace(self, prefix=prefix)


@dataclass(frozen=True)
class Encoded:
    """What the layers of an encoder made of tokens.

    values: (B, N, D) content tokens, or (B, K, D) where `keep` chose K of them, in the order of `keep`.
    prefix: (B, S, D) the encoded prefix tokens, the class token first where there is one.
    grid: content tokens along each axis, where none was dropped and `pool` needs it to know their places.
    padding: (B, N or K) bool, True where the token is real; None where all are.
    layers: where `encode(layers=...)` asked for them: (B, N, D) of each layer, the first layer first.
    features: the features of the tokens, handed on.
    """

    values: Tensor
    prefix: Tensor | None = None
    grid: tuple[int, ...] | None = None
    padding: Tensor | None = None
    layers: tuple[Tensor, ...] = ()
    features: dict[str, Tensor] = field(default_factory=dict)
