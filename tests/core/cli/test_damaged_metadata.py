"""A damaged file of any distribution ends the import of torch: the commands that need it name that file."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def problem(site: Path) -> str:
    """A distribution beside the plugins has a bad line; what is said of it."""
    folder = site / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[console_scripts]\nno such thing\n")
    return (
        f"{folder}/entry_points.txt, line 2: 'no such thing' is no entry point: importlib.metadata, which torch asks at its "
        "import, fails on it; mend it, or install that distribution again"
    )


def test_a_command_that_needs_torch(run: Run, problem: str) -> None:
    done = run("train", "quickstart", "--dry-run")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {problem}\n")


def test_commands_that_look_for_faults(run: Run, problem: str) -> None:
    assert f"problem: {problem}\n" in run("env").stderr
    done = run("plugins", "doctor", "clidemo")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"problem: {problem}\n" in done.stdout


def test_the_list_is_as_ever(run: Run, problem: str) -> None:
    done = run("plugins", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "unlabeled-clidemo" in done.stdout
