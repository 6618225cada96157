"""What others have written cannot do anything to the terminal of whoever lists, searches or checks it: shown on a real one."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from threading import Thread

import pytest

from unlabeled.cli.main import main
from unlabeled_registry.index.build import build
from unlabeled_registry.testing import write_wheel

MANIFEST = """\
schema = 1
name = "unlabeled-clifar"
api = ">=1.0,<2"
summary = "Not installed"

[[provides]]
kind = "recipe"
id = "distant"
object = "unlabeled_clifar:start.yaml"
summary = "A recipe from afar"
"""
HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b2J\r\u202egnp.exe\ud800"


def on_a_terminal(*arguments: str) -> str:
    """What `unlabeled ARGUMENTS` writes to a terminal, which obeys what it is sent."""
    ours, terminal = os.openpty()
    shown: list[bytes] = []
    reader = Thread(target=lambda: shown.extend(_blocks(ours)))
    reader.start()
    with (
        open(terminal, "w", encoding="utf-8") as stream,
        redirect_stdout(stream),
        redirect_stderr(stream),
        suppress(SystemExit),
    ):
        main(arguments)
    reader.join()
    os.close(ours)
    return b"".join(shown).decode(errors="surrogateescape").replace("\r\n", "\n")


def _blocks(file: int) -> Iterator[bytes]:
    with suppress(OSError):  # Linux's way to say that the other end is closed
        while block := os.read(file, 1 << 16):
            yield block


def obeyed(text: str) -> list[str]:
    return sorted({ascii(letter) for letter in text if not letter.isprintable() and letter != "\n"})


@pytest.fixture
def index(tmp_path: Path) -> Path:
    write_wheel(tmp_path / "wheels", "unlabeled-clifar", MANIFEST, {"start.yaml": "x: 1\n"})
    build(tmp_path / "index", [tmp_path / "wheels"])
    return tmp_path / "index"


@pytest.mark.parametrize(
    "place",
    [
        lambda release: release["manifest"].update(summary=HOSTILE),
        lambda release: release["manifest"].update(api=HOSTILE),
        lambda release: release["manifest"].update({HOSTILE: 1}),
        lambda release: release["manifest"].update(uses=[HOSTILE]),
        lambda release: release["manifest"]["provides"][0].update(id=HOSTILE),
        lambda release: release["manifest"]["provides"][0].update(object=HOSTILE),
        lambda release: release.update(version=f"1.0{HOSTILE}"),
        lambda release: release.update(yanked=HOSTILE),
        lambda release: release.update({HOSTILE: 1}),
        lambda release: release.update(
            conformance={"green": True, "required": 1, "ran": 1, "passed": 1, "torch": HOSTILE}
        ),
    ],
    ids=["summary", "api", "key", "uses", "id", "object", "version", "yanked", "key of a release", "report"],
)
def test_an_index(index: Path, place: Callable[[dict[str, object]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    file = index / "plugins.json"
    content = json.loads(file.read_text())
    place(content["plugins"]["unlabeled-clifar"]["releases"][0])
    file.write_text(json.dumps(content))
    monkeypatch.setenv("UNLABELED_INDEX", str(index))
    for arguments in (["search"], ["info", "clifar"], ["info", "clifar", "--json"]):
        shown = on_a_terminal("plugins", *arguments)
        assert "clifar" in shown or "plugins.json: damaged" in shown
        assert obeyed(shown) == [] and "unexpected" not in shown


@pytest.mark.parametrize("old", ["summary =", '"distant"', "start.yaml"])
def test_a_wheel(tmp_path: Path, old: str) -> None:
    text = MANIFEST.replace(
        old, f'"{old}\\u001b[2J\\u202e" =' if old.endswith("=") else old.replace("st", "\\u001b[2J\\u202est")
    )
    write_wheel(tmp_path / "wheels", "unlabeled-clifar", text, {"start.yaml": ""})
    shown = on_a_terminal("plugins", "index", "build", str(tmp_path / "index"), "--wheels", str(tmp_path / "wheels"))
    assert "unlabeled.toml: " in shown and obeyed(shown) == []


def test_what_a_project_prints_as_it_is_built(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
    )
    (tmp_path / "setup.py").write_text("raise SystemExit('\\x1b[2J\\u202eboom')\n")
    shown = on_a_terminal("plugins", "check", str(tmp_path))
    assert "boom" in shown and obeyed(shown) == []
