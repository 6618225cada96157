import json
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import click
import pytest

from unlabeled.cli import main as cli_main
from unlabeled.cli.main import COMMANDS, main
from unlabeled.cli.plugins.group import plugins as plugins_group
from unlabeled.errors import UnlabeledError
from unlabeled_registry.errors import PluginError
from unlabeled_registry.registry import discover

HEAVY = ("torch", "transformers", "datasets", "pydantic", "typer", "numpy", "unlabeled_clidemo")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module whose command `run` does what its `act` says, in the table of commands as `act`."""
    module = ModuleType("act_module")
    module.act = lambda: None  # type: ignore[attr-defined]
    module.run = click.Command("act", callback=lambda: module.act())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "act_module", module)
    monkeypatch.setitem(COMMANDS, "act", ("act_module:run", "Act."))
    return module


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    return end.value.code, output.out, output.err


def raising(error: BaseException) -> object:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    for name in list(sys.modules):
        if name.startswith("unlabeled.cli.") and name != "unlabeled.cli.main":
            del sys.modules[name]
    code, out, err = result(capsys, *arguments)
    assert (code, err) == (0, "")
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in out
        assert summary in out
    assert [name for name in sys.modules if name.startswith("unlabeled.cli.")] == ["unlabeled.cli.main"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["plugins", "list"], ["plugins", "list", "--json"], ["plugins", "info", "clidemo"],
        ["plugins", "--help"], ["plugins", "disable", "clidemo"], ["components"], ["matrix"], ["matrix", "--json"],
        ["recipes"], ["recipes", "clidemo-start"], ["env"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_commands_about_plugins_import_neither_them_nor_heavy_packages(
    environment: dict[str, str], arguments: list[str]
) -> None:
    code = (
        "import sys\n"
        "from unlabeled.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        f"finally:\n    print(*({HEAVY!r} & sys.modules.keys()), file=sys.stderr)\n"
    ).replace(repr(HEAVY), repr(set(HEAVY)))
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import unlabeled

    code, out, _ = result(capsys, "--version")
    assert (code, out) == (0, f"unlabeled {unlabeled.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["zzz"], "unknown command 'zzz'; `unlabeled --help` lists all"),
        (["components", "--kind", "objectiv"], "Invalid value for '--kind': 'objectiv' is not one of "),
        (["plugins", "info"], "Missing argument 'NAME'."),
        (["matrix", "--jsn"], "No such option"),
        (["plugins", "lst"], "unknown command 'lst'; did you mean 'list'?"),
    ],
)
def test_wrong_use_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    code, out, err = result(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UnlabeledError("recipe.yaml: a: unknown key", "recipe.yaml: b: missing"), 2),
        (PluginError("unlabeled-x", "plugin 'unlabeled-x' cannot be loaded"), 1),
    ],
)
def test_each_problem_is_a_line(
    capsys: pytest.CaptureFixture[str], command: ModuleType, error: UnlabeledError, lines: int
) -> None:
    command.act = raising(error)  # type: ignore[attr-defined]
    code, out, err = result(capsys, "act")
    assert (code, out) == (2, "")
    assert err == "".join(f"error: {problem}\n" for problem in error.problems)
    assert err.count("\n") == lines


def test_a_defect_is_one_line_too(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    command.act = raising(ZeroDivisionError("by zero\nand more"))  # type: ignore[attr-defined]
    code, _, err = result(capsys, "act")
    assert code == 1
    assert err == ("error: unexpected ZeroDivisionError: by zero; this is a defect of unlabeled, --debug shows where\n")


def test_a_plugins_defect_is_said_to_be_its_own(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    manifest = discover().plugin("unlabeled-standard").manifest
    assert manifest is not None
    defect = compile("\n\n1 / 0", str(manifest.path.parent / "networks.py"), "exec")
    command.act = lambda: exec(defect)  # type: ignore[attr-defined]
    code, _, err = result(capsys, "act")
    assert (code, err) == (
        1,
        "error: unexpected ZeroDivisionError: division by zero; this is a defect of plugin unlabeled-standard "
        "(networks.py, line 3), --debug shows where\n",
    )


@pytest.mark.parametrize("error", [UnlabeledError("bad"), PluginError("x", "bad"), ZeroDivisionError("bad")])
@pytest.mark.parametrize("arguments", [["--debug", "act"], ["act", "--debug"]])
def test_debug_lets_the_traceback_through(command: ModuleType, error: Exception, arguments: list[str]) -> None:
    command.act = raising(error)  # type: ignore[attr-defined]
    with pytest.raises(type(error), match="bad"):
        main(arguments)


def test_an_interrupt(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    command.act = raising(KeyboardInterrupt())  # type: ignore[attr-defined]
    code, _, err = result(capsys, "act")
    assert code == 130
    assert err.endswith("error: interrupted\n")


def test_a_command_may_choose_its_exit_code(capsys: pytest.CaptureFixture[str], command: ModuleType) -> None:
    command.act = raising(SystemExit(7))  # type: ignore[attr-defined]
    assert result(capsys, "act")[0] == 7
    command.act = lambda: None  # type: ignore[attr-defined]
    assert result(capsys, "act")[0] == 0


def test_no_plugins(run) -> None:  # type: ignore[no-untyped-def]
    states = {plugin["name"]: plugin["state"] for plugin in json.loads(run("plugins", "list", "--json").stdout)}
    assert states["unlabeled-clidemo"] == "enabled"
    done = run("--no-plugins", "plugins", "list", "--json")
    assert {plugin["state"] for plugin in json.loads(done.stdout)} == {"disabled"}
    assert json.loads(run("--no-plugins", "components", "--json").stdout) == []


def test_a_group_without_a_command_shows_its_help(run) -> None:  # type: ignore[no-untyped-def]
    done = run("plugins")
    assert done.returncode == 0
    assert "Usage: unlabeled plugins" in done.stdout
    assert done.stderr == ""


def test_the_table_names_modules_of_its_own_folder() -> None:
    for name, (target, _) in COMMANDS.items():
        assert target in (f"unlabeled.cli.{name}:{name}", f"unlabeled.cli.{name}.group:{name}")
    for name, (target, _) in plugins_group.table.items():
        module, _, attribute = target.partition(":")
        assert module.startswith("unlabeled.cli.plugins."), name
        assert getattr(import_module(module), attribute).name == name
    assert cli_main.cli.list_commands(click.Context(cli_main.cli)) == list(COMMANDS)
