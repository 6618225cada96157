"""`plugins check` from the command line, and a new plugin from `plugins new` to green."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unlabeled.cli.main import main
from unlabeled.cli.plugins.check import print_report
from unlabeled_registry.testing import write_wheel

HEADER = 'schema = 1\nname = "unlabeled-{name}"\napi = ">=1.0,<2"\nsummary = "Tiny"\n'


def unlabeled(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "unlabeled", "plugins", *arguments]
    variables = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def outcome(result: str, message: str = "") -> dict[str, Any]:
    texts = {"component": "tiny/net", "kind": "encoder", "promise": "rows", "text": "rows are alike"}
    return {**texts, "result": result, "message": message, "seconds": 0.1}


def test_the_report_names_each_promise_that_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [outcome("passed"), outcome("failed", "row 1 differs by 0.5"), outcome("not-run", "no data")]
    checks.append(outcome("passed") | {"component": "", "kind": "plugin"})
    counts = {"green": False, "required": 4, "ran": 3, "passed": 2, "sha256": "ab"}
    print_report({"plugin": "unlabeled-tiny", "version": "1.0", "checks": checks, **counts})
    assert capsys.readouterr().out.splitlines() == [
        "KIND     COMPONENT       KEPT",
        "encoder  tiny/net        1 of 3",
        "plugin   unlabeled-tiny  1 of 1",
        "failed: encoder tiny/net: rows (rows are alike): row 1 differs by 0.5",
        "not-run: encoder tiny/net: rows (rows are alike): no data",
        "red: unlabeled-tiny 1.0: 2 of 4 promises kept, 3 checked; sha256 ab",
    ]


def test_one_defect_that_breaks_many_promises_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    cause = "TypeError: no such argument (net.py, line 7)"
    names = [f"promise-{number}" for number in range(28)]
    checks = [outcome("failed", cause) | {"promise": name} for name in names]
    checks += [outcome("failed", "row 1 differs by 0.5"), outcome("failed", cause) | {"component": "tiny/other"}]
    counts = {"green": False, "required": 30, "ran": 30, "passed": 0, "sha256": "ab"}
    print_report({"plugin": "unlabeled-tiny", "version": "1.0", "checks": checks, **counts})
    assert capsys.readouterr().out.splitlines()[3:-1] == [
        f"failed: encoder tiny/net: {cause} (28 promises: {', '.join(names[:-1])} and {names[-1]})",
        "failed: encoder tiny/net: rows (rows are alike): row 1 differs by 0.5",
        f"failed: encoder tiny/other: rows (rows are alike): {cause}",
    ]


def test_what_cannot_be_checked_exits_with_2_and_shows_the_log(tmp_path: Path) -> None:
    wheel = write_wheel(
        tmp_path / "wheels",
        "unlabeled-tiny",
        HEADER.format(name="tiny") + "hooks = true\n",
        metadata="Requires-Dist: pluggy>=900\n",
    )
    done = unlabeled("check", str(wheel), "--json", "report.json", folder=tmp_path)
    assert done.returncode == 2
    *log, last = done.stderr.splitlines()
    assert last.startswith(f"error: {wheel.name}: cannot be installed: ")
    assert any(line.startswith("| ERROR: ") for line in log)
    assert not (tmp_path / "report.json").exists()


def test_red_exits_with_1_and_writes_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"green": False, "required": 1, "ran": 1, "passed": 0, "sha256": "ab", "file": "tiny.whl"}
    report = {"plugin": "unlabeled-tiny", "version": "1.0", "checks": [outcome("failed", "no")], **counts}
    monkeypatch.setattr("unlabeled.cli.plugins.check.check_plugin", lambda path, **options: report)
    with pytest.raises(SystemExit) as caught:
        main(["plugins", "check", "x.whl", "--json", str(tmp_path / "report.json")])
    assert caught.value.code == 1
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert capsys.readouterr().out.splitlines()[-1].startswith("red: unlabeled-tiny 1.0: 0 of 1")


HOLDS = """\
import signal, subprocess, sys
held = open({fifo!r}, "w")  # in this process and in the one that it starts, until both are gone
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], pass_fds=[held.fileno()])
print("held", file=held, flush=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_a_signal_ends_all_that_was_started_and_leaves_nothing(
    number: signal.Signals, code: int, word: str, tmp_path: Path
) -> None:
    fifo, scratch = tmp_path / "held", tmp_path / "scratch"
    os.mkfifo(fifo)
    scratch.mkdir()
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    manifest = HEADER.format(name="tiny") + "hooks = true\n"
    wheel = write_wheel(tmp_path / "wheels", "unlabeled-tiny", manifest, {"__init__.py": HOLDS.format(fifo=str(fifo))})
    line = [sys.executable, "-m", "unlabeled", "plugins", "check", str(wheel)]
    variables = {**os.environ, "TMPDIR": str(scratch)}

    # What runs the tests may ignore the signal (nohup, a shell's background job); whoever types the command does not.
    def answer() -> None:
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(line, env=variables, stderr=subprocess.PIPE, text=True, preexec_fn=answer) as process:
        assert select.select([reader], [], [], 100)[0], "the plugin was never imported"
        assert os.read(reader, 100) == b"held\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == code
    assert errors.splitlines()[-1] == f"error: {word}"
    assert select.select([reader], [], [], 100)[0], "what the plugin started still runs"
    assert os.read(reader, 100) == b""
    assert list(scratch.iterdir()) == []
    os.close(reader)


@pytest.mark.slow
def test_a_plugin_that_breaks_promises_exits_with_1(tmp_path: Path) -> None:
    wheel = write_wheel(
        tmp_path / "wheels",
        "unlabeled-tiny",
        HEADER.format(name="tiny") + "hooks = true\n",
        {"__init__.py": "import pickle\n"},
    )
    done = unlabeled("check", str(wheel), "--json", "report.json", folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "failed: plugin unlabeled-tiny: pickle (its code neither reads nor writes pickles)" in done.stdout
    assert "failed: plugin unlabeled-tiny: requirements (its distribution requires unlabeled)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("red: unlabeled-tiny 1.0: ")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["green"], report["file"]) == (False, wheel.name)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("unlabeled-check")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds", ["modality,encoder,augmentation,objective,evaluator,source,recipe", "modality,objective", "recipe"]
)
def test_a_new_plugin_is_green_with_no_edit(kinds: str, tmp_path: Path) -> None:
    done = unlabeled("new", "sensors", "--kind", kinds, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = unlabeled("check", "unlabeled-sensors", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("green: unlabeled-sensors 0.1.0: ")


@pytest.mark.slow
def test_what_was_checked_is_published(tmp_path: Path) -> None:
    assert unlabeled("new", "sensors", "--kind", "modality,objective", folder=tmp_path).returncode == 0
    line = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist"]
    subprocess.run([*line, "./unlabeled-sensors"], cwd=tmp_path, check=True)
    wheel = "dist/unlabeled_sensors-0.1.0-py3-none-any.whl"
    for arguments in (
        ["check", wheel, "--json", "report.json"],
        ["index", "build", "index"],
        ["publish", wheel, "--index", "index", "--report", "report.json"],
    ):
        done = unlabeled(*arguments, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("published unlabeled-sensors 0.1.0: ")
