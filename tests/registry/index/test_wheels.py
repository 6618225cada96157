import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.wheels import read_any_wheel, read_wheel
from unlabeled_registry.testing import write_wheel

from .conftest import FILES, manifest

NAME = "unlabeled-radar"
INFO = "unlabeled_radar-1.0.dist-info"
ENTRY = "[unlabeled.plugins]\na = unlabeled_radar\n"
GOOD = manifest(NAME)
ROOT = Path(__file__).parents[3]


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(RegistryError) as error:
        read_wheel(path)
    return error.value.problems


def test_a_plugin(tmp_path: Path) -> None:
    text = (
        "Summary: Echoes\nRequires-Python: >=3.11\nRequires-Dist: numpy>=2\nRequires-Dist: torch\nLicense: MIT\n"
        "Project-URL: Source, https://example.org\nDescription-Content-Type: text/markdown; charset=UTF-8\n\n# Radar\n"
    )
    path = write_wheel(tmp_path, NAME, GOOD, FILES, metadata=text)
    wheel = read_wheel(path)
    assert (wheel.name, wheel.version, wheel.package) == (NAME, "1.0", "unlabeled_radar")
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.size == path.stat().st_size
    assert wheel.manifest["provides"][1]["provides"] == ["tokens", "layers"]
    assert (wheel.requires_python, wheel.requires_dist) == (">=3.11", ("numpy>=2", "torch"))
    assert (wheel.summary, wheel.license, wheel.links) == ("Echoes", "MIT", {"Source": "https://example.org"})
    assert (wheel.description, wheel.description_type) == ("# Radar\n", "text/markdown")


def test_wheels_of_a_real_build_backend(tmp_path: Path) -> None:
    folders = [ROOT / "plugins" / "audio", ROOT / "registry"]
    line = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    subprocess.run([*line, str(tmp_path), *map(str, folders)], check=True)
    wheels = {wheel.name: wheel for wheel in map(read_any_wheel, tmp_path.glob("*.whl"))}
    assert {name: wheel.package for name, wheel in wheels.items()} == {
        "unlabeled-audio": "unlabeled_audio",
        "unlabeled-registry": "",
    }
    assert "unlabeled_registry/index/templates/style.css" in wheels["unlabeled-registry"].files


def test_a_source_distribution(tmp_path: Path) -> None:
    (path := tmp_path / "unlabeled_radar-1.0.tar.gz").write_bytes(b"")
    assert problems(path) == (
        "unlabeled_radar-1.0.tar.gz: no wheel; a source distribution runs code when it is built: build a wheel of it",
    )


def test_no_plugin(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "unlabeled-helper", None)
    assert read_any_wheel(path).package == ""
    (problem,) = problems(path)
    assert "no plugin: no entry point in the group unlabeled.plugins names its package" in problem


@pytest.mark.parametrize(
    ("object", "problem"),
    [
        ("os:system", "'os:system' lies outside the plugin's own package, 'unlabeled_radar'"),
        (
            "unlabeled_radar_other:X",
            "'unlabeled_radar_other:X' lies outside the plugin's own package, 'unlabeled_radar'",
        ),
        (
            "unlabeled_radar.none:X",
            "'unlabeled_radar.none:X' is not in the wheel; leave it out of the manifest or add its file",
        ),
    ],
)
@pytest.mark.parametrize("api", [">=1.0,<2", ">=9"])
def test_an_object_outside_the_package(tmp_path: Path, object: str, problem: str, api: str) -> None:
    """For interfaces that are not these ones too: another version of this program may install it."""
    text = GOOD.replace("unlabeled_radar.parts:Net", object).replace(">=1.0,<2", api)
    assert problems(write_wheel(tmp_path, NAME, text, FILES)) == (
        f"unlabeled_radar-1.0-py3-none-any.whl: unlabeled.toml: provides[net].object: {problem}",
    )


