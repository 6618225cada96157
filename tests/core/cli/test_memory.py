import ctypes
from types import SimpleNamespace

import pytest

from unlabeled.cli.memory import keep_freed_memory


def test_large_pieces_come_from_the_heap_and_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[int, int] = {}
    library = SimpleNamespace(mallopt=chosen.__setitem__)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    keep_freed_memory()
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    assert chosen == {mmap_threshold: 2**30, trim_threshold: 2**30, top_pad: 2**26}


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def missing(name: str) -> None:
        asked.append(name)
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    keep_freed_memory()
    assert asked == ["libc.so.6"]
