"""An installation that fails, is interrupted or killed leaves the environment byte for byte as it was."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

World = Any


@pytest.fixture
def installed(world: World) -> World:
    """An environment with release 1.0 of a plugin, and 2.0 in the index."""
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    world.plugin("unlabeled-tones", "2.0")
    return world


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise OSError('no licence')\n", "importing unlabeled_tones: OSError: no licence"),
        ("raise SystemExit(0)\n", "importing unlabeled_tones: SystemExit: 0"),
        ("import os; os._exit(3)\n", "importing unlabeled_tones: ends the process with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)\n", "importing unlabeled_tones: ends the process with SIGSEGV"),
    ],
)
def test_a_plugin_whose_import_fails_is_not_installed(world: World, code: str, cause: str) -> None:
    world.plugin("unlabeled-tones", code=code)
    assert f"unlabeled-tones 1.0: {cause}; nothing was installed" in world.refused("install", "tones", "--yes")
    assert world.packages() == {}


FAILS = """
import {module} as module

def fail(*arguments):
    {do}

kept = module.{name}
def replaced(*arguments, **named):
    result = kept(*arguments, **named)
    fail()
    return result
module.{name} = replaced
from unlabeled.cli.main import main
main()
"""


def run_failing(world: World, *arguments: str, module: str, name: str, do: str) -> "subprocess.CompletedProcess[str]":
    """A command in which something happens right after a function of ours ran."""
    code = FAILS.format(module=module, name=name, do=do)
    command = [str(world.python), "-c", code, "plugins", *arguments]
    return subprocess.run(
        command, env=world.variables, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


OPERATIONS = "unlabeled_registry.install.operations"
REMOVAL = "unlabeled_registry.install.removal"
UNINSTALL = ("uninstall", "tones", "--yes")


def test_a_failure_after_the_files_were_written_brings_back_the_old_ones(installed: World) -> None:
    before = installed.snapshot()
    result = run_failing(
        installed, "upgrade", "--yes", module=OPERATIONS, name="_check_result", do="raise OSError('disk full')"
    )
    assert result.returncode == 1 and "disk full" in result.stderr
    assert installed.snapshot() == before


def test_an_interruption_brings_back_the_old_files(installed: World) -> None:
    before = installed.snapshot()
    result = run_failing(installed, *UNINSTALL, module=REMOVAL, name="write_record", do="raise KeyboardInterrupt")
    assert (result.returncode, result.stderr.strip()) == (130, "error: interrupted")
    assert installed.snapshot() == before


@pytest.mark.parametrize(
    ("command", "module"),
    [(UNINSTALL, REMOVAL), pytest.param(("upgrade", "--yes"), OPERATIONS, marks=pytest.mark.slow)],
)
def test_the_command_after_a_kill_finishes_the_undoing_and_says_so(
    installed: World, command: tuple[str, ...], module: str
) -> None:
    before = installed.snapshot()
    kill = "import os; os.kill(os.getpid(), 9)"
    assert run_failing(installed, *command, module=module, name="write_record", do=kill).returncode == -signal.SIGKILL
    assert installed.snapshot() != before
    told = installed.run("list")
    assert "undone: " in told.stderr and "which was cut off; the environment is as it was before" in told.stderr
    assert "unlabeled-tones" in told.stdout
    assert installed.snapshot() == before
    assert installed.run("list").stderr == ""


def test_a_kill_while_pip_writes(installed: World) -> None:
    """What pip has moved aside is forgotten by pip, and not by us."""
    before = installed.snapshot()
    package = installed.site / "unlabeled_tones"
    do = f"import os; os.rename({str(package)!r}, {str(package.with_name('~nlabeled_tones'))!r}); os.kill(os.getpid(), 9)"
    run_failing(installed, "upgrade", "--yes", module="unlabeled_registry.install.transaction", name="_begin", do=do)
    assert not package.exists()
    installed.run("list")
    assert installed.snapshot() == before


def test_an_installation_that_still_runs_is_not_undone(installed: World) -> None:
    """The next command waits for the children of one that was killed: they hold its lock."""
    read, write = os.pipe()
    child = (
        "import subprocess, sys, os\n"
        "from pathlib import Path\n"
        "from unlabeled_registry.install.transaction import transaction\n"
        f"path = Path({str(installed.site / 'late.py')!r})\n"
        "with transaction('a slow change', [path]) as lock:\n"
        f"    subprocess.Popen([sys.executable, '-c', 'import os, sys; os.read(0, 1); open(sys.argv[1], \"w\").close()', str(path)], stdin={read}, pass_fds=[lock.fileno()])\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    before = installed.snapshot()
    subprocess.run([str(installed.python), "-c", child], env=installed.variables, pass_fds=[read], check=False)
    os.close(read)
    waiting = subprocess.Popen(
        [str(installed.python), "-m", "unlabeled", "plugins", "list"],
        env=installed.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=1)
    os.write(write, b"x")
    os.close(write)
    _, told = waiting.communicate(timeout=60)
    assert "undone: a slow change" in told
    assert not Path(installed.site / "late.py").exists()
    assert installed.snapshot() == before
