"""Small plugins, and a stand-in for the conformance kit that does what a plugin's package tells it to."""

import importlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.check.check import check
from unlabeled_registry.testing import write_wheel

KIT = """\
import importlib, json, os, subprocess, sys, time
from importlib.metadata import version

name, _, file = sys.argv[1:]
plugin = importlib.import_module(name.replace("-", "_"))
print("checking", name, flush=True)
does = getattr(plugin, "DOES", "passes")
if does == "waits":  # until somebody has heard of the first part
    print("[1/2] plugin: 1 of 1 kept, 0.1 s\\x1b[2J", flush=True)
    print("whatever a plugin prints", flush=True)
    open(plugin.UNTIL).read()
if does == "hangs":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    time.sleep(60)
if does == "crashes":
    os.kill(os.getpid(), 11)
if does == "refuses":
    sys.exit("plugin 'unlabeled-tiny' is failed: it cannot be used")
seen = {
    "package": plugin.__file__,
    "prefix": sys.prefix,
    "folder": os.getcwd(),
    "variables": {key: os.environ.get(key) for key in ("HF_HUB_OFFLINE", "UNLABELED_PLUGINS", "UNLABELED_CONFIG", "PYTHONPATH")},
    "path": sys.path,
    "says": getattr(plugin, "SAYS", ""),
}
results = ["passed", "failed" if does == "fails" else "not-run" if does == "leaves-out" else "passed"]
checks = [
    {"component": "", "kind": "plugin", "promise": "import", "text": "it can be imported", "result": results[0],
     "message": json.dumps(seen), "seconds": 0.1},
    {"component": "tiny/start", "kind": "recipe", "promise": "trains", "text": "two steps train", "result": results[1],
     "message": "" if results[1] == "passed" else "the loss is not finite", "seconds": 0.1},
]
passed = results.count("passed")
green = passed == 2
report = {
    "schema": 1, "plugin": name, "version": version(name), "green": green, "required": 2,
    "ran": 2 - results.count("not-run"), "passed": passed, "checks": checks, "unlabeled": "9", "torch": "9", "python": "3",
}
report |= getattr(plugin, "LIES", {})
with open(file, "w") as target:
    json.dump(report, target)
sys.exit(0 if green else 1)
"""
MANIFEST = """\
schema = 1
name = "unlabeled-tiny"
api = ">=1.0,<2"
summary = "A tiny plugin"

[[provides]]
kind = "recipe"
id = "start"
object = "unlabeled_tiny:start.yaml"
summary = "A recipe"
"""
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "unlabeled-tiny"
version = "1.0"
requires-python = ">=3.11"
dependencies = []

[project.entry-points."unlabeled.plugins"]
tiny = "unlabeled_tiny"

[tool.hatch.build.targets.wheel]
packages = ["unlabeled_tiny"]
"""
Check = Callable[..., dict[str, Any]]
Wheel = Callable[..., Path]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, so that a test sees what is left there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the running environment's import path, which holds the stand-in for the kit."""
    site = tmp_path / "running"
    (site / "unlabeled" / "testing").mkdir(parents=True)
    (site / "unlabeled" / "__init__.py").write_text("")
    (site / "unlabeled" / "testing" / "__init__.py").write_text("")
    (site / "unlabeled" / "testing" / "__main__.py").write_text(KIT)
    monkeypatch.syspath_prepend(str(site))
    yield site
    importlib.invalidate_caches()


@pytest.fixture
def run(running: Path) -> Check:
    """Check a path, by the stand-in."""

    def run(path: Path, **options: Any) -> dict[str, Any]:
        return check(path, **({"from_scratch": False, "keep": False, "limit": 60, "tell": lambda text: None} | options))

    return run


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    """A tiny plugin's wheel, of this code and these further lines of METADATA."""

    def wheel(code: str = "", metadata: str = "", manifest: str = MANIFEST) -> Path:
        files = {"__init__.py": code, "start.yaml": "summary: none\n"}
        return write_wheel(tmp_path / "wheels", "unlabeled-tiny", manifest, files, metadata=metadata)

    return wheel


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tiny plugin's project."""
    folder = tmp_path / "project"
    package = folder / "unlabeled_tiny"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("")
    (package / "unlabeled.toml").write_text(MANIFEST)
    (package / "start.yaml").write_text("summary: none\n")
    return folder
