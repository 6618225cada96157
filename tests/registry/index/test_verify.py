"""A changed plugins.json, page or wheel is found, whatever was changed in it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.client import read_index
from unlabeled_registry.index.verify import differences, verify
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.testing import write_wheel

from .conftest import FILES, Serve, manifest

RADAR = "unlabeled_radar-1.0-py3-none-any.whl"
CHANGES: dict[str, Any] = {
    "sha256": "0" * 64,
    "size": 7,
    "requires_python": None,
    "requires_dist": ["numpy>=2", "torch==1.0"],
    "manifest": {"schema": 1},
    "package": "other",
}
OF_STATE: dict[str, Any] = {
    "yanked": "a rumour",
    "conformance": {"green": True, "required": 1, "ran": 1, "passed": 1},
    "advisories": [{"id": "A", "summary": "B", "fixed_in": None}],
    "attestations": True,
}


def change(index: Path, key: str, value: Any) -> None:
    content = json.loads((index / "plugins.json").read_text())
    content["plugins"]["unlabeled-radar"]["releases"][1][key] = value
    (index / "plugins.json").write_text(json.dumps(content))


def test_a_sound_index(index: Path, serve: Serve) -> None:
    assert verify(str(index)) == verify(index.as_uri()) == verify(serve(index)) == []


@pytest.mark.parametrize("key", [*CHANGES, *OF_STATE])
def test_a_changed_plugins_json(index: Path, key: str) -> None:
    change(index, key, (CHANGES | OF_STATE)[key])
    assert verify(str(index)) == [f"unlabeled-radar 1.0: plugins.json was changed: its {key} is not that of {RADAR}"]


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_plugins_json_behind_an_address(index: Path, serve: Serve, key: str) -> None:
    change(index, key, CHANGES[key])
    (problem,) = verify(serve(index))
    assert ("refused: it has" if key in ("sha256", "size") else f"its {key} is not that of {RADAR}") in problem


def test_before_an_installation(index: Path) -> None:
    """What an installer asks of the wheel it got, whose hash the changed plugins.json may well state."""
    wheel = read_wheel(index / "files" / RADAR)
    assert differences(read_index(str(index)).plugins["unlabeled-radar"][1], wheel) == []
    change(index, "requires_dist", [])
    (problem,) = differences(read_index(str(index)).plugins["unlabeled-radar"][1], wheel)
    assert problem == f"unlabeled-radar 1.0: plugins.json was changed: its requires_dist is not that of {RADAR}"


def test_a_formatting_change(index: Path) -> None:
    file = index / "plugins.json"
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert verify(str(index)) == [
        "plugins.json: not what the wheels and state.json give; `unlabeled plugins index build` makes it anew"
    ]


@pytest.mark.parametrize(
    "page",
    ["index.html", "plugins/unlabeled-radar.html", "simple/unlabeled-radar/index.html", f"files/{RADAR}.metadata"],
)
def test_a_changed_or_missing_page(index: Path, page: str) -> None:
    (index / page).write_text("other")
    (problem,) = verify(str(index))
    assert problem.startswith(f"{page}: not what the wheels and state.json give")
    (index / page).unlink()
    assert verify(str(index)) == [problem]


def test_a_replaced_wheel(index: Path) -> None:
    write_wheel(index / "files", "unlabeled-radar", manifest("unlabeled-radar", "Other"), FILES, "1.0")
    problems = verify(str(index))
    for key in ("sha256", "size", "manifest"):
        assert f"unlabeled-radar 1.0: plugins.json was changed: its {key} is not that of {RADAR}" in problems


def test_a_damaged_wheel(index: Path) -> None:
    (index / "files" / RADAR).write_bytes(b"")
    with pytest.raises(RegistryError, match=f"{RADAR}: cannot be opened as a wheel"):
        verify(str(index))


def test_a_wheel_more_or_less(index: Path, tmp_path: Path) -> None:
    shutil.move(index / "files" / RADAR, tmp_path / RADAR)
    assert f"{RADAR}: in plugins.json, and not among the wheels" in verify(str(index))
    shutil.move(tmp_path / RADAR, index / "files" / RADAR)
    write_wheel(index / "files", "unlabeled-radar", manifest("unlabeled-radar"), FILES, "2.0")
    assert "unlabeled_radar-2.0-py3-none-any.whl: among the wheels, and not in plugins.json" in verify(str(index))
