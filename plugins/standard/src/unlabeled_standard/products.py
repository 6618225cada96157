"""Reductions over all products of queries and candidates, tile by tile, so that memory is linear in both.

The matrix of products is never kept: forward reduces each tile as it comes, backward computes it again.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

TILE_BYTES = 64 * 2**20
"""Memory of one tile: a square of 4,096 products in float32. Small tiles cost more to start than to compute, 16 and 64 MiB take
the same time on idle cores, and beyond some thousand vectors this much is little beside them
(tests/benchmarks/contrastive.py --tiles)."""


class Reduced(NamedTuple):
    """What is left of the products of each query (or candidate)."""

    value: Tensor
    """(n,) the reduction, with gradient."""
    largest: Tensor
    """(n,) the largest product, detached; -inf where there is none."""


def log_sum_exp(queries: Tensor, candidates: Tensor, excluded: Tensor) -> Reduced:
    """Of each query, the logarithm of the sum of the exponentials of its products; -inf where there is none.

    queries (A, P) and candidates (C, P) of one floating type; excluded (A, K) int64: places of candidates that a query
    leaves out, -1 for none.
    """
    value, largest, _, _ = _LogSumExp.apply(queries, candidates, excluded, False)  # type: ignore[no-untyped-call]
    return Reduced(value, largest)


def log_sum_exp_both(queries: Tensor, candidates: Tensor, excluded: Tensor) -> tuple[Reduced, Reduced]:
    """`log_sum_exp` of each query over the candidates, and of each candidate over the queries, from the same products."""
    rows, largest, columns, largest_of_columns = _LogSumExp.apply(queries, candidates, excluded, True)  # type: ignore[no-untyped-call]
    return Reduced(rows, largest), Reduced(columns, largest_of_columns)


def softplus_sum(queries: Tensor, candidates: Tensor, excluded: Tensor) -> Reduced:
    """Of each query, the sum of log(1 + exp(x)) over its products x; arguments as those of `log_sum_exp`."""
    value, largest = _SoftplusSum.apply(queries, candidates, excluded)  # type: ignore[no-untyped-call]
    return Reduced(value, largest)


class _LogSumExp(torch.autograd.Function):
    """Rows' and, where asked for, columns' log-sum-exp of queries @ candidates.T."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, candidates: Tensor, excluded: Tensor, both: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows, columns = _RunningLogSumExp(queries), _RunningLogSumExp(candidates)
        for row, column, tile in _tiles(queries, candidates, excluded):
            if both:
                columns.add(column, tile, dim=0)
            rows.add(row, tile, dim=1)
        ctx.both = both
        ctx.save_for_backward(queries, candidates, excluded, rows.value, columns.value)
        ctx.mark_non_differentiable(rows.largest, columns.largest)
        return rows.value, rows.largest, columns.value, columns.largest

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, rows: Tensor, _: Tensor, columns: Tensor, __: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        queries, candidates, excluded, of_rows, of_columns = ctx.saved_tensors
        # Where nothing was summed the weights are exp(-inf - inf), zero, and not the NaN of exp(-inf + inf).
        of_rows, of_columns = (value.masked_fill(value == -math.inf, math.inf) for value in (of_rows, of_columns))

        def weights(row: slice, column: slice, tile: Tensor) -> Tensor:
            shares = (tile - of_columns[column]).exp_().mul_(columns[column]) if ctx.both else None
            tile = tile.sub_(of_rows[row].unsqueeze(1)).exp_().mul_(rows[row].unsqueeze(1))
            return tile if shares is None else tile.add_(shares)

        return *_gradients(queries, candidates, excluded, weights), None, None


class _SoftplusSum(torch.autograd.Function):
    """Rows' sum of softplus of queries @ candidates.T."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, candidates: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
        value, largest = queries.new_zeros(len(queries)), queries.new_full((len(queries),), -math.inf)
        for row, _, tile in _tiles(queries, candidates, excluded):
            largest[row] = torch.maximum(largest[row], tile.amax(dim=1))
            # Above 40, log(1 + exp(x)) is x in double precision too; torch's own threshold of 20 is for single precision.
            value[row] += functional.softplus(tile, threshold=40.0).sum(dim=1)
        ctx.save_for_backward(queries, candidates, excluded)
        ctx.mark_non_differentiable(largest)
        return value, largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, value: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, candidates, excluded = ctx.saved_tensors

        def weights(row: slice, _: slice, tile: Tensor) -> Tensor:
            return tile.sigmoid_().mul_(value[row].unsqueeze(1))

        return *_gradients(queries, candidates, excluded, weights), None


class _RunningLogSumExp:
    """Log-sum-exp of values that come in parts, each sum relative to the largest value so far (Milakov & Gimelshein, 2018)."""

    def __init__(self, vectors: Tensor) -> None:
        self.largest = vectors.new_full((len(vectors),), -math.inf)
        self.sum = vectors.new_zeros(len(vectors))

    def add(self, part: slice, tile: Tensor, dim: int) -> None:
        """Add a tile, summed over `dim`, to the sums at `part`. The rows' turn comes last, as it overwrites the tile."""
        largest = torch.maximum(self.largest[part], tile.amax(dim=dim))
        base = largest.masked_fill(largest == -math.inf, 0.0)
        relative = tile.sub_(base.unsqueeze(dim)) if dim == 1 else tile - base.unsqueeze(dim)
        self.sum[part] = self.sum[part] * (self.largest[part] - base).exp() + relative.exp_().sum(dim=dim)
        self.largest[part] = largest

    @property
    def value(self) -> Tensor:
        return self.largest + self.sum.log()


def _tiles(queries: Tensor, candidates: Tensor, excluded: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Each tile of queries @ candidates.T, -inf where excluded, with its rows and columns; the caller may overwrite it."""
    side = max(1, math.isqrt(TILE_BYTES // queries.element_size()))
    for top in range(0, len(queries), side):
        row = slice(top, top + side)
        for left in range(0, len(candidates), side):
            column = slice(left, left + side)
            tile = queries[row] @ candidates[column].T
            for places in (excluded[row] - left).split(1, dim=1):
                inside = (places >= 0) & (places < tile.shape[1])
                places = places.clamp(0, tile.shape[1] - 1)
                tile.scatter_(1, places, tile.gather(1, places).masked_fill(inside, -math.inf))
            yield row, column, tile


def _gradients(
    queries: Tensor, candidates: Tensor, excluded: Tensor, weights: Callable[[slice, slice, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Gradients of queries and candidates, where `weights` makes of a tile of products the gradient of these."""
    of_queries, of_candidates = torch.zeros_like(queries), torch.zeros_like(candidates)
    for row, column, tile in _tiles(queries, candidates, excluded):
        weight = weights(row, column, tile)
        of_queries[row].addmm_(weight, candidates[column])
        of_candidates[column].addmm_(weight.T, queries[row])
    return of_queries, of_candidates
