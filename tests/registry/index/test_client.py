import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request

import pytest

from unlabeled_registry.errors import ManifestError, RegistryError
from unlabeled_registry.index.client import _Redirects, configured_location, download, read_index, replaced
from unlabeled_registry.index.format import Index, dump, newest
from unlabeled_registry.testing import write_wheel

from .conftest import FILES, Serve, manifest

RADAR = "unlabeled_radar-1.0-py3-none-any.whl"


def problem(action: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(RegistryError) as error:
        action(*arguments)
    (line,) = error.value.problems
    assert "\n" not in line
    return line


def edit(index: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the release 1.0 of radar in plugins.json."""
    content = json.loads((index / "plugins.json").read_text())
    change(content["plugins"]["unlabeled-radar"]["releases"][1])
    (index / "plugins.json").write_text(json.dumps(content))


@pytest.fixture
def redirect() -> Iterator[Callable[[str], str]]:
    """Serve nothing but redirections to one address."""
    servers: list[HTTPServer] = []

    def start(target: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", target)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_folder_a_file_address_and_a_server_give_the_same(index: Path, serve: Serve, tmp_path: Path) -> None:
    address = serve(index)
    locations = [str(index), f"{index}/", index.as_uri(), f"{index.as_uri()}/", address, f"{address}/"]
    indexes = [read_index(location) for location in locations]
    for number, found in enumerate(indexes):
        assert dump(found.plugins) == (index / "plugins.json").read_bytes()
        wheel = download(found.plugins["unlabeled-radar"][1], found, tmp_path / str(number))
        assert wheel.read_bytes() == (index / "files" / RADAR).read_bytes()
        assert [file.name for file in wheel.parent.iterdir()] == [RADAR]


def test_a_local_version_has_an_address(tmp_path: Path, serve: Serve) -> None:
    from unlabeled_registry.index.build import build

    write_wheel(tmp_path / "wheels", "unlabeled-radar", manifest("unlabeled-radar"), FILES, "1.0+cu130")
    build(tmp_path / "index", [tmp_path / "wheels"])
    for location in (str(tmp_path / "index"), serve(tmp_path / "index")):
        found = read_index(location)
        assert download(found.plugins["unlabeled-radar"][0], found, tmp_path / "got").exists()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("file:///etc/passwd", "Redirection to url 'file:///etc/passwd' is not allowed"),
        ("ftp://127.0.0.1/plugins.json", "it leads from http to ftp, which is refused"),
        ("/plugins.json", "The HTTP server returned a redirect error that would lead to an infinite loop"),
    ],
)
def test_redirections_that_are_not_followed(redirect: Callable[[str], str], target: str, reason: str) -> None:
    assert reason in problem(read_index, redirect(target))


def test_a_redirection_to_another_host(index: Path, serve: Serve, redirect: Callable[[str], str]) -> None:
    assert read_index(redirect(f"{serve(index)}/plugins.json")).plugins == read_index(str(index)).plugins


def test_a_redirection_from_https_to_what_can_be_changed_on_its_way() -> None:
    with pytest.raises(URLError, match="it leads from https to http, which is refused"):
        _Redirects().redirect_request(Request("https://a/"), BytesIO(), 302, "", HTTPMessage(), "http://a/")


@pytest.mark.parametrize("user", ["somebody:s3cret", "s3cret", "some:s3@cret"])
def test_a_password_is_never_repeated(user: str) -> None:
    line = problem(read_index, f"https://{user}@plugins.example/index#sha256=wrong")
    assert line.startswith("index at plugins.example: its address holds a user name or password") and "cret" not in line


def test_names_with_and_without_the_prefix(index: Path) -> None:
    found = read_index(str(index))
    assert found.releases("radar") == found.releases("unlabeled-radar") == found.releases("Unlabeled_Radar")
    assert problem(found.releases, "rader") == f"no plugin 'rader' in the index {index}; did you mean 'radar'?"
    assert "`unlabeled plugins search` lists what it has" in problem(found.releases, "zzz")


def test_the_newest(index: Path) -> None:
    old, middle, new = read_index(str(index)).plugins["unlabeled-radar"]
    assert newest((old, middle, new)) is new
    yanked, candidate = replace(new, yanked="broken"), replace(new, version="2.0rc1")
    assert newest((old, middle, yanked)) is middle
    assert newest((old, candidate)) is old
    assert newest((candidate,)) is candidate
    assert newest((yanked,)) is yanked


class TestChangedPluginsJson:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("sha256", "0"), ("sha256", None), ("size", -1), ("size", "1"), ("size", True), ("version", "one"), ("version", "1.0\n"), ("version", "1.0\x0b"),
            ("file", "../unlabeled_radar-1.0-py3-none-any.whl"), ("file", "torch-1.0-py3-none-any.whl"),
            ("file", "unlabeled_radar-2.0-py3-none-any.whl"), ("file", "unlabeled_radar-1.0.tar.gz"),
            ("url", f"https://elsewhere.example/{RADAR}"), ("url", f"//elsewhere.example/{RADAR}"),
            ("url", f"/etc/{RADAR}"), ("url", "files/other.whl"), ("url", f"file:///{RADAR}"), ("url", f"files/{RADAR}?x"),
            ("requires_dist", "torch"), ("manifest", []), ("package", ""), ("yanked", True), ("yanked", "\x1b[2J"), ("conformance", {"green": True}), ("advisories", [{"id": "x"}]),
            ("advisories", {}), ("attestations", "yes"), ("conformance", "green"), ("requires_python", 3),
        ],
    )  # fmt: skip
    def test_values_that_cannot_be(self, index: Path, key: str, value: Any) -> None:
        edit(index, lambda release: release.update({key: value}))
        line = problem(read_index, str(index))
        assert line.startswith(f"{index}/plugins.json: damaged or changed: unlabeled-radar ")
        assert line.endswith(f"{key} is not as it must be; get it again, or ask who keeps the index")

    def test_keys_that_are_missing_or_unknown(self, index: Path) -> None:
        edit(index, lambda release: release.pop("sha256"))
        assert "unlabeled-radar 1.0: sha256 is not as it must be" in problem(read_index, str(index))
        edit(index, lambda release: release.update(sha256="0" * 64, mirror="https://elsewhere.example"))
        assert "unlabeled-radar 1.0: unknown key 'mirror'" in problem(read_index, str(index))

    def test_an_object_outside_its_package(self, index: Path) -> None:
        edit(index, lambda release: release["manifest"]["provides"][1].update(object="os:system"))
        release = read_index(str(index)).plugins["unlabeled-radar"][1]
        with pytest.raises(ManifestError, match="'os:system' lies outside the plugin's own package, 'unlabeled_radar'"):
            release.parsed()

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ("", "is no valid JSON; build the index again, or get it again"),
            ("[" * 100_000, "is no valid JSON; build the index again, or get it again"),
            ("[]", "schema None is not 1; is it the plugins.json of an index?"),
            ('{"schema": 2}', "schema 2 is not 1; upgrade unlabeled-registry to read it"),
            ('{"schema": 1}', "damaged or changed: 'plugins'; get it again, or ask who keeps the index"),
            ('{"schema": 1, "plugins": {"x": {"releases": []}}}', "damaged or changed: x is not as it must be; get it"),
        ],
    )
    def test_what_is_no_index(self, index: Path, content: str, line: str) -> None:
        (index / "plugins.json").write_text(content)
        assert problem(read_index, str(index)).startswith(f"{index}/plugins.json: {line}")

    def test_a_pinned_index(self, index: Path, serve: Serve) -> None:
        sha256 = hashlib.sha256((index / "plugins.json").read_bytes()).hexdigest()
        for location in (str(index), serve(index)):
            assert read_index(f"{location}#sha256={sha256}").sha256 == sha256
            line = problem(read_index, f"{location}#sha256={'0' * 64}")
            assert f"plugins.json: has sha256 {sha256}, not the pinned one; it changed" in line
            assert "what follows # must be sha256= and 64 digits" in problem(read_index, f"{location}#sha256=0")

    def test_a_hash_that_changed_under_the_same_version(self, index: Path) -> None:
        """What a lock keeps: an index, its wheel and its pages may all have been replaced together."""
        known = {
            (name, release.version): frozenset({release.sha256})
            for name, releases in read_index(str(index)).plugins.items()
            for release in releases
        }
        assert replaced(read_index(str(index)), known) == []
        edit(index, lambda release: release.update(sha256="0" * 64))
        (line,) = replaced(read_index(str(index)), known)
        assert line.startswith(
            f"unlabeled-radar 1.0: {RADAR} has sha256 {'0' * 64}, none that is known of this version"
        )


class TestChangedWheel:
    @pytest.fixture
    def got(self, tmp_path: Path) -> Path:
        return tmp_path / "got"

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 100_000])
    @pytest.mark.parametrize("remote", [False, True])
    def test_another_file(self, index: Path, serve: Serve, got: Path, content: bytes, remote: bool) -> None:
        found = read_index(serve(index) if remote else str(index))
        (index / "files" / RADAR).write_bytes(content)
        line = problem(download, found.plugins["unlabeled-radar"][1], found, got)
        assert f"files/{RADAR}: refused: it has " in line
        assert line.endswith("the wheel was changed: ask who keeps the index")
        assert list(got.iterdir()) == []

    def test_one_byte(self, index: Path, got: Path) -> None:
        found = read_index(str(index))
        file = index / "files" / RADAR
        data = bytearray(file.read_bytes())
        data[50] ^= 1
        file.write_bytes(data)
        assert "refused" in problem(download, found.plugins["unlabeled-radar"][1], found, got)

    def test_a_missing_one(self, index: Path, serve: Serve, got: Path) -> None:
        for location in (str(index), serve(index)):
            found = read_index(location)
            (index / "files" / RADAR).unlink(missing_ok=True)
            assert problem(download, found.plugins["unlabeled-radar"][1], found, got).startswith(f"{RADAR}: ")
        assert list(got.iterdir()) == []


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ("{folder}/none", "does not exist; `unlabeled plugins index build` makes an index"),
        ("file://{folder}/none", "does not exist; `unlabeled plugins index build` makes an index"),
        (
            "http://127.0.0.1:9/index",
            "cannot be reached ([Errno 111] Connection refused); check the address and the network",
        ),
        ("{server}/none", "cannot be reached (HTTP Error 404: File not found); check the address and the network"),
        ("http://[", "cannot be "),
        ("http://127.0.0.1:x/", "cannot be "),
    ],
)
def test_an_index_that_cannot_be_reached(tmp_path: Path, serve: Serve, location: str, line: str) -> None:
    place = location.format(folder=tmp_path, server=serve(tmp_path) if "server" in location else "")
    found = problem(read_index, place)
    assert found.startswith("index ")
    assert line in found


class TestConfiguredLocation:
    @pytest.fixture(autouse=True)
    def _settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UNLABELED_CONFIG", str(tmp_path))
        monkeypatch.delenv("UNLABELED_INDEX", raising=False)

    def test_the_choice_goes_before_the_variable_and_that_before_the_settings(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert problem(configured_location) == (
            "no plugin index is named: give --index, set UNLABELED_INDEX, or write "
            f'{{"index": "FOLDER or ADDRESS"}} to {tmp_path}/settings.json'
        )
        (tmp_path / "settings.json").write_text('{"index": "of the settings"}')
        assert configured_location() == "of the settings"
        monkeypatch.setenv("UNLABELED_INDEX", "of the variable")
        assert configured_location() == "of the variable"
        assert configured_location("chosen") == "chosen"

    @pytest.mark.parametrize(
        ("content", "line"),
        [("{", "cannot be read; mend"), ("[]", "cannot be read; mend"), ('{"index": 1}', "index: must")],
    )
    def test_damaged_settings(self, tmp_path: Path, content: str, line: str) -> None:
        (tmp_path / "settings.json").write_text(content)
        assert problem(configured_location).startswith(f"{tmp_path}/settings.json: {line}")


def test_a_release_of_other_interfaces_does_not_hide_the_rest(index: Path) -> None:
    edit(index, lambda release: release.update(manifest={"schema": 7}))
    found: Index = read_index(str(index))
    assert len(found.plugins["unlabeled-radar"]) == 3
    assert (found.plugins["unlabeled-radar"][1].summary, found.plugins["unlabeled-radar"][1].api) == ("", "")
