"""What a cell holds: the numbers of one series."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Literal

import numpy as np

Missing = Literal["error", "interpolate"]


def read_series(cell: Any, missing: Missing) -> np.ndarray:
    """(T, C) float64, finite, of nested lists, an array, or an .npy file ({path, bytes}); `ValueError` with the reason."""
    values = _as_array(cell)
    if values.ndim == 1:
        values = values[:, np.newaxis]
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"series has shape {list(values.shape)}; it must be [steps] or [steps][channels]")
    if np.isinf(values).any():
        raise ValueError("series has infinite values")
    if not np.isnan(values).any():
        return values
    if missing == "error":
        raise ValueError("series has missing values; set `missing: interpolate` to fill them")
    return interpolate_missing(values)


def interpolate_missing(values: np.ndarray) -> np.ndarray:
    """(T, C) with NaN replaced on the line between its neighbours in time; at the ends by the nearest value."""
    places, filled = np.arange(len(values)), values.copy()
    for channel, column in enumerate(values.T):
        known = ~np.isnan(column)
        if not known.any():
            raise ValueError(f"series has no values at all in channel {channel}")
        filled[:, channel] = np.interp(places, places[known], column[known])
    return filled


def _as_array(cell: Any) -> np.ndarray:
    """The cell as float64, of any shape."""
    if isinstance(cell, Mapping):
        cell = _load(cell)
    if isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.tolist()
    try:
        return np.asarray(cell, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("series is not a list of numbers, or its steps have unequal numbers of channels") from None


def _load(file: Mapping[str, Any]) -> np.ndarray:
    """The array of an .npy file."""
    content = file.get("bytes")
    try:
        array: np.ndarray = np.load(file["path"] if content is None else BytesIO(content), allow_pickle=False)
    except (KeyError, OSError, ValueError, EOFError) as error:
        raise ValueError(f"{file.get('path') or 'series'}: no readable .npy array: {error}") from None
    return array
