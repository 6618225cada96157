from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unlabeled import Draws
from unlabeled.testing import make_view
from unlabeled_timeseries.modality import Series, SeriesConfig

Cells = Callable[..., list[np.ndarray]]
Fit = Callable[..., Series]


def draws_of(number: int) -> Draws:
    return Draws(0, 0, torch.tensor([number]), "series", "strong")


def test_fit_learns_channels_longest_length_and_moments(cells: Cells, fitted: Fit) -> None:
    modality = fitted()
    every = np.concatenate(cells())
    assert modality.input_shape == (40, 3)
    assert modality.mean is not None and modality.std is not None
    np.testing.assert_allclose(modality.mean, every.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(modality.std, every.std(axis=0), rtol=1e-12)


def test_moments_survive_a_large_offset() -> None:
    modality = Series(SeriesConfig())
    generator = np.random.default_rng(0)
    series = [generator.normal(1e9, 1.0, size=(50, 1)) for _ in range(20)]
    modality.fit(series)
    assert modality.std is not None
    np.testing.assert_allclose(modality.std, np.concatenate(series).std(axis=0), rtol=1e-6)


def test_fit_goes_by_the_majority_and_leaves_bad_cells_to_quarantine(cells: Cells) -> None:
    modality = Series(SeriesConfig())
    modality.fit([None, "no numbers", [[1.0, 2.0]], *cells(channels=3)])
    assert modality.channels == 3
    with pytest.raises(ValueError, match=r"series has 2 channels, the training data have 3"):
        modality.decode([[1.0, 2.0], [3.0, 4.0]])


def test_fit_keeps_to_the_config(cells: Cells) -> None:
    modality = Series(SeriesConfig(channels=2, length=16))
    modality.fit([*cells(channels=3), *cells((30,), channels=2)])
    assert modality.input_shape == (16, 2)


@pytest.mark.parametrize(
    ("config", "cells", "message"),
    [
        ({}, [], "no training cell can be read: there are none"),
        ({}, [[]], r"shape \[0, 1\]"),
        ({"channels": 2}, [[1.0, 2.0]], "none has 2 channels"),
    ],
)
def test_fit_says_why_it_found_nothing(config: dict[str, Any], cells: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Series(SeriesConfig(**config)).fit(cells)


def test_save_and_restore(tmp_path: Path, cells: Cells, fitted: Fit) -> None:
    modality, other = fitted(), Series(SeriesConfig())
    modality.save(tmp_path)
    other.restore(tmp_path)
    assert other.input_shape == modality.input_shape
    for cell in cells():
        np.testing.assert_array_equal(other.decode(cell)["past_values"], modality.decode(cell)["past_values"])


def test_before_fit_everything_that_needs_it_says_so(tmp_path: Path) -> None:
    modality = Series(SeriesConfig())
    for use in (lambda: modality.input_shape, lambda: modality.decode([1.0]), lambda: modality.save(tmp_path)):
        with pytest.raises(ValueError, match="fit"):
            use()


@pytest.mark.parametrize(
    "cell",
    [
        [1.0, 2.0, 3.0],
        [[1.0], [2.0], [3.0]],
        np.array([1, 2, 3]),
        np.array([np.array([1.0]), np.array([2.0]), [3.0]], dtype=object),
    ],
)
def test_every_way_to_write_a_univariate_series(cell: Any) -> None:
    modality = Series(SeriesConfig(normalization="none"))
    values = modality.decode(cell)["past_values"]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[1.0], [2.0], [3.0]])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("abc", "not a list of numbers"),
        ([[1.0], [1.0, 2.0]], "unequal numbers of channels"),
        (None, "missing values|must be"),
        (3.0, r"shape \[\]"),
        ([[[1.0]]], r"shape \[1, 1, 1\]"),
        ([], r"shape \[0, 1\]"),
        ([1.0, float("inf")], "infinite"),
        ([1.0, None], "set `missing: interpolate`"),
        ([1e300, 0.0], "too large"),
    ],
)
def test_unreadable_cells_say_why(cell: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Series(SeriesConfig(normalization="none")).decode(cell)


def test_npy_files_by_path_and_by_content(tmp_path: Path) -> None:
    modality = Series(SeriesConfig(normalization="none"))
    path = tmp_path / "walk.npy"
    np.save(path, np.arange(6).reshape(3, 2))
    for cell in ({"path": str(path), "bytes": None}, {"path": None, "bytes": path.read_bytes()}):
        np.testing.assert_array_equal(modality.decode(cell)["past_values"], np.arange(6).reshape(3, 2))
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"walk.npy: no readable .npy array"):
        modality.decode({"path": str(path), "bytes": None})


