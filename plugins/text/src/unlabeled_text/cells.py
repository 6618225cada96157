"""The texts in a cell."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def read_texts(cell: Any) -> list[str]:
    """The texts of a cell: one for a str or UTF-8 bytes, several for a list of them, without those that are None.

    `ValueError` with the reason where the cell holds something else, or nothing.
    """
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, (list, tuple)):
        texts = [text for part in cell if part is not None for text in read_texts(part)]
        if not texts:
            raise ValueError("the list of texts is empty")
        return texts
    return [_read_text(cell)]


def readable_texts(cells: Iterable[Any]) -> Iterator[str]:
    """The texts of all cells that can be read, one after the other."""
    for cell in cells:
        try:
            texts = [] if cell is None else read_texts(cell)
        except ValueError:
            continue
        yield from texts


def _read_text(cell: Any) -> str:
    if isinstance(cell, bytes):
        try:
            return cell.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"the text is not UTF-8 (byte {error.start}); convert it to UTF-8") from None
    if not isinstance(cell, str):
        raise ValueError(f"expected a text, not {type(cell).__name__}")
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text holds half a surrogate pair at character {error.start}") from None
    return cell
