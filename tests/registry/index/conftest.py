"""Tiny wheels, an index made of them, and a web server on loopback."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unlabeled_registry.index.build import build
from unlabeled_registry.testing import write_wheel

Wheels = Callable[..., Path]
Serve = Callable[[Path], str]

MANIFEST = """\
schema = 1
name = "{name}"
api = ">=1.0,<2"
summary = "{summary}"

[[provides]]
kind = "modality"
id = "{short}"
object = "{package}.parts:Signal"
summary = "Signals of one kind"
encoder = "{short}/net"

[[provides]]
kind = "encoder"
id = "net"
object = "{package}.parts:Net"
summary = "A network"
modalities = ["{short}/{short}"]
provides = ["tokens", "layers"]

[[provides]]
kind = "objective"
id = "{short}-match"
object = "{package}:Match"
summary = "Matches what belongs together"
requires = ["layers"]

[[provides]]
kind = "recipe"
id = "{short}-start"
object = "{package}:recipes/start.yaml"
summary = "A first recipe"
"""
FILES = {
    "__init__.py": "raise SystemExit('an index imported me')\n",
    "parts.py": "raise SystemExit('an index imported me')\n",
    "recipes/start.yaml": "summary: A first recipe\n",
}


def manifest(name: str, summary: str = "A demonstration") -> str:
    short = name.removeprefix("unlabeled-")
    return MANIFEST.format(name=name, short=short, package=name.replace("-", "_"), summary=summary)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with three versions of a plugin, another plugin, and a distribution that is none."""
    folder = tmp_path / "wheels"
    for version in ("0.9", "1.0", "1.10"):
        text = "Requires-Python: >=3.11\nRequires-Dist: numpy>=2\n"
        write_wheel(folder, "unlabeled-radar", manifest("unlabeled-radar", "Echoes of radar"), FILES, version, text)
    write_wheel(folder, "unlabeled-touch", manifest("unlabeled-touch", "What a hand feels"), FILES)
    write_wheel(folder, "unlabeled-helper", None)
    return folder


@pytest.fixture
def index(wheels: Path, tmp_path: Path) -> Path:
    """The index of those wheels."""
    build(tmp_path / "index", [wheels])
    return tmp_path / "index"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve a folder on loopback, and return its address."""
    servers: list[ThreadingHTTPServer] = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
