"""Sample order is a function of (seed, epoch, position)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled.data.order import sample_positions, share, step_positions, steps_per_epoch


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**31), epoch=st.integers(0, 1000))
def test_each_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    order = sample_positions(seed, epoch, np.arange(size), size)
    assert sorted(order.tolist()) == list(range(size))


def test_positions_are_independent_of_each_other() -> None:
    size = 10_007
    order = sample_positions(1, 2, np.arange(size), size)
    some = np.array([5, 9_999, 17])
    assert sample_positions(1, 2, some, size).tolist() == order[some].tolist()


def test_constant_memory_whatever_the_size() -> None:
    rows = sample_positions(0, 0, np.arange(1000), 10**15)
    assert len(set(rows.tolist())) == 1000
    assert 0 <= rows.min()
    assert rows.max() < 10**15


def test_epochs_and_seeds_differ_and_look_random() -> None:
    first = sample_positions(0, 0, np.arange(5000), 5000)
    for other in (sample_positions(0, 1, np.arange(5000), 5000), sample_positions(1, 0, np.arange(5000), 5000)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.05
    assert abs(np.corrcoef(first, np.arange(5000))[0, 1]) < 0.05


def test_substitutes_are_keyed_and_differ_by_attempt() -> None:
    position = np.array([3])
    found = [int(sample_positions(0, 0, position, 1000, attempt)[0]) for attempt in range(1, 20)]
    assert len(set(found)) > 15
    assert found[0] == int(sample_positions(0, 0, position, 1000, 1)[0])


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_shares_are_contiguous_and_whole(parts: int) -> None:
    shares = [share(20, part, parts) for part in range(parts)]
    assert [row for part in shares for row in range(20)[part]] == list(range(20))


def test_last_batch() -> None:
    assert steps_per_epoch(10, 4, drop_last=True) == 2
    assert steps_per_epoch(10, 4, drop_last=False) == 3
    epoch, positions = step_positions(5, 10, 4, drop_last=False)
    assert (epoch, positions.tolist()) == (1, [8, 9])
