"""Numbers that are the same bits on every machine.

The world is drawn with `+ - * /`, `sqrt`, `floor` and comparisons on float32 arrays alone: IEEE 754 fixes their results,
while `sin`, `exp` and sums of arrays differ between processors and libraries. Randomness is numpy's Philox, whose bit stream
numpy keeps stable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 at run time; numpy's annotations make float64 of float32 and a float
Item = TypeVar("Item")


@dataclass(frozen=True)
class Key:
    """What identifies one item of the world."""

    seed: int
    split: int
    index: int


def bits(key: Key, part: int, words: int) -> NDArray[np.uint64]:
    """`words` random 64-bit words that no other part or item has (Philox4x64-10, Salmon et al., 2011)."""
    counter = np.array([0, key.index, key.split, part], dtype=np.uint64)
    return np.random.Philox(key=np.array([key.seed, 0], dtype=np.uint64), counter=counter).random_raw(words)


class Stream:
    """Random choices, one after the other, of one part of one item."""

    def __init__(self, key: Key, part: int, length: int = 256) -> None:
        """Open the stream; it yields at most `length` choices."""
        self._values = iter(((bits(key, part, length) >> np.uint64(11)) * 2.0**-53).tolist())

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * next(self._values)

    def below(self, count: int) -> int:
        """An integer in [0, count)."""
        return int(next(self._values) * count)

    def pick(self, options: Sequence[Item]) -> Item:
        """One of the options."""
        return options[self.below(len(options))]

    def coin(self, probability: float = 0.5) -> bool:
        """True with this probability."""
        return next(self._values) < probability


def noise(key: Key, part: int, shape: tuple[int, ...]) -> Floats:
    """Triangular noise of mean 0 in (-1, 1), standard deviation 0.408, float32."""
    count = int(np.prod(shape))
    halves = bits(key, part, -(-count // 2)).astype("<u8").view("<u2").reshape(-1, 2)[:count].astype(np.float32)
    return ((halves[:, 0] - halves[:, 1]) / 65536).reshape(shape)


def unit(x: Floats) -> Floats:
    """`x` cut to [0, 1]; several times faster than `clip` on small arrays."""
    return np.minimum(np.maximum(x, 0), 1)


def fraction(x: Any) -> Any:
    """The part of `x` behind the point, in [0, 1)."""
    return x - np.floor(x)


def triangle(turns: Any) -> Any:
    """A triangle wave of period 1: 0 at 0, 1 at 1/4, -1 at 3/4."""
    return np.abs(fraction(turns + 0.75) - 0.5) * 4 - 1


def sine(turns: Any) -> Any:
    """sin(2 pi turns) to 5e-6 by a minimax polynomial on the folded quarter turn."""
    x = triangle(turns)
    square = x * x
    return x * (1.5707963 + square * (-0.6459641 + square * (0.0796926 + square * (-0.0046818 + square * 0.00016044))))


def cosine(turns: Any) -> Any:
    """cos(2 pi turns)."""
    return sine(turns + 0.25)


def direction(turns: float) -> tuple[float, float]:
    """Cosine and sine of an angle as Python floats, which leave float32 arrays float32."""
    return float(cosine(turns)), float(sine(turns))
