"""`unlabeled plugins index`, `search` and `info` of what is not installed, in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled_registry.testing import write_wheel

Run = Callable[..., "subprocess.CompletedProcess[str]"]

MANIFEST = """\
schema = 1
name = "unlabeled-clifar"
api = ">=1.0,<2"
summary = "Not installed"

[[provides]]
kind = "objective"
id = "distant"
object = "unlabeled_clifar:Distant"
summary = "An objective from afar"
"""
IMPORTED = {"__init__.py": "raise SystemExit('imported')\n"}


@pytest.fixture
def index(tmp_path: Path, run: Run) -> str:
    """An index of unlabeled-clifar, which is not installed, and of a newer unlabeled-clidemo than the installed one."""
    write_wheel(tmp_path / "wheels", "unlabeled-clifar", MANIFEST, IMPORTED, "1.0", "Requires-Dist: numpy>=2\n")
    write_wheel(tmp_path / "wheels", "unlabeled-clifar", MANIFEST, IMPORTED, "1.1", "Requires-Dist: numpy>=2\n")
    near = MANIFEST.replace("clifar", "clidemo").replace("Not installed", "Newer").replace("from afar", "from nearby")
    write_wheel(tmp_path / "wheels", "unlabeled-clidemo", near, IMPORTED, "2.0")
    state = {"schema": 1, "yanked": {"unlabeled-clifar": {"1.0": "too far"}}}
    state["advisories"] = {
        "unlabeled-clifar": [{"id": "A-1", "summary": "Gets lost", "affects": "<2", "fixed_in": None}]
    }
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "state.json").write_text(json.dumps(state))
    done = run("plugins", "index", "build", str(tmp_path / "index"), "--wheels", str(tmp_path / "wheels"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path}/index: 3 wheels of 2 plugins and 0 other distributions\n"
    return str(tmp_path / "index")


def test_build_and_verify(run: Run, index: str, tmp_path: Path) -> None:
    (tmp_path / "wheels" / "unlabeled_clifar-1.0.tar.gz").write_bytes(b"")
    done = run("plugins", "index", "build", index, "--wheels", str(tmp_path / "wheels"))
    assert done.stdout.startswith(
        "left out: unlabeled_clifar-1.0.tar.gz: a source distribution runs code when it is built"
    )
    done = run("plugins", "index", "verify", index)
    assert (done.returncode, done.stdout) == (0, f"{index}: every file is what its wheels make it\n")
    file = Path(index) / "plugins.json"
    file.write_text(file.read_text().replace("An objective from afar", "A better objective"))
    done = run("plugins", "index", "verify", index)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: unlabeled-clifar {version}: plugins.json was changed: its manifest is not that of "
        f"unlabeled_clifar-{version}-py3-none-any.whl"
        for version in ("1.0", "1.1")
    ]


def test_search(run: Run, index: str) -> None:
    done = run("plugins", "search", "afar", "--objective", "distant", "--kind", "objective", "--index", index)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(maxsplit=3) for line in done.stdout.splitlines()] == [
        ["NAME", "VERSION", "STATE", "SUMMARY"],
        ["unlabeled-clifar", "1.1", "available", "Not installed"],
    ]
    found = json.loads(run("plugins", "search", "--json", UNLABELED_INDEX=index).stdout)
    assert [(plugin["name"], plugin["version"], plugin["installed"]) for plugin in found] == [
        ("unlabeled-clidemo", "2.0", "1.0"),
        ("unlabeled-clifar", "1.1", None),
    ]
    assert found[1]["advisories"] == [{"id": "A-1", "summary": "Gets lost", "fixed_in": None}]
    done = run("plugins", "search", "--modality", "smell", "--index", index)
    assert done.stdout == "nothing among 2 plugins fits; `unlabeled plugins search` alone lists all\n"


def test_info_of_what_is_not_installed(run: Run, index: str) -> None:
    text = run("plugins", "info", "clifar", UNLABELED_INDEX=index).stdout
    assert text == (
        "unlabeled-clifar 1.1: available\nsummary: Not installed\napi: >=1.0,<2\npackage: unlabeled_clifar\n"
        "requires: numpy>=2\nconformance: no report\nattestations: none\nadvisory A-1: Gets lost (no version mends it yet)\n"
        "versions: 1.1, 1.0 (yanked: too far)\n\n"
        "KIND       ID              SUMMARY\nobjective  clifar/distant  An objective from afar\n"
    )
    answer = json.loads(run("plugins", "info", "clifar", "--json", UNLABELED_INDEX=index).stdout)
    assert (answer["state"], answer["components"][0]["id"]) == ("available", "clifar/distant")
    assert [release["yanked"] for release in answer["releases"]] == ["too far", None]


def test_info_of_what_is_installed_reads_no_index(run: Run, index: str) -> None:
    done = run("plugins", "info", "clidemo", UNLABELED_INDEX="http://127.0.0.1:9/nowhere")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "unlabeled-clidemo 1.0: enabled")
    done = run("plugins", "info", "clidemo", "--index", index)
    assert done.stdout.splitlines()[:2] == ["unlabeled-clidemo 2.0: available", "summary: Newer"]
    assert "\ninstalled: 1.0, which the index does not have\n" in done.stdout


def test_neither_installed_nor_in_the_index(run: Run, index: str) -> None:
    done = run("plugins", "info", "clifer", UNLABELED_INDEX=index)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].startswith("error: no plugin 'clifer' is installed")
    assert done.stderr.splitlines()[1] == f"error: no plugin 'clifer' in the index {index}; did you mean 'clifar'?"


def test_no_index(run: Run) -> None:
    done = run("plugins", "search", UNLABELED_INDEX="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no plugin index is named: give --index, set UNLABELED_INDEX, or write ")


@pytest.mark.parametrize(
    "arguments",
    [["search"], ["search", "afar", "--json"], ["info", "clifar"], ["index", "verify", "{index}"]],
    ids=" ".join,
)
def test_nothing_heavy_and_no_plugin_is_imported(environment: dict[str, str], index: str, arguments: list[str]) -> None:
    heavy = {"torch", "transformers", "datasets", "pydantic", "numpy", "unlabeled_clidemo", "unlabeled_clifar"}
    code = (
        "import sys\nfrom unlabeled.cli.main import main\n"
        f"try:\n    main(['plugins', *sys.argv[1:]])\nfinally:\n    print(*({heavy!r} & sys.modules.keys()), file=sys.stderr)\n"
    )
    line = [sys.executable, "-c", code, *(argument.format(index=index) for argument in arguments)]
    done = subprocess.run(line, env=environment | {"UNLABELED_INDEX": index}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\n")
    assert os.path.isdir(index)
