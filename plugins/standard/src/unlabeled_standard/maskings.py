"""Maskings for any layout: random tokens or cells, blocks of a grid, spans of a sequence."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Config, Draws, Layout, Masking

Ratio = Annotated[float, Field(gt=0, lt=1)]


class RandomMaskingConfig(Config):
    """Options of random masking."""

    ratio: Ratio = Field(default=0.75, description="share of the maskable tokens that is chosen (MAE: 0.75)")
    cell: Annotated[int, Field(ge=1)] = Field(
        default=1, description="tokens along each axis that are chosen together (SimMIM: 32 // patch size)"
    )


class RandomMasking(Masking):
    """Tokens chosen uniformly (He et al., 2022, MAE, section 3), or aligned cells of them (Xie et al., 2022, SimMIM).

    Exactly round(ratio * maskable tokens) of each row, so that rows of equal length keep equally many; with `cell`
    above one, that share of the cells.
    """

    Config = RandomMaskingConfig
    config: RandomMaskingConfig

    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        """(B, N) bool, True where chosen."""
        if self.config.cell == 1:
            return draws("tokens").subset(layout.maskable, _share(layout.maskable, self.config.ratio))
        cells = _cells(layout.grid, self.config.cell, layout.maskable.device)
        members = torch.zeros(len(layout.maskable), int(cells.max()) + 1, device=layout.maskable.device)
        available = members.index_add(1, cells, layout.maskable.to(members.dtype)) > 0
        chosen = draws("cells").subset(available, _share(available, self.config.ratio))
        return chosen[:, cells] & layout.maskable


class BlockMaskingConfig(Config):
    """Options of block masking."""

    ratio: Ratio = Field(default=0.4, description="share of the maskable tokens that is chosen (BEiT: 0.4)")
    min_block: Annotated[int, Field(ge=1)] = Field(default=16, description="fewest tokens of a block (BEiT: 16)")
    min_aspect: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.3, description="smallest ratio of a block's sides, the largest is its inverse (BEiT: 0.3)"
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        default=64, description="blocks drawn at most; what is then missing is chosen token by token"
    )


class BlockMasking(Masking):
    """Blocks of a grid of any dimension (Bao et al., 2022, BEiT, algorithm 1).

    Blocks of random volume, shape and place are added until round(ratio * maskable tokens) of the row are chosen.
    Always exactly that many, so that rows keep equally many: of the last block the first tokens in order are taken.
    """

    Config = BlockMaskingConfig
    config: BlockMaskingConfig

    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        """(B, N) bool, True where chosen."""
        target = _share(layout.maskable, self.config.ratio)
        sizes = _sizes(layout)
        # In float64, so that devices round sides and corners alike.
        volumes = draws("volume").uniform(self.config.attempts).double()
        shapes = draws("shape").uniform(self.config.attempts, sizes.shape[1], low=-0.5, high=0.5).double()
        corners = draws("corner").uniform(self.config.attempts, sizes.shape[1]).double()
        mask = torch.zeros_like(layout.maskable)
        for attempt in range(self.config.attempts):
            missing = target - mask.sum(dim=1)
            if not bool((missing > 0).any()):
                break
            extents = self._extents(volumes[:, attempt], shapes[:, attempt], missing, sizes)
            starts = torch.floor(corners[:, attempt] * (sizes - extents + 1)).to(torch.int64)
            block = _block(layout.grid, starts, starts + extents) & layout.maskable & ~mask
            mask = mask | (block & (block.cumsum(dim=1) <= missing.unsqueeze(1)))
        return mask | draws("rest").subset(layout.maskable & ~mask, target - mask.sum(dim=1))

    def _extents(self, volume: Tensor, shape: Tensor, missing: Tensor, sizes: Tensor) -> Tensor:
        """(B, axes) int64: the sides of a block of `min_block` to `missing` tokens.

        The logarithm of a side is drawn uniformly, the last axis takes what keeps the volume; on two axes that is
        BEiT's log-uniform ratio of the sides.
        """
        axes = sizes.shape[1]
        least = missing.clamp(min=1, max=self.config.min_block).double()
        tokens = least + volume * (missing - least).clamp(min=0)
        stretch = shape * -math.log(self.config.min_aspect)
        if axes == 1:
            stretch = torch.zeros_like(stretch)
        else:
            stretch = torch.cat([stretch[:, :-1], -stretch[:, :-1].sum(dim=1, keepdim=True)], dim=1)
        sides = tokens.unsqueeze(1) ** (1 / axes) * stretch.exp()
        return torch.minimum(sides.round().to(torch.int64).clamp(min=1), sizes)


class SpanMaskingConfig(Config):
    """Options of span masking."""

    probability: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.65,
        description="number of spans times their length over the tokens; spans overlap (wav2vec 2.0: 0.65)",
    )
    span: Annotated[int, Field(ge=1)] = Field(default=10, description="tokens of a span (wav2vec 2.0: 10)")
    minimum: Annotated[int, Field(ge=0)] = Field(default=2, description="fewest spans of a row (wav2vec 2.0: 2)")


class SpanMasking(Masking):
    """Overlapping spans of a sequence (Baevski et al., 2020, wav2vec 2.0, section 3.1).

    floor(probability * length / span + u) spans of each row, u uniform; about half of the tokens with the defaults.
    """

    Config = SpanMaskingConfig
    config: SpanMaskingConfig

    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        """(B, N) bool, True where chosen."""
        options = self.config
        spans = draws("spans").spans(layout.lengths, layout.tokens, options.probability, options.span, options.minimum)
        return spans & layout.maskable


def _share(available: Tensor, ratio: float) -> Tensor:
    """(B,) int64: round(ratio * number of True), halves up."""
    return torch.floor(available.sum(dim=1).to(torch.float64) * ratio + 0.5).to(torch.int64)


def _sizes(layout: Layout) -> Tensor:
    """(B, axes) int64: the grid of each row; a sequence ends with the row's own length, not with its padding."""
    if len(layout.grid) == 1:
        return layout.lengths.clamp(min=1).unsqueeze(1)
    return layout.lengths.new_tensor(layout.grid).expand(len(layout.lengths), -1)


def _coordinates(grid: tuple[int, ...], device: torch.device) -> Tensor:
    """(axes, N) int64: the place of each token along each axis."""
    axes = [torch.arange(size, device=device) for size in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)


def _cells(grid: tuple[int, ...], cell: int, device: torch.device) -> Tensor:
    """(N,) int64: the number of the cell each token lies in; cells at the end of an axis may be smaller."""
    number = torch.zeros(math.prod(grid), dtype=torch.int64, device=device)
    for size, place in zip(grid, _coordinates(grid, device), strict=True):
        number = number * -(-size // cell) + place // cell
    return number


def _block(grid: tuple[int, ...], starts: Tensor, ends: Tensor) -> Tensor:
    """(B, N) bool: tokens with `starts` <= place < `ends` (B, axes) along every axis."""
    places = _coordinates(grid, starts.device)
    return ((places >= starts.unsqueeze(2)) & (places < ends.unsqueeze(2))).all(dim=1)
