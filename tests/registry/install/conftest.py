"""Scratch environments, tiny wheels, and indexes made of them."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from unlabeled_registry.index.format import Release, dump, order
from unlabeled_registry.index.wheels import read_wheel

MANIFEST = """\
schema = 1
name = "{name}"
api = "{api}"
summary = "A plugin of tests"
uses = {uses}

[[provides]]
kind = "recipe"
id = "contrast"
object = "{package}:contrast.yaml"
summary = "A recipe, as it loads without torch"
"""


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    requires: tuple[str, ...] = (),
    entry_points: str = "",
) -> Path:
    """A wheel with these files, whatever they are."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": entry_points} if entry_points else {}),
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text.encode())}\n"
        for path, text in contents.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(file, text)
    return path


def make_plugin(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    code: str = "",
    requires: tuple[str, ...] = (),
    package: str = "",
    api: str = ">=1.0,<2",
    uses: tuple[str, ...] = (),
) -> Path:
    """A wheel of a plugin whose package runs `code` when it is imported."""
    package = package or name.replace("-", "_")
    manifest = MANIFEST.format(name=name, package=package, api=api, uses=json.dumps(uses))
    files = {
        f"{package}/__init__.py": code,
        f"{package}/contrast.yaml": "modalities: {}\n",
        f"{package}/parts.py": f"class Part:\n    version = {version!r}\n",
        f"{package}/unlabeled.toml": manifest,
    }
    return make_wheel(folder, name, version, files, requires, f"[unlabeled.plugins]\n{name} = {package}\n")


