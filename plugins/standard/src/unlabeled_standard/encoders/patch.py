"""A transformer on the patches of any array."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled import Batch, Config, Encoded, Encoder, Layout, Modality, Tokens, gather_tokens
from unlabeled_standard.example import example_batch
from unlabeled_standard.networks import Block, initialise, learned_token
from unlabeled_standard.positions import sincos_positions

Size = Annotated[int, Field(ge=1)]


class PatchConfig(Config):
    """Options of the patch encoder."""

    patch: Size | tuple[Size, ...] = Field(default=4, description="size of a patch, along every axis or along each")
    width: Annotated[int, Field(ge=2)] = Field(default=192, description="of the tokens (ViT-S: 384; ViT-B: 768)")
    layers: Annotated[int, Field(ge=1)] = Field(default=6, description="of the transformer (ViT-B: 12)")
    heads: Annotated[int, Field(ge=1)] = Field(default=3, description="of attention; they share the width (ViT-B: 12)")
    mlp_ratio: Annotated[float, Field(gt=0)] = Field(
        default=4.0, description="width of the feed-forward parts over width"
    )
    class_token: bool = Field(default=True, description="put a learned token before the patches (ViT)")
    pool: Literal["mean", "class"] = Field(
        default="mean", description="features: mean of the patches, or the class token"
    )


class Patch(Encoder):
    """The vision transformer (Dosovitskiy et al., 2021) for any main input (C, *dims), with sine-cosine positions.

    Where the channels are says `Modality.channel_axis`. A patch's values are ordered by place, channels innermost. Sizes
    along the axes must be multiples of the patch's.
    """

    Config = PatchConfig
    config: PatchConfig
    provides = frozenset({"tokens", "class-token", "mask-token", "drop-tokens", "patches", "layers"})

    def __init__(self, config: PatchConfig, modality: Modality) -> None:
        super().__init__(config, modality)
        channels, *dims = self._channels_first(example_batch(modality)).shape[1:]
        self.patch = _patch_size(config.patch, dims)
        if config.width % config.heads:
            raise ValueError(f"width {config.width} is no multiple of heads {config.heads}; change one of them")
        if config.pool == "class" and not config.class_token:
            raise ValueError("pool: class needs class_token: true")
        if not config.class_token:
            self.provides = type(self).provides - {"class-token"}
        self.width = config.width
        self.embedding = nn.Linear(channels * math.prod(self.patch), config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        initialise(self)
        self.mask_token = learned_token(config.width)
        self.class_token = learned_token(config.width) if config.class_token else None

    def layout(self, batch: Batch) -> Layout:
        return Layout.dense(self._grid(batch), batch.rows, batch.device)

    def embed(self, batch: Batch) -> Tokens:
        values = self.embedding(self.patches(batch).to(self.mask_token.dtype))
        grid = self._grid(batch)
        positions = sincos_positions(grid, self.width, values.device).to(values.dtype).expand_as(values)
        prefix = None if self.class_token is None else self.class_token.expand(batch.rows, 1, -1)
        return Tokens(values, prefix=prefix, positions=positions, grid=grid)

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        return tokens.with_values(torch.where(mask.unsqueeze(2), self.mask_token, tokens.values))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        values = tokens.values if tokens.positions is None else tokens.values + tokens.positions
        if keep is not None:
            values = gather_tokens(values, keep)
        first = 0 if tokens.prefix is None else tokens.prefix.shape[1]
        if tokens.prefix is not None:
            values = torch.cat([tokens.prefix, values], dim=1)
        hidden = []
        for block in self.blocks:
            values = block(values)
            hidden.append(values[:, first:])
        values = self.norm(values)
        return Encoded(
            values[:, first:],
            prefix=values[:, :first] if first else None,
            layers=tuple(hidden) if layers == "hidden" else (),
        )

    def pool(self, encoded: Encoded) -> Tensor:
        if self.config.pool == "class" and encoded.prefix is not None:
            return encoded.prefix[:, 0]
        return super().pool(encoded)

    def patches(self, batch: Batch) -> Tensor:
        values = self._channels_first(batch)
        grid, axes = self._grid(batch), len(self.patch)
        cut = values.reshape(*values.shape[:2], *(size for pair in zip(grid, self.patch, strict=True) for size in pair))
        order = [0, *range(2, 2 + 2 * axes, 2), *range(3, 3 + 2 * axes, 2), 1]
        return cut.permute(order).flatten(1 + axes).flatten(1, axes)

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        shape = self._channels_first(batch).shape
        grid, axes = self._grid(batch), len(self.patch)
        cut = patches.reshape(shape[0], *grid, *self.patch, shape[1])
        order = [0, 1 + 2 * axes, *(place for axis in range(axes) for place in (1 + axis, 1 + axes + axis))]
        values = cut.permute(order).reshape(shape)
        channel_axis = self.modality.channel_axis
        return values.squeeze(1) if channel_axis is None else values.movedim(1, channel_axis)

    def _grid(self, batch: Batch) -> tuple[int, ...]:
        dims = self._channels_first(batch).shape[2:]
        return tuple(size // patch for size, patch in zip(dims, _patch_size(self.patch, dims), strict=True))

    def _channels_first(self, batch: Batch) -> Tensor:
        """(B, C, *dims) the main input."""
        values = batch.inputs[self.modality.input_name]
        channel_axis = self.modality.channel_axis
        return values.unsqueeze(1) if channel_axis is None else values.movedim(channel_axis, 1)


def _patch_size(patch: int | tuple[int, ...], dims: Sequence[int]) -> tuple[int, ...]:
    """The size of a patch along each of `dims`; ValueError where it does not fit."""
    if not dims:
        raise ValueError("the main input has channels and no axis to cut; set the modality's channel_axis to None")
    sizes = (patch,) * len(dims) if isinstance(patch, int) else patch
    if len(sizes) != len(dims):
        raise ValueError(
            f"patch has {len(sizes)} sizes where the input has {len(dims)} axes; give one size, or one for each"
        )
    for size, whole in zip(sizes, dims, strict=True):
        if whole % size:
            raise ValueError(f"patch {size} does not divide the input's size {whole}; choose a divisor")
    return sizes
