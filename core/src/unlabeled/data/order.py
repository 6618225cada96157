"""Sample order: a function of (seed, epoch, position), in constant memory."""

import numpy as np

from unlabeled.interfaces.draws import hash_key

_ROUNDS = 6
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xBF58476D1CE4E5B9)


def _mix(value: np.ndarray, key: np.uint64) -> np.ndarray:
    value = (value ^ key) * _MULTIPLIER
    value = (value ^ (value >> np.uint64(29))) * _SECOND
    result: np.ndarray = value ^ (value >> np.uint64(32))
    return result


def sample_positions(seed: int, epoch: int, positions: np.ndarray, size: int, attempt: int = 0) -> np.ndarray:
    """The rows (0..size-1) at `positions` of an epoch, int64; each epoch is a permutation of all rows.

    `attempt` above 0 is the substitute for a row that could not be decoded: any row, by key.
    """
    if attempt:
        return any_row(positions, size, "substitute", seed, epoch, attempt)
    return permutation(positions, size, "order", seed, epoch)


def permutation(positions: np.ndarray, size: int, *key: object) -> np.ndarray:
    """Where each of `positions` (of 0..size-1) goes in the permutation that belongs to `key`, int64.

    A Feistel network over the next even power of two, walked until it falls inside (Black and Rogaway, 2002): nothing is
    stored, whatever the size.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = [np.uint64(hash_key(*key, number) % 2**64) for number in range(_ROUNDS)]
    values = _permute(positions.astype(np.uint64), keys, half)
    outside = values >= size
    while outside.any():
        values[outside] = _permute(values[outside], keys, half)
        outside = values >= size
    return values.astype(np.int64)


def any_row(positions: np.ndarray, size: int | np.ndarray, *key: object) -> np.ndarray:
    """A row (0..size-1, one size or one each) for each of `positions`, int64, by hash: rows repeat."""
    with np.errstate(over="ignore"):
        mixed = _mix(positions.astype(np.uint64), np.uint64(hash_key(*key) % 2**64))
    return (mixed % np.asarray(size, dtype=np.uint64)).astype(np.int64)


def _permute(values: np.ndarray, keys: list[np.uint64], half: int) -> np.ndarray:
    mask = np.uint64(2**half - 1)
    left, right = values >> np.uint64(half), values & mask
    with np.errstate(over="ignore"):
        for key in keys:
            left, right = right, left ^ (_mix(right, key) & mask)
    return (left << np.uint64(half)) | right


def share(rows: int, part: int, parts: int) -> slice:
    """The contiguous share of `rows` that belongs to `part` of `parts`; shares differ by one row at most."""
    return slice(rows * part // parts, rows * (part + 1) // parts)


def steps_per_epoch(size: int, batch_size: int, drop_last: bool) -> int:
    """Optimizer steps of one epoch."""
    return size // batch_size if drop_last else -(-size // batch_size)


def step_positions(step: int, size: int, batch_size: int, drop_last: bool) -> tuple[int, np.ndarray]:
    """The epoch of a step and the positions within it, int64, of all its rows over all processes."""
    epoch, number = divmod(step, steps_per_epoch(size, batch_size, drop_last))
    return epoch, np.arange(number * batch_size, min((number + 1) * batch_size, size), dtype=np.int64)
