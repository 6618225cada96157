"""The command line in processes of its own, with fake plugins on the import path."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled_registry.testing import write_distribution

Run = Callable[..., "subprocess.CompletedProcess[str]"]

DEMO = """\
schema = 1
name = "unlabeled-clidemo"
api = ">=1.0,<2"
summary = "A demonstration"
uses = ["standard/random-masking"]

[[provides]]
kind = "modality"
id = "signal"
object = "unlabeled_clidemo.parts:Signal"
summary = "Signals"
encoder = "clidemo/net"

[[provides]]
kind = "encoder"
id = "net"
object = "unlabeled_clidemo.parts:Net"
summary = "A network"
modalities = ["clidemo/signal"]
provides = ["layers"]

[[provides]]
kind = "objective"
id = "fitting"
object = "unlabeled_clidemo.parts:Fitting"
summary = "Needs what the network has"
requires = ["layers"]

[[provides]]
kind = "objective"
id = "demanding"
object = "unlabeled_clidemo.parts:Demanding"
summary = "Needs what the network lacks"
requires = ["causal"]

[[provides]]
kind = "recipe"
id = "clidemo-start"
object = "unlabeled_clidemo:recipes/start.yaml"
summary = "A first recipe"
"""
RECIPE = "# What to change for a GPU: the batch size\nobjectives:\n  - fitting\n"
FILES = {
    "__init__.py": "raise SystemExit('imported')\n",
    "parts.py": "raise SystemExit('imported')\n",
    "recipes/start.yaml": RECIPE,
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed plugins that holds `unlabeled-clidemo`, whose import ends the process."""
    write_distribution(tmp_path / "site", "unlabeled-clidemo", DEMO, FILES)
    return tmp_path / "site"


@pytest.fixture
def environment(site: Path, tmp_path: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    variables = {name: value for name, value in os.environ.items() if name != "UNLABELED_PLUGINS"}
    return variables | {"PYTHONPATH": path, "UNLABELED_CONFIG": str(tmp_path / "config")}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run `unlabeled` with arguments; other plugins may be installed too."""

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "unlabeled", *arguments]
        return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)

    return run