@pytest.mark.parametrize("object", ["../secret.yaml", "other:recipes/start.yaml", "unlabeled_radar:../start.yaml"])
def test_a_recipe_outside_the_package(tmp_path: Path, object: str) -> None:
    text = GOOD.replace("unlabeled_radar:recipes/start.yaml", object)
    (problem,) = problems(write_wheel(tmp_path, NAME, text, FILES))
    assert "provides[radar-start].object: " in problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("schema = 1", "schema = 2"), ": schema: 2 is not 1; upgrade unlabeled-registry to read it"),
        (("unlabeled-radar", "unlabeled-sonar"), ": name: 'unlabeled-sonar' is not the distribution's name"),
        (("schema", "schema ["), ": no valid TOML"),
        (("A demonstration", "\\u001b[2J"), ": summary: must be one line of text"),
        (("schema = 1", f"# {'x' * 2**18}\nschema = 1"), " is longer than 256 KiB"),
        (('api = ">=1.0,<2"', "api = 2020-01-01"), ": holds a date or nan, which no manifest may"),
    ],
)
def test_manifests_that_are_wrong(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    found = problems(write_wheel(tmp_path, NAME, GOOD.replace(*change), FILES))
    assert any(f"unlabeled.toml{problem}" in line for line in found), found


@pytest.mark.parametrize(
    "place",
    ["evil.pth", "sitecustomize.py", "unlabeled/__init__.py", "unlabeled_radar-1.0.data/data/etc/x", "other/x.py"],
)
def test_a_file_beside_the_package(tmp_path: Path, place: str) -> None:
    path = write_wheel(tmp_path, NAME, GOOD, FILES, beside={place: "import os\n"})
    (problem,) = problems(path)
    assert f"refused: {place} lies outside the plugin's own package, 'unlabeled_radar'; leave it out" in problem


@pytest.mark.parametrize("place", ["fast.pyc", "__pycache__/__init__.cpython-311.pyc"])
def test_compiled_files(tmp_path: Path, place: str) -> None:
    """They may differ from their source, and Python takes them for it."""
    path = write_wheel(tmp_path, NAME, GOOD, {**FILES, place: ""})
    assert f"refused: unlabeled_radar/{place} is compiled" in problems(path)[0]


@pytest.mark.parametrize("package", ["sitecustomize", "torch_npu", "unlabeled", "unl\u0430beled_radar"])
def test_a_package_that_is_called_like_anothers(tmp_path: Path, package: str) -> None:
    """Python, accelerate and others import packages by these names as soon as there are any."""
    wheel = write_wheel(
        tmp_path, NAME, None, beside={f"{INFO}/entry_points.txt": ENTRY.replace("unlabeled_radar", package)}
    )
    assert f"refused: its package is called {package!r}, as if it were another's" in problems(wheel)[0]


def test_a_plugin_called_like_what_python_imports_at_its_start(tmp_path: Path) -> None:
    text = GOOD.replace("unlabeled-radar", "sitecustomize").replace("unlabeled_radar", "sitecustomize")
    assert (
        "refused: its package is called 'sitecustomize'"
        in problems(write_wheel(tmp_path, "sitecustomize", text, FILES))[0]
    )


def test_a_requirement_that_hides_behind_one_that_is_no_text(tmp_path: Path) -> None:
    path = write_wheel(
        tmp_path, NAME, GOOD, FILES, metadata="Requires-Dist: a @ https://x.example/a.whl\nRequires-Dist: \udcff\n"
    )
    assert "METADATA: requires-dist is there twice, or is no text" in problems(path)[0]


def test_two_metadata_folders(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, NAME, GOOD, FILES, beside={"torch-2.0.dist-info/METADATA": "Name: torch\n"})
    assert problems(path)[0].endswith(": it holds 2 .dist-info folders, and must hold one")


def test_a_file_renamed_to_another_version(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, NAME, GOOD, FILES)
    renamed = path.rename(tmp_path / "unlabeled_radar-2.0-py3-none-any.whl")
    assert problems(renamed)[0].endswith(f": it holds {INFO}, which is not its name and version")


@pytest.mark.parametrize(
    ("entry_points", "problem"),
    [
        (
            "[unlabeled.plugins]\na = unlabeled_radar\nb = other\n",
            "unlabeled.plugins names 2 packages, and must name one",
        ),
        ("[unlabeled.plugins]\na = ../x\n", "'../x' in unlabeled.plugins is not the name of a top-level package"),
        ("[unlabeled.plugins]\na = other\n", "its package is called 'other', as if it were another's"),
        (
            "[console_scripts]\nrun = unlabeled_radar:run\n",
            "but no entry point in the group unlabeled.plugins names it",
        ),
        (
            f"{ENTRY}[console_scripts]\n../../run = unlabeled_radar:run\n",
            "it brings a command '../../run', which it may",
        ),
        (f"{ENTRY}[console_scripts]\npip = unlabeled_radar:run\n", "it brings a command 'pip', which it may not"),
        (f"{ENTRY}[console_scripts]\nls = unlabeled_radar:run\n", "call it 'unlabeled-radar' or 'unlabeled-radar-...'"),
        (
            f"{ENTRY}[gui_scripts]\nunlabeled = unlabeled_radar:run\n",
            "it brings a command 'unlabeled', which it may not",
        ),
        (f"{ENTRY}[console_scripts]\nunlabeled-radar = os:system\n", "runs 'os:system', which lies outside its own"),
        (f"{ENTRY}[torch.backends]\na = unlabeled_radar:run\n", "entry points of the group 'torch.backends' would be"),
        (
            f"{ENTRY}[pytest11]\na = unlabeled_radar\n",
            "entry points of the group 'pytest11' would be imported by others",
        ),
        ("x", "entry_points.txt cannot be read (ValueError: 'x' is neither [group] nor `name = object`"),
    ]
    + [
        (f"{ENTRY}[console_scripts]\nunlabeled-radar = unlabeled_radar:run{line}", "is neither [group] nor")
        for line in (
            "\n  [torch.backends]",
            "\f[torch.backends]",
            "\u2028[torch.backends]",
            "\n[[torch.backends]]",
            "\n;a = b",
        )
    ],
)
def test_entry_points_that_are_wrong(tmp_path: Path, entry_points: str, problem: str) -> None:
    beside = {f"{INFO}/entry_points.txt": entry_points}
    assert problem in problems(write_wheel(tmp_path, NAME, GOOD, FILES, beside=beside))[0]


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ("Requires-Dist: torch>=\n", "METADATA: InvalidRequirement"),
        ("Requires-Python: 3\n", "METADATA: InvalidSpecifier"),
        (
            "Requires-Dist: torch @ https://x.example/t.whl\n",
            "METADATA requires 'torch @ https://x.example/t.whl', an address",
        ),
        ("Name: torch\n", "METADATA names None '1.0', not this file"),
        ("Requires-Python: >=3\nRequires-Python: >=2\n", "METADATA: requires-python is there twice"),
        (f"X: {'x' * 2**20}\n", "METADATA is longer than 1024 KiB"),
    ],
)
def test_metadata_that_is_wrong(tmp_path: Path, metadata: str, problem: str) -> None:
    assert problem in problems(write_wheel(tmp_path, NAME, GOOD, FILES, metadata=metadata))[0]


@pytest.mark.parametrize(
    "name",
    [
        "radar.whl",
        "unlabeled_radar-1.0.whl",
        "unlabeled_radar-x-py3-none-any.whl",
        "unl\u0430beled_radar-1.0-py3-none-any.whl",
    ],
)
def test_a_name_that_is_no_wheels(tmp_path: Path, name: str) -> None:
    assert problems(write_wheel(tmp_path, NAME, GOOD, FILES).rename(tmp_path / name))[0].startswith(
        f"{name}: no wheel's"
    )


def test_nothing_of_a_wheel_is_run_or_unpacked(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, NAME, GOOD, FILES)
    read_wheel(path)
    assert "unlabeled_radar" not in sys.modules
    assert list(tmp_path.iterdir()) == [path]
