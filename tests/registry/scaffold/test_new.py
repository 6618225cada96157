"""`plugins new`: every choice of kinds gives a project that is whole, clean and installable."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from unlabeled_registry.api import API_VERSION
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.manifest import Manifest, parse
from unlabeled_registry.scaffold.names import names_of
from unlabeled_registry.scaffold.render import kinds_of, render, write
from unlabeled_registry.schema import KINDS, check_object

SENSORS = names_of("sensors")
EVERY_CHOICE = [kinds for count in range(1, len(KINDS) + 1) for kinds in itertools.combinations(KINDS, count)]
SOME = [(kind,) for kind in KINDS] + [("modality", "objective"), ("modality", "encoder", "recipe"), KINDS]


def manifest_of(files: dict[str, str]) -> Manifest:
    data = tomllib.loads(files["src/unlabeled_sensors/unlabeled.toml"])
    where = {"distribution": SENSORS.distribution, "version": "0.1.0", "package": SENSORS.package}
    return parse(data, path=Path("unlabeled.toml"), **where)


def owners_in(text: str) -> set[str]:
    """The first-party plugins whose parts a text names, as a project of this release requires them."""
    named = re.findall(r"\b(standard|timeseries)/", text) + re.findall(r"\bunlabeled_(timeseries)\b", text)
    return {f"unlabeled-{owner}>=0.3" for owner in named}


@pytest.mark.parametrize("kinds", EVERY_CHOICE, ids=",".join)
def test_every_choice_of_kinds_is_whole(kinds: Sequence[str]) -> None:
    files = render(SENSORS, kinds, "0.1.0")
    manifest = manifest_of(files)
    assert [component.kind for component in manifest.components] == list(kinds)
    assert manifest.compatible
    for component in manifest.components:
        check_object(component.object, component.kind, SENSORS.package)
        module, _, place = component.object.partition(":")
        if component.kind == "recipe":
            assert f"src/{module}/{place}" in files
        else:
            tree = ast.parse(files[f"src/{module.replace('.', '/')}.py"])
            assert place in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    own = {component.id for component in manifest.components}
    named = {word for path in files for word in re.findall(r"\bsensors/[a-z-]+", files[path])}
    assert named <= own, "it names parts that it does not have"
    assert {"pyproject.toml", "README.md", ".gitignore"} <= set(files)
    assert {path for path in files if path.startswith("tests/")} == {f"tests/test_{kind}.py" for kind in kinds}
    for path, text in files.items():
        assert not re.search(r"\{\{|\{%|%\}", text), f"{path} has marks of its template left"
        assert text.endswith("\n")
        assert "\n\n\n\n" not in text
        if path.endswith(".py"):
            compile(text, path, "exec")
        if path.endswith(".yaml"):
            assert set(yaml.safe_load(text)) >= {"summary", "modalities", "data", "objectives", "training"}


@pytest.mark.parametrize("kinds", EVERY_CHOICE, ids=",".join)
def test_it_requires_and_names_the_plugins_that_it_uses(kinds: Sequence[str]) -> None:
    files = render(SENSORS, kinds, "0.3.7")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["name"] == "unlabeled-sensors"
    assert project["entry-points"] == {"unlabeled.plugins": {"sensors": "unlabeled_sensors"}}
    assert project["dependencies"][0] == "unlabeled>=0.3"
    settings = files.pop("src/unlabeled_sensors/conformance.toml")
    code = "\n".join(text for path, text in files.items() if path.startswith(("src", "tests")))
    required = set(project["dependencies"])
    assert owners_in(code) <= required
    assert owners_in(settings) <= required | set(project["optional-dependencies"]["conformance"])
    recipes = [yaml.safe_load(text) for path, text in files.items() if path.endswith(".yaml")]
    others = set(re.findall(r"(?:standard|timeseries)/[a-z-]+", str(recipes))) | (
        {"standard/world"} if "sample:world" in str(recipes) else set()
    )
    assert others <= set(manifest_of(files).uses)


def test_the_manifest_is_for_the_installed_interfaces() -> None:
    major = int(API_VERSION.partition(".")[0])
    assert manifest_of(render(SENSORS, KINDS, "0.1.0")).api == f">={API_VERSION},<{major + 1}"


@pytest.mark.parametrize("kinds", SOME, ids=",".join)
def test_it_is_clean_by_its_own_linter(kinds: Sequence[str], tmp_path: Path) -> None:
    names = names_of("a" * 40)  # the longest name makes the longest lines
    write(render(names, kinds, "0.1.0"), tmp_path / "plugin")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=tmp_path / "plugin",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_names() -> None:
    for name in ("my-sensors", "unlabeled-my-sensors"):
        assert names_of(name) == ("my-sensors", "unlabeled-my-sensors", "unlabeled_my_sensors")
    assert names_of("radio").owner == "radio"


@pytest.mark.parametrize(
    "name", ["", "My", "my_sensors", "3d", "-a", "a-", "a--b", "a/b", "../x", "ä", "a" * 41, "a\n"]
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(RegistryError, match="is no name of a plugin; use up to 40 small letters, digits"):
        names_of(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vision", "'vision' is unlabeled-vision, which comes with unlabeled; choose another name"),
        ("unlabeled-text", "'unlabeled-text' is unlabeled-text, which comes with unlabeled; choose another name"),
        ("vison", "'vison' could be taken for unlabeled-vision, which comes with unlabeled; choose another name"),
        ("time-series", "'time-series' could be taken for unlabeled-timeseries, which comes with"),
        ("videos", "'videos' could be taken for unlabeled-video"),
    ],
)
def test_names_that_look_like_first_party_ones_are_refused(name: str, message: str) -> None:
    with pytest.raises(RegistryError, match=re.escape(message)):
        names_of(name)


def test_kinds() -> None:
    assert kinds_of("objective, modality,objective") == ("modality", "objective")
    with pytest.raises(RegistryError, match="--kind: 'modalit' is no kind; did you mean 'modality'?"):
        kinds_of("modalit")
    with pytest.raises(RegistryError, match="--kind: names no kind; choose some of modality, encoder"):
        kinds_of(" ,")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for place in ("full", "file"):
        with pytest.raises(RegistryError, match="is there already and not an empty folder; name another with --folder"):
            write({"README.md": "new"}, tmp_path / place)
    with pytest.raises(RegistryError, match=r"file/below: cannot be written \(Not a directory\); name another"):
        write({"README.md": "new"}, tmp_path / "file" / "below")
    write({"README.md": "new"}, tmp_path / "empty")
    assert (tmp_path / "empty" / "README.md").read_text() == "new"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_the_command_writes_a_project_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from unlabeled.cli.main import cli;"
        "cli.main(['plugins', 'new', 'sensors', '--kind', 'modality,objective'], standalone_mode=False);"
        "print(sorted({'torch', 'transformers', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, following, imported = done.stdout.splitlines()
    assert first == "unlabeled-sensors: 10 files of unlabeled-sensors; README.md there says what each is for"
    assert following == "next: unlabeled plugins check unlabeled-sensors"
    assert imported == "[]"
    files = [path for path in (tmp_path / "unlabeled-sensors").rglob("*") if path.is_file()]
    assert len(files) == 10
