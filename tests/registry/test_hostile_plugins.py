"""Forty hostile and broken plugins installed together: every command works, good ones train, each bad one is named."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from unlabeled_registry.discovery import GROUP
from unlabeled_registry.errors import printable
from unlabeled_registry.index.build import build
from unlabeled_registry.testing import write_distribution, write_wheel

CHEAP = [
    ["plugins", "list"], ["plugins", "list", "--json"], ["plugins", "info", "standard"], ["plugins", "info", "crashes"],
    ["plugins", "disable", "exits"], ["plugins", "enable", "hangs"], ["components"], ["recipes"],
    ["recipes", "timeseries-simclr"], ["matrix"], ["env"], ["--help"], ["plugins", "--help"],
    ["plugins", "search"], ["plugins", "info", "radar"], ["plugins", "policy", "check"],
    ["plugins", "upgrade", "exits", "--dry-run"], ["plugins", "outdated"],
]  # fmt: skip
"""Commands that import no plugin, no torch and no transformers; a new command of that kind belongs here."""
REFUSED = {
    ("uninstall", "crashes", "--yes"): "error: unlabeled-crashes: lies in ",
    ("uninstall", "hangs", "--dry-run"): "error: unlabeled-hangs: lies in ",
    ("lock",): "its hash is known neither here nor in the plugin index",
    ("verify",): "/RECORD is missing",
    ("policy", "write"): "; install it again before it is allowed",
}
"""Such commands that end with 2 here, as these plugins lie in a folder aside, without RECORD; and what they say."""
HEAVY = {"torch", "transformers", "datasets", "accelerate", "pydantic", "numpy"}
TINY = [
    "data.options={items: {train: 32, validation: 8, test: 8}}", "training.steps=1", "training.batch_size=8", "evaluation=[]",
]  # fmt: skip

MANIFEST = """\
schema = 1
name = "{name}"
api = ">=1.0,<2"
summary = "A demonstration"
{extra}
[[provides]]
kind = "encoder"
id = "net"
object = "{package}.parts:Net"
summary = "A network"
modalities = ["*"]
"""
PARTS = """\
class Encoder:
    __module__ = "unlabeled.interfaces.encoder"  # the real one imports torch

