"""What flows through a step: batches, views, tokens.

Shapes: B samples (rows), N content tokens, S prefix tokens, D encoder width.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples of one modality, ready for its encoder."""

    inputs: dict[str, Tensor]
    """Exactly as the forward of the transformers model names them: pixel_values, input_ids, attention_mask, ..."""
    ids: Tensor
    """(B,) int64: each sample's number in its data set, the key of all its randomness."""
    present: Tensor
    """(B,) bool: False where the cell was missing and the modality's blank stands in."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What else the modality's own code needs: word ids, lengths, edges."""

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
    """What an objective sees: a batch after augmentation and masking."""

    encoder: str = ""
    """Name of the encoder (the key under `modalities` in the recipe) this view is for."""
    role: str = "plain"
    """The augmentation pipeline it went through; `plain` is no augmentation at all."""
    index: int = 0
    """Number of this view among those of the same encoder and role."""
    masks: dict[str, Tensor] = field(default_factory=dict)
    """Name -> (B, N) bool, True where the masking chose the token. What happens to it is the objective's decision."""
    window: Tensor | None = None
    """(B, 2 * axes) float: where the view lies in its sample, in fractions (start and end of each axis), if it does."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Identity within a step: two views with the same key hold the same tensors."""
        return (self.encoder, self.role, self.index)

    def with_inputs(self, **inputs: Tensor) -> "View":
        """The same view with some inputs replaced; the originals stay as they are."""
        return replace(self, inputs={**self.inputs, **inputs})


@dataclass(frozen=True)
class Layout:
    """How the tokens of a batch lie, known without running the network."""

    grid: tuple[int, ...]
    """Tokens along each axis, e.g. (T, H, W); their product is N."""
    lengths: Tensor
    """(B,) int64: number of real tokens of each row; for a padded batch the first `lengths[b]` are real."""
    maskable: Tensor
    """(B, N) bool: tokens that a masking may choose (no padding, no special tokens)."""
    groups: Tensor | None = None
    """(B, N) int64: tokens with the same number belong together (the pieces of a word); None where each stands alone."""

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
    """Embedded samples, before the layers of the encoder."""

    values: Tensor
    """(B, N, D) content tokens."""
    prefix: Tensor | None = None
    """(B, S, D) class and register tokens, which are never masked or dropped."""
    positions: Tensor | None = None
    """What the encoder needs to know of each token's place after some are dropped: (B, N, ...) or None."""
    padding: Tensor | None = None
    """(B, N) bool, True where the token is real; None where all are."""
    features: dict[str, Tensor] = field(default_factory=dict)
    """`local`: (B, N, L) convolution features after their norm; `local-raw`: before it (wav2vec 2.0 and its kin)."""
    grid: tuple[int, ...] | None = None
    """Tokens along each axis, where the encoder needs it to put them back in place."""

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
    """What the layers of an encoder made of tokens."""

    values: Tensor
    """(B, N, D) content tokens, or (B, K, D) where `keep` chose K of them, in the order of `keep`."""
    prefix: Tensor | None = None
    """(B, S, D) the encoded prefix tokens, the class token first where there is one."""
    grid: tuple[int, ...] | None = None
    """Content tokens along each axis, where none was dropped and `pool` needs it to know their places."""
    padding: Tensor | None = None
    """(B, N or K) bool, True where the token is real; None where all are."""
    layers: tuple[Tensor, ...] = ()
    """Where `encode(layers=...)` asked for them: (B, N, D) of each layer, the first layer first."""
    features: dict[str, Tensor] = field(default_factory=dict)
    """The features of the tokens, handed on."""
