"""What tests share: offline, two threads at most, caches of their own, and a third-party plugin installed as anyone would."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

TESTS = Path(__file__).parent
Recipe = dict[str, Any]


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("caches")
    os.environ.update(
        UNLABELED_CACHE=str(root / "unlabeled"),
        UNLABELED_CONFIG=str(root / "config"),
        HF_HOME=str(root / "huggingface"),
    )


def install(source: Path, target: Path) -> Path:
    """A distribution built and installed into a folder of its own, from which this process imports too."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(target), str(source)], check=True)
    sys.path.insert(0, str(target))
    return target


@pytest.fixture(scope="session")
def rows_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example plugin of tests/third_party, built and installed as a distribution of its own; the folder it is in."""
    return install(TESTS / "third_party" / "unlabeled-rows", tmp_path_factory.mktemp("site-packages"))


@pytest.fixture(scope="session")
def memory_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, of objectives with state and of a world with missing cells."""
    return install(TESTS / "third_party" / "unlabeled-memory", tmp_path_factory.mktemp("site-packages"))


@pytest.fixture(scope="session")
def processes(rows_plugin: Path, memory_plugin: Path) -> Iterator[Any]:
    """Processes that are started once for all tests of invariance."""
    from unlabeled.testing import Processes

    with Processes() as started:
        yield started


@pytest.fixture(scope="session")
def rows_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 rows of 32 numbers around five centres, with their labels."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 300)
    values = generator.normal(size=(5, 32))[labels] + generator.normal(size=(300, 32))
    path = tmp_path_factory.mktemp("data") / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"values": values.tolist(), "label": labels}), path)
    return path


@pytest.fixture
def rows_recipe(rows_plugin: Path, rows_table: Path) -> Recipe:
    """A small recipe of the example plugin."""
    return {
        "summary": "Rows of numbers",
        "modalities": {"row": {"id": "rows/row", "width": 32}},
        "data": {"source": str(rows_table), "label": "label", "workers": 0},
        "objectives": [{"id": "rows/align-uniform"}],
        "training": {"steps": 12, "batch_size": 32, "learning_rate": 1e-3, "log_every": 1, "checkpoint_every": 4},
    }


@pytest.fixture(scope="session")
def command(rows_plugin: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `unlabeled ARGUMENTS` in a process of its own, with the example plugin installed."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(rows_plugin), **variables}
        line = [sys.executable, "-m", "unlabeled", *arguments]
        return subprocess.run(line, capture_output=True, text=True, env=environment, check=False)

    return run
