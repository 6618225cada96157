"""Draws: counter-based randomness.

Every number is a hash of what it belongs to (seed, epoch, sample, view, name, place), computed in 64-bit integer tensor
operations, so that it is the same in any batch, in any order, at any padding, on any device and after any restart.
"""

import hashlib
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# SplitMix64's increment and multipliers (Steele, Lea and Flood, 2014), as signed 64-bit integers.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def _shift(value: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own is arithmetic)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix(value: Tensor) -> Tensor:
    """SplitMix64's finaliser: a bijection of 64-bit integers in which each input bit changes each output bit."""
    value = (value ^ _shift(value, 30)) * _FIRST
    value = (value ^ _shift(value, 27)) * _SECOND
    return value ^ _shift(value, 31)


def hash_key(*parts: object) -> int:
    """A signed 64-bit integer that depends on every part and on their order."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass(frozen=True)
class Draws:
    """The randomness of the rows of one view; `draws('name')` opens a stream.

    The order and number of calls mean nothing: the same name gives the same numbers again. Use one name for one purpose.

    seed, epoch, encoder, role, view: what a row's numbers are keyed by, beside its id.
    ids: (B,) int64 sample ids; results lie on their device.
    step: what `batch` is keyed by, beside the seed.
    path: names of the pipelines' members that these draws are within.
    """

    seed: int
    epoch: int
    ids: Tensor
    encoder: str = ""
    role: str = ""
    view: int = 0
    step: int = 0
    path: str = ""

    def __call__(self, name: str) -> "Stream":
        """The stream of this name: element [b, i, j] hashes (seed, epoch, id, encoder, role, view, name, i, j)."""
        key = hash_key(self.seed, self.epoch, self.encoder, self.role, self.view, self.path, name)
        return Stream(_mix(_mix(self.ids * _GOLDEN + key) + key))

    def within(self, name: str) -> "Draws":
        """The same rows under a name of their own: what a pipeline gives each of its members."""
        return replace(self, path=f"{self.path}/{name}")

    @property
    def shared(self) -> "Draws":
        """The same for every view of a sample: leaves out encoder, role and view index."""
        return replace(self, encoder="", role="", view=0)

    @property
    def batch(self) -> "Draws":
        """Keyed by (seed, step) alone: one row, equal for all rows and processes."""
        return replace(self, epoch=0, ids=torch.full_like(self.ids[:1], self.step), encoder="", role="batch", view=0)


@dataclass(frozen=True)
class Stream:
    """Numbers of one name. Shapes are without the leading B; a larger shape holds a smaller one as its prefix.

    roots: (B,) int64, one hash a row.
    """

    roots: Tensor

    def bits(self, *shape: int) -> Tensor:
        """(B, *shape) int64, all 64 bits random; each index is hashed on its own."""
        value = self.roots
        for axis, size in enumerate(shape):
            places = torch.arange(1, size + 1, dtype=torch.int64, device=value.device) * _GOLDEN
            value = _mix(value.unsqueeze(-1) + places + axis)
        return value

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, *shape) float32 in [low, high), with 24 random bits."""
        return _shift(self.bits(*shape), 40).to(torch.float32) * (2.0**-24 * (high - low)) + low

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32, standard normal (Box and Muller, 1958); equal on every device to 1e-6."""
        bits = self.bits(*shape)
        radius = (_shift(bits, 32).to(torch.float64) + 0.5) * 2.0**-32
        angle = (bits & 0xFFFFFFFF).to(torch.float64) * (2.0**-32 * 2.0 * math.pi)
        return (torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(angle)).to(torch.float32)

    def integers(self, low: int, high: int | Tensor, *shape: int) -> Tensor:
        """(B, *shape) int64 in [low, high); `high` may be (B,) int64, one bound a row."""
        bits = _shift(self.bits(*shape), 32)
        span = high - low
        if isinstance(span, Tensor):
            span = span.reshape(-1, *[1] * len(shape))
        return _shift(bits * span, 32) + low

    def coin(self, probability: float | Tensor, *shape: int) -> Tensor:
        """(B, *shape) bool, True with `probability` (a number, or a tensor that broadcasts to the result)."""
        return self.uniform(*shape) < probability

    def permutation(self, lengths: Tensor, size: int | None = None) -> Tensor:
        """(B, size) int64: the first `lengths[b]` entries are a random order of 0..lengths[b]-1, the rest follow in order.

        `lengths` (B,) int64; `size` is the longest length unless given.
        """
        size = int(lengths.max()) if size is None else size
        return self._keys(lengths, size).argsort(dim=1, stable=True)

    def subset(self, chosen_from: Tensor, count: Tensor | int) -> Tensor:
        """(B, N) bool: `count` (int or (B,)) of the True places of `chosen_from` (B, N) bool in each row; all where fewer."""
        keys = self.bits(chosen_from.shape[1]).masked_fill(~chosen_from, torch.iinfo(torch.int64).max)
        ranks = keys.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        limit = count.unsqueeze(1) if isinstance(count, Tensor) else count
        return (ranks < limit) & chosen_from

    def spans(self, lengths: Tensor, size: int, probability: float, span: int, minimum: int = 0) -> Tensor:
        """(B, size) bool: overlapping spans of `span` places within the first `lengths[b]` of each row.

        floor(probability * length / span + u) spans, u uniform, at least `minimum`; starts are drawn without replacement
        (Baevski et al., 2020, wav2vec 2.0, section 4.2, as its reference implementation reads it). Rows shorter than a
        span are one span.
        """
        extra = _shift(self.roots, 40).to(torch.float32) * 2.0**-24
        count = torch.floor(probability * lengths / span + extra).to(torch.int64).clamp(min=minimum)
        places = torch.arange(size, device=lengths.device)
        can_start = places < (lengths - span + 1).clamp(min=1).unsqueeze(1)
        starts = self.subset(can_start, count).to(torch.int64)
        running = starts.cumsum(dim=1)
        before = torch.nn.functional.pad(running, (span, 0))[:, :size]
        return (running > before) & (places < lengths.unsqueeze(1))

    def choose_other(self, mask: Tensor, count: int) -> Tensor:
        """(B, N, count) int64: for each True place of `mask` (B, N), `count` other True places of its row, with replacement.

        Places outside `mask`, and rows with fewer than two True places, hold their own index.
        """
        size = mask.shape[1]
        own = torch.arange(size, device=mask.device).expand_as(mask)
        total = mask.sum(dim=1)
        rank = mask.cumsum(dim=1) - 1
        places = (~mask).to(torch.int64).argsort(dim=1, stable=True)
        drawn = self.integers(0, (total - 1).clamp(min=1), size, count)
        drawn = drawn + (drawn >= rank.unsqueeze(-1)).to(torch.int64)
        chosen = places.unsqueeze(1).expand(-1, size, -1).gather(2, drawn.clamp(max=size - 1))
        valid = (mask & (total > 1).unsqueeze(1)).unsqueeze(-1)
        return torch.where(valid, chosen, own.unsqueeze(-1))

    def _keys(self, lengths: Tensor, size: int) -> Tensor:
        outside = torch.arange(size, device=lengths.device) >= lengths.unsqueeze(1)
        return self.bits(size).masked_fill(outside, torch.iinfo(torch.int64).max)
