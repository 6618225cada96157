"""Series to test with, of unequal length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unlabeled import View
from unlabeled.testing import make_view
from unlabeled_timeseries.modality import Series, SeriesConfig

LENGTHS = (40, 23, 31, 2, 1, 40)


@pytest.fixture
def cells() -> Callable[..., list[np.ndarray]]:
    """Random walks (T, C) of the lengths given."""

    def make(lengths: tuple[int, ...] = LENGTHS, channels: int = 3, seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [generator.normal(size=(length, channels)).cumsum(axis=0) for length in lengths]

    return make


@pytest.fixture
def fitted(cells: Callable[..., list[np.ndarray]]) -> Callable[..., Series]:
    """A modality that has seen the series of `cells`."""

    def fit(lengths: tuple[int, ...] = LENGTHS, channels: int = 3, **options: Any) -> Series:
        modality = Series(SeriesConfig(**options))
        modality.fit(cells(lengths, channels))
        return modality

    return fit


@pytest.fixture
def view_of(cells: Callable[..., list[np.ndarray]], fitted: Callable[..., Series]) -> Callable[..., View]:
    """The series of `cells` as a view."""

    def make(lengths: tuple[int, ...] = LENGTHS, channels: int = 3, **options: Any) -> View:
        modality = fitted(lengths, channels)
        samples = [modality.decode(cell) for cell in cells(lengths, channels)]
        return make_view(modality.collate(samples), encoder="series", role="strong", **options)

    return make