class Net(Encoder): pass
"""


class Beast(NamedTuple):
    """One plugin: its manifest and package, and what of its cause must be told by `plugins list` or by the probe."""

    cause: str
    state: str = "enabled"  # in `plugins list`
    code: str = ""
    manifest: str | bytes | None = MANIFEST
    entry_points: str | None = None
    parts: str = PARTS
    extra: str = ""
    distribution: str = ""
    works: bool = False  # in spite of its cause


def failed(cause: str, **what: str | bytes | None) -> Beast:
    return Beast(cause, state="failed", code="raise SystemExit('imported')", **what)  # type: ignore[arg-type]


ZOO: Mapping[str, Beast] = {
    "raises": Beast("importing unlabeled_raises: RuntimeError: no licence", code="raise RuntimeError('no licence\\n!')"),
    "exits": Beast("importing unlabeled_exits: SystemExit: 3", code="raise SystemExit(3)"),
    "interrupts": Beast("importing unlabeled_interrupts: KeyboardInterrupt", code="raise KeyboardInterrupt"),
    "quits": Beast("importing unlabeled_quits: ends the process with exit code 0", code="import os; os._exit(0)"),
    "hangs": Beast(
        "importing unlabeled_hangs: takes longer than", code="import threading; threading.Event().wait()"
    ),
    "crashes": Beast(
        "importing unlabeled_crashes: ends the process with SIGSEGV", code="import ctypes; ctypes.string_at(0)"
    ),
    "killed": Beast(
        "importing unlabeled_killed: ends the process with SIGKILL", code="import os; os.kill(os.getpid(), 9)"
    ),
    "recurses": Beast(
        "importing unlabeled_recurses: RecursionError: maximum recursion depth exceeded",
        code="def f(): return f()\nf()",
    ),
    "lacking": Beast("ModuleNotFoundError: No module named 'no_such_library'", code="import no_such_library"),
    "asks": Beast("importing unlabeled_asks: OSError: it reads standard input", code="input('Continue? ')"),
    "phones": Beast(
        "importing unlabeled_phones: ConnectionRefusedError: it uses the network",
        code="import socket; socket.create_connection(('127.0.0.1', 9))",
    ),
    "whispers": Beast(
        "it uses the network while importing unlabeled_whispers: getaddrinfo 'example.org'",
        code="import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)",
        works=True,
    ),
    "floods": Beast(
        "KiB when it is imported", code="import sys\nfor _ in range(2000): print('x' * 1000); sys.stderr.write('y' * 1000)",
        works=True,
    ),
    "steers": Beast(
        "its import changes sys.path: /somewhere/else", code="import sys; sys.path.insert(0, '/somewhere/else')", works=True
    ),
    "patches": Beast(
        "its import replaces parts of other packages: json.dumps, os.system",
        code="import json, os\ndef dumps(*a, **k): raise RuntimeError\njson.dumps = dumps\nos.system = print",
        works=True,
    ),
    "lingers": Beast(
        "its import leaves threads running: lurker",
        code="import threading\nthreading.Thread(target=threading.Event().wait, name='lurker', daemon=True).start()",
        works=True,
    ),
    "vanishes": Beast(
        "its import deletes its own files: recipes.txt",
        code="import pathlib; pathlib.Path(__file__).with_name('recipes.txt').unlink(missing_ok=True)",
        works=True,
    ),
    "misnamed": Beast("module 'unlabeled_misnamed.parts' has no attribute 'Net'", parts=""),
    "unkind": Beast("TypeError: unlabeled_unkind.parts:Net is no Encoder; derive it", parts="def Net(): pass\n"),
    "hooked": Beast("ends the process with exit code 9", extra="hooks = true\n", code="import os; os._exit(9)"),
    "unhooked": Beast("KeyError: 'no'", extra="hooks = true\n", code="raise KeyError('no')"),
    "heckles": Beast(
        "its hook 'run_started' failed: SystemExit: enough; its hooks are not called again",
        extra="hooks = true\n",
        code="from unlabeled import hookimpl\n@hookimpl\ndef run_started(step): raise SystemExit('enough')",
        works=True,
    ),
    "prose": failed("no valid TOML", manifest="This is a plugin.\n"),
    "binary": failed("no valid TOML", manifest=bytes(range(256)) * 8),
    "huge": failed("larger than 256 KiB", manifest="x = '" + "x" * 300_000 + "'\n"),
    "deep": failed("no valid TOML", manifest="x = " + "[" * 9000 + "\n"),
    "bare": failed("unlabeled.toml: missing", manifest=None),
    "empty": failed("schema: missing", manifest=""),
    "future": failed("schema: 9 is not 1; upgrade unlabeled-registry", manifest="schema = 9\n"),
    "odd": failed("provides[net].colour: unknown key", manifest=MANIFEST + 'colour = "red"\n'),
    "newer": Beast(
        "it needs interfaces >=7", state="incompatible", manifest=MANIFEST.replace(">=1.0,<2", ">=7"), code="raise SystemExit"
    ),
    "thief": failed("lies outside the plugin's own package", manifest=MANIFEST.replace("{package}.parts", "os")),
    "impostor": failed("'unlabeled-standard' is not the distribution's name", entry_points="x = unlabeled_standard"),
    "nowhere": failed("package 'unlabeled_gone' cannot be found", entry_points="x = unlabeled_gone"),
    "below": failed("is not the name of a top-level package", entry_points="x = unlabeled_below.parts"),
    "module": failed("is a single module", entry_points="x = zoo_single_module"),
    "doubled": failed("names 2 packages", entry_points="x = unlabeled_doubled\ny = unlabeled_raises"),
    "nothing": failed("is not the name of a top-level package", entry_points="nothing ="),
    "second": failed("'unlabeled-raises' has the same ids", distribution="raises"),
    "strange": failed("a distribution's name holds letters, digits", distribution="unlabeled-ünïcode\u202e"),
}  # fmt: skip


def name_of(short: str) -> str:
    """As commands show it, and take it."""
    return printable(_distribution(short))


def _distribution(short: str) -> str:
    return ZOO[short].distribution or f"unlabeled-{short}"


def release(site: Path) -> None:
    """Install every one of them, as a wheel's files or a careless author would leave it."""
    (site / "zoo_single_module.py").write_text("raise SystemExit('imported')\n")
    for short, beast in ZOO.items():
        name = _distribution(short)
        package = name.replace("-", "_")
        text = beast.manifest
        if isinstance(text, str):
            text = text.replace("{name}", name).replace("{package}", package).replace("{extra}", beast.extra)
        files = {"__init__.py": beast.code + "\n", "parts.py": beast.parts, "recipes.txt": "a file\n"}
        folder = write_distribution(site, name, text if isinstance(text, str) else None, files)
        if isinstance(text, bytes):
            (folder / "unlabeled.toml").write_bytes(text)
        if beast.entry_points is not None:
            metadata = site / f"{package}-1.0.dist-info"
            (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{beast.entry_points}\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed plugins that holds them all; tests that change it do so for the others."""
    folder = tmp_path_factory.mktemp("zoo")
    release(folder)
    return folder


@pytest.fixture
def environment(site: Path, tmp_path: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    variables = {name: value for name, value in os.environ.items() if name != "UNLABELED_PLUGINS"}
    text = MANIFEST.format(name="unlabeled-radar", package="unlabeled_radar", extra="")
    write_wheel(tmp_path / "index" / "files", "unlabeled-radar", text, {"parts.py": PARTS})
    build(tmp_path / "index")
    folders = {"UNLABELED_CONFIG": str(tmp_path / "config"), "UNLABELED_INDEX": str(tmp_path / "index")}
    return variables | {"PYTHONPATH": path, **folders}


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "unlabeled", *arguments]
        return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=300)

    return run


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def answer(run: Run, *arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.stderr == ""
    return json.loads(done.stdout)


def imports(
    environment: dict[str, str], arguments: Sequence[str]
) -> tuple["subprocess.CompletedProcess[str]", set[str]]:
    """A command, and the names of the top-level packages that it imported."""
    code = (
        "import sys\n"
        "from unlabeled.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    line = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    return done, set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", CHEAP, ids=" ".join)
def test_commands_that_need_no_plugin_import_none_and_nothing_heavy(
    environment: dict[str, str], arguments: list[str]
) -> None:
    done, imported = imports(environment, arguments)
    assert done.returncode == 0, done.stderr
    assert "unlabeled" in imported
    assert not imported & HEAVY
    assert {name for name in imported if name.startswith("unlabeled_")} <= {"unlabeled_registry"}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_is_refused_here_imports_none_either(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    done, imported = imports(environment, ["plugins", *arguments])
    assert done.returncode == 2, done.stderr
    assert REFUSED[arguments] in done.stderr
    assert "Traceback" not in done.stderr
    assert not imported & HEAVY
    assert {name for name in imported if name.startswith("unlabeled_")} <= {"unlabeled_registry"}


def test_each_is_listed_with_its_state_and_cause(run: Run) -> None:
    found = {plugin["name"]: plugin for plugin in answer(run, "plugins", "list")}
    for short, beast in ZOO.items():
        plugin = found[name_of(short)]
        assert plugin["state"] == beast.state
        assert beast.state == "enabled" or beast.cause in plugin["reason"]
    assert found["unlabeled-standard"]["state"] == "enabled"
    for line in run("plugins", "list").stdout.splitlines():
        assert line.isprintable(), ascii(line)


def test_each_can_be_looked_at_and_set_aside(run: Run) -> None:
    for short in ("hangs", "crashes", "strange"):
        name = name_of(short)
        assert run("plugins", "info", name).returncode == 0
        assert run("plugins", "disable", name).stdout.startswith(f"{name}: disabled")
    states = {plugin["name"]: plugin["state"] for plugin in answer(run, "plugins", "list")}
    assert [states[name_of(short)] for short in ("hangs", "crashes", "strange", "exits")] == [
        *["disabled"] * 3,
        "enabled",
    ]
    assert run("plugins", "enable", "crashes").stdout == "unlabeled-crashes: enabled\n"


def test_the_doctor_names_each_with_its_cause_and_a_cure(run: Run) -> None:
    names = ",".join(name_of(short) for short in ZOO)
    done = run("--only", names, "plugins", "doctor", "--timeout", "10", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    found = {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    for short, beast in ZOO.items():
        diagnosis = found[name_of(short)]
        assert diagnosis["works"] is beast.works, diagnosis
        if short != "heckles":  # it can be imported; what it does, it does in a run
            assert any(beast.cause in finding["problem"] for finding in diagnosis["findings"]), diagnosis
        assert all(finding["cure"] for finding in diagnosis["findings"])
    assert found["unlabeled-whispers"]["network"]
    assert not found["unlabeled-lingers"]["network"]
    assert found["unlabeled-standard"] == found["unlabeled-standard"] | {"state": "disabled", "seconds": None}


def test_a_good_plugin_trains_among_them(run: Run, tmp_path: Path) -> None:
    done = run("train", "timeseries-simclr", *TINY, "--run", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "export").is_dir()
    told = " ".join((done.stdout + done.stderr).split())
    for short in ("hooked", "unhooked", "heckles"):
        assert f"plugin 'unlabeled-{short}'" in told
        assert ZOO[short].cause in told
    others = [short for short in ZOO if "hooks" not in ZOO[short].extra]
    assert [short for short in others if f"'unlabeled-{short}'" in told] == []


def test_a_recipe_that_needs_bad_ones_names_each_and_its_cause(run: Run, tmp_path: Path) -> None:
    needed = ("raises", "exits", "recurses", "misnamed", "unkind", "newer", "prose")
    recipe = {
        "modalities": {short: {"id": "timeseries/series", "encoder": {"id": f"{short}/net"}} for short in needed},
        "objectives": [{"id": "standard/simclr", "on": ["raises"]}],
        "data": {"source": "sample:world"},
        "training": {"steps": 1},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = run("train", str(tmp_path / "recipe.yaml"), "--dry-run")
    assert done.returncode == 2
    for short in needed:
        (line,) = (line for line in done.stderr.splitlines() if f"'unlabeled-{short}'" in line)
        assert line.startswith(f"error: modalities.{short}.encoder.id: ")
        assert ZOO[short].cause.removeprefix(f"importing unlabeled_{short}: ") in line
