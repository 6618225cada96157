import ctypes

import pytest

from unlabeled.cli.memory import keep_freed_memory


def test_it_may_be_asked_for_again() -> None:
    keep_freed_memory()
    keep_freed_memory()


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    keep_freed_memory()
