"""Plain pip installs from the generated pages, by the index's hashes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlabeled_registry.index.build import build
from unlabeled_registry.index.client import read_index

from .conftest import Serve

ROOT = Path(__file__).parents[3]
WHEEL = "unlabeled_audio-0.1.0-py3-none-any.whl"


def pip(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """pip without the settings of this machine, so that it knows no index but the one it is given."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """An index with unlabeled-audio in it."""
    done = pip(
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        f"{tmp_path}/wheels",
        f"{ROOT}/plugins/audio",
    )
    assert done.returncode == 0, done.stderr
    build(tmp_path / "index", [tmp_path / "wheels"])
    return tmp_path / "index"


def install(address: str, target: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return pip("install", "--no-deps", "--no-cache-dir", "--index-url", address, "--target", str(target), *arguments)


def test_by_address_and_hash(audio: Path, serve: Serve, tmp_path: Path) -> None:
    address = serve(audio)
    done = install(f"{address}/simple/", tmp_path / "one", "unlabeled-audio")
    assert done.returncode == 0, done.stderr
    assert f"{WHEEL}.metadata" in done.stdout  # PEP 658: the metadata alone is what it asks for first
    assert (tmp_path / "one" / "unlabeled_audio" / "unlabeled.toml").exists()

    release = read_index(address).releases("audio")[0]
    locked = tmp_path / "requirements.txt"
    locked.write_text(f"unlabeled-audio=={release.version} --hash=sha256:{release.sha256}\n")
    done = install(f"{address}/simple/", tmp_path / "two", "--require-hashes", "-r", str(locked))
    assert done.returncode == 0, done.stderr
    locked.write_text(f"unlabeled-audio=={release.version} --hash=sha256:{'0' * 64}\n")
    done = install(f"{address}/simple/", tmp_path / "three", "--require-hashes", "-r", str(locked))
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


def test_a_changed_wheel(audio: Path, serve: Serve, tmp_path: Path) -> None:
    with (audio / "files" / WHEEL).open("ab") as file:
        file.write(b"x")
    done = install(f"{serve(audio)}/simple/", tmp_path / "target", "unlabeled-audio")
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "target" / "unlabeled_audio").exists()


def test_a_yanked_version_is_not_chosen(audio: Path, tmp_path: Path) -> None:
    (audio / "state.json").write_text('{"schema": 1, "yanked": {"unlabeled-audio": {"0.1.0": "made of noise"}}}')
    build(audio)
    done = install(f"{audio}/simple/", tmp_path / "target", "unlabeled-audio>=0.1")  # a folder serves too
    assert done.returncode == 1
    done = install(f"{audio}/simple/", tmp_path / "target", "unlabeled-audio==0.1.0")
    assert done.returncode == 0, done.stderr
    assert "made of noise" in done.stderr