@dataclass
class World:
    """A scratch environment, a plugin index and an ordinary package index."""

    root: Path
    python: Path
    variables: dict[str, str]
    states: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def prefix(self) -> Path:
        return self.python.parents[1]

    @property
    def site(self) -> Path:
        (site,) = self.prefix.glob("lib/python*/site-packages")
        return site

    @property
    def config(self) -> Path:
        return Path(self.variables["UNLABELED_CONFIG"])

    def plugin(self, name: str, version: str = "1.0", **settings: object) -> Path:
        """Publish a release of a plugin."""
        path = make_plugin(self.root / "index" / "files", name, version, **settings)  # type: ignore[arg-type]
        self.build()
        return path

    def unpack(self, wheel: Path) -> None:
        """Install a wheel as quickly as that goes, without any command of ours."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)

    def state(self, file: Path, **values: object) -> None:
        """Change what the index says of a wheel: yanked, advisories."""
        self.states[file.name] = values
        self.build()

    def package(
        self,
        name: str,
        version: str,
        requires: tuple[str, ...] = (),
        files: Mapping[str, str] | None = None,
        entry_points: str = "",
    ) -> Path:
        """Put a package into the ordinary index."""
        return make_wheel(
            self.root / "packages",
            name,
            version,
            files or {f"{name}.py": f"version = {version!r}\n"},
            requires,
            entry_points,
        )

    def build(self) -> None:
        releases: dict[str, list[Release]] = {}
        for path in sorted((self.root / "index" / "files").glob("*.whl")):
            wheel = read_wheel(path)
            values: dict[str, object] = {
                "conformance": None,
                "yanked": None,
                "advisories": (),
                "attestations": False,
            } | self.states.get(path.name, {})
            release = Release(
                wheel.name,
                wheel.version,
                path.name,
                f"files/{path.name}",
                wheel.sha256,
                wheel.size,
                wheel.requires_python,
                wheel.requires_dist,
                wheel.manifest,
                wheel.package,
                **values,
            )  # type: ignore[arg-type]
            releases.setdefault(wheel.name, []).append(release)
        found = {name: tuple(sorted(items, key=order)) for name, items in sorted(releases.items())}
        (self.root / "index" / "plugins.json").write_bytes(dump(found))

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """`unlabeled plugins ARGUMENTS` in the scratch environment."""
        command = [str(self.python), "-m", "unlabeled", "plugins", *arguments]
        return subprocess.run(
            command,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def done(self, *arguments: str, **variables: str) -> str:
        """What a command that must succeed printed."""
        result = self.run(*arguments, **variables)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def refused(self, *arguments: str, **variables: str) -> str:
        """The errors of a command that must fail, leaving the environment exactly as it was."""
        before = self.snapshot()
        result = self.run(*arguments, **variables)
        assert result.returncode == 2, result.stdout + result.stderr
        assert self.snapshot() == before
        return result.stderr

    def snapshot(self) -> dict[str, str]:
        """Every file of the environment and of its settings with kind, mode and hash."""
        return {
            str(path): _stamp(path)
            for top in (self.prefix, self.config)
            for path in _walk(top)
            if path.name != "manifests.json"
        }

    def packages(self) -> dict[str, str]:
        """The distributions in the environment itself."""
        return dict(path.name.removesuffix(".dist-info").split("-", 1) for path in self.site.glob("*.dist-info"))


def _walk(top: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(top):
        yield from (Path(root, name) for name in (*folders, *names))


def _stamp(path: Path) -> str:
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    if path.is_dir():
        return "folder"
    return f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _variables(root: Path) -> dict[str, str]:
    """The environment variables of a world: nothing of the tester's own settings, and no network."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "UNLABELED_", "PYTHON"))}
    return kept | {
        "UNLABELED_CONFIG": str(root / "config"),
        "UNLABELED_INDEX": str(root / "index"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(root / "packages"),
        "PIP_NO_CACHE_DIR": "1",
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(root / "packages"),
        "UV_CACHE_DIR": str(root / "uv"),
    }


def _new_world(root: Path) -> World:
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    seen = [path for path in sys.path if os.path.isdir(path) and not _of_tests(path) and _beyond_library(path)]
    (site / "seen.pth").write_text("\n".join(seen) + "\n")
    (root / "index" / "files").mkdir(parents=True)
    (root / "packages").mkdir()
    world = World(root, environment / "bin" / "python", _variables(root))
    world.build()
    return world


def _beyond_library(path: str) -> bool:
    return not path.startswith(sys.base_prefix) or "site-packages" in path


@pytest.fixture(scope="session")
def empty_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once; tests work on copies."""
    return _new_world(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="session")
def locked_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An environment with a plugin that needs another one and a package, and its lock file; made once."""
    world = _new_world(tmp_path_factory.mktemp("locked"))
    world.package("sinewaves", "3.1")
    world.plugin("unlabeled-base", "1.0")
    world.plugin("unlabeled-tones", "1.0", requires=("unlabeled-base", "sinewaves", "torch", "unlabeled"))
    world.done("install", "tones", "--yes")
    world.done("lock", "--out", str(world.root / "lock.txt"))
    return world


def _copied(world: World, root: Path) -> World:
    """A copy elsewhere: nothing in a scratch environment says where it lies but links to the base interpreter."""
    shutil.copytree(world.root, root, symlinks=True, dirs_exist_ok=True)
    return World(root, root / "environment" / "bin" / "python", _variables(root))


@pytest.fixture(scope="session")
def new_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    """Makes a world, for a fixture that fills it once."""
    return lambda name: _new_world(tmp_path_factory.mktemp(name))


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[World], World]:
    """Copies a world that was made once."""
    return lambda world: _copied(world, tmp_path / "copied")


def _of_tests(path: str) -> bool:
    return "pytest-" in path or "/tests" in path


@pytest.fixture
def world(empty_world: World, tmp_path: Path) -> World:
    """A scratch environment that sees core and its libraries, an empty plugin index, an empty ordinary index."""
    return _copied(empty_world, tmp_path / "world")


@pytest.fixture
def locked(locked_world: World, tmp_path: Path) -> World:
    """The same with unlabeled-tones 1.0, what it needs, and lock.txt."""
    return _copied(locked_world, tmp_path / "locked")


class Wheels:
    """Wheels that lie outside the plugin index."""

    plugin = staticmethod(make_plugin)


@pytest.fixture
def make_wheels() -> type[Wheels]:
    return Wheels
