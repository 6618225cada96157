"""An import path that holds the standard library and fake distributions, and no installed plugin."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli  # noqa: F401  discovery imports it only where it reads a manifest, when `site` has hidden where it lies


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder on the import path, in an environment without settings."""
    folder = tmp_path / "site"
    folder.mkdir()
    library = [path for path in sys.path if "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(folder), *library])
    monkeypatch.setenv("UNLABELED_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("UNLABELED_PLUGINS", raising=False)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]
