"""`unlabeled plugins publish`, `yank` and `advise`, in processes of their own, and what `info` then tells."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.testing import write_wheel

from .test_plugin_index import MANIFEST

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def index(tmp_path: Path, run: Run) -> str:
    assert run("plugins", "index", "build", str(tmp_path / "index")).returncode == 0
    return str(tmp_path / "index")


def write(folder: Path, version: str) -> tuple[str, str]:
    """A wheel and the report of its check."""
    wheel = write_wheel(
        folder, "unlabeled-clifar", MANIFEST, {"__init__.py": "raise SystemExit('imported')\n"}, version
    )
    texts = {"promise": "object", "text": "it is there", "result": "passed", "message": ""}
    checks = [
        {"component": "", "kind": "plugin", **texts},
        {"component": "clifar/distant", "kind": "objective", **texts},
    ]
    counts = {"green": True, "required": 2, "ran": 2, "passed": 2, "sha256": read_wheel(wheel).sha256}
    report = {"schema": 1, "plugin": "unlabeled-clifar", "version": version, "checks": checks, **counts}
    (folder / f"{version}.json").write_text(json.dumps(report))
    return str(wheel), str(folder / f"{version}.json")


def test_from_publishing_to_an_advisory(run: Run, index: str, tmp_path: Path) -> None:
    for version in ("1.0", "1.1"):
        wheel, report = write(tmp_path, version)
        Path(f"{wheel}.provenance").write_text("{}")
        done = run("plugins", "publish", wheel, "--index", index, "--report", report)
        sha256 = read_wheel(Path(wheel)).sha256
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"published unlabeled-clifar {version}: 2 of 2 promises kept; sha256 {sha256}\n"
    done = run("plugins", "publish", wheel, "--index", index)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: unlabeled_clifar-1.1-py3-none-any.whl: version 1.1 was published before, as this very file; "
        "a version never changes: give a new one\n"
    )
    done = run("plugins", "yank", "clifar==1.0", "--reason", "too far", "--index", index)
    assert (done.returncode, done.stdout) == (0, "unlabeled-clifar 1.0: yanked (too far)\n")
    line = ["clifar", "--affects", "<2", "--id", "A-1", "--summary", "Gets lost", "--fixed-in", "2.0", "--index", index]
    assert run("plugins", "advise", *line).stdout == "unlabeled-clifar 1.0, 1.1: under advisory A-1\n"
    told = run("plugins", "info", "clifar", "--index", index).stdout.splitlines()
    assert "conformance: 2 of 2 checks passed" in told
    assert "attestations: in the index, beside the wheel (PEP 740); who signed them is not checked here" in told
    assert "advisory A-1: Gets lost (2.0 mends it)" in told
    assert "versions: 1.1, 1.0 (yanked: too far)" in told
    done = run("plugins", "advise", "clifar", "--id", "A-1", "--undo", "--index", index)
    assert done.stdout == "unlabeled-clifar 1.0, 1.1: no longer under advisory A-1\n"
    done = run("plugins", "yank", "clifar==1.0", "--undo", "--index", index)
    assert done.stdout == "unlabeled-clifar 1.0: no longer yanked\n"
    assert run("plugins", "index", "verify", index).returncode == 0


def test_what_is_given_wrongly(run: Run, index: str, tmp_path: Path) -> None:
    wheel, _ = write(tmp_path, "1.0")
    for line, problem in {
        (
            "publish",
            wheel,
            "--index",
            index,
        ): f"there is no report of its check; `unlabeled plugins check {wheel} --json",
        (
            "publish",
            wheel,
            "--index",
            str(tmp_path / "none"),
        ): f"{tmp_path}/none: holds no index (plugins.json is missing)",
        ("publish", wheel, "--index", "https://127.0.0.1:9/"): "https:/127.0.0.1:9: holds no index",
        ("yank", "clifar==1.0", "--index", index): "give either --reason TEXT or --undo",
        ("yank", "clifar==1.0", "--index", index, "--undo"): "no plugin 'clifar' in the index",
        ("advise", "clifar", "--id", "A", "--affects", "<2", "--index", index): "give either --affects RANGE and",
        (
            "advise",
            "clifar",
            "--id",
            "A",
            "--summary",
            "x",
            "--undo",
            "--index",
            index,
        ): "give either --affects RANGE and",
        ("advise", "clifar", "--id", "A", "--undo", "--index", index): "no plugin 'clifar' in the index",
    }.items():
        done = run("plugins", *line)
        assert done.returncode == 2
        (told,) = done.stderr.splitlines()
        assert problem in told, told


def test_nothing_heavy_and_no_plugin_is_imported(environment: dict[str, str], index: str, tmp_path: Path) -> None:
    wheel, report = write(tmp_path, "1.0")
    heavy = {"torch", "transformers", "datasets", "pydantic", "numpy", "unlabeled_clidemo", "unlabeled_clifar"}
    code = (
        "import sys\nfrom unlabeled.cli.main import main\n"
        f"try:\n    main(['plugins', *sys.argv[1:]])\nfinally:\n    print(*({heavy!r} & sys.modules.keys()), file=sys.stderr)\n"
    )
    for line in (
        ["publish", wheel, "--index", index, "--report", report],
        ["yank", "clifar==1.0", "--index", index, "--reason", "x"],
        ["advise", "clifar", "--affects", "<2", "--id", "A", "--summary", "x", "--index", index],
        ["policy", "write", "--editable"],
        ["policy", "check"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *line], env=environment, capture_output=True, text=True)
        assert done.stderr.splitlines()[-1] == "", done.stderr