def test_missing_values_are_interpolated_channel_by_channel() -> None:
    modality = Series(SeriesConfig(normalization="none", missing="interpolate"))
    nan = float("nan")
    cell = [[nan, 0.0], [1.0, 0.0], [nan, nan], [nan, 6.0], [7.0, nan]]
    expected = [[1.0, 0.0], [1.0, 0.0], [3.0, 3.0], [5.0, 6.0], [7.0, 6.0]]
    np.testing.assert_allclose(modality.decode(cell)["past_values"], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="no values at all in channel 1"):
        modality.decode([[1.0, nan], [2.0, nan]])


def test_normalization_over_the_series_and_of_a_constant() -> None:
    modality = Series(SeriesConfig(normalization="series"))
    values = modality.decode([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])["past_values"]
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(values.std(axis=0), [1.0, 0.0], atol=1e-6)


def test_normalization_over_the_data_set(cells: Cells, fitted: Fit) -> None:
    modality = fitted()
    values = np.concatenate([modality.decode(cell)["past_values"] for cell in cells()])
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=0), 1.0, atol=1e-5)


def test_collate_pads_every_batch_to_the_same_length(cells: Cells, fitted: Fit) -> None:
    modality = fitted()
    samples = [modality.decode(cell) for cell in cells()]
    batch = modality.collate(samples[1:3])
    assert batch["past_values"].shape == batch["past_observed_mask"].shape == (2, 40, 3)
    assert batch["past_observed_mask"].dtype == torch.bool
    for row, sample in enumerate(samples[1:3]):
        steps = len(sample["past_values"])
        np.testing.assert_array_equal(batch["past_values"][row, :steps], sample["past_values"])
        assert batch["past_values"][row, steps:].count_nonzero() == 0
        assert batch["past_observed_mask"][row].sum(dim=0).tolist() == [steps] * 3


def test_a_longer_series_gives_windows_in_training_and_its_middle_in_evaluation() -> None:
    modality = Series(SeriesConfig(channels=1, length=8, normalization="none"))
    sample = modality.decode(np.arange(20.0))
    plain = modality.take(sample, draws_of(0), "plain")["past_values"][:, 0]
    assert plain.tolist() == list(range(6, 14))
    starts = set()
    for number in range(300):
        values = modality.take(sample, draws_of(number), "strong")["past_values"][:, 0]
        assert values.tolist() == list(range(int(values[0]), int(values[0]) + 8))
        starts.add(int(values[0]))
    assert starts == set(range(13))
    again = modality.take(sample, draws_of(5), "strong")["past_values"]
    np.testing.assert_array_equal(again, modality.take(sample, draws_of(5), "strong")["past_values"])


def test_raw_features_are_the_flat_series(cells: Cells, fitted: Fit) -> None:
    modality = fitted()
    batch = make_view(modality.collate([modality.decode(cell) for cell in cells()]))
    raw = modality.raw(batch)
    assert raw.shape == (6, 120) and raw.dtype == torch.float32
    torch.testing.assert_close(raw.reshape(6, 40, 3), batch.inputs["past_values"])


def test_blank_and_show(cells: Cells, fitted: Fit) -> None:
    modality = fitted()
    blank = modality.collate([modality.blank()])
    assert blank["past_observed_mask"].all() and not blank["past_values"].any()
    for sample in (modality.decode(cells()[0]), modality.blank(), modality.decode(cells()[4])):
        picture = modality.show(sample)
        assert picture.shape == (96, 192, 3) and picture.dtype == np.uint8
        assert (picture != 255).any(axis=(0, 2)).all()


@pytest.mark.parametrize(
    "options", [{"channels": 0}, {"length": 1}, {"missing": "drop"}, {"normalization": "z"}, {"x": 1}]
)
def test_config_is_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SeriesConfig(**options)
