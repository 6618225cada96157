import json
import os
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.build import build
from unlabeled_registry.index.client import read_index
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.testing import write_wheel

from .conftest import FILES, manifest

RADAR = "unlabeled_radar-1.0-py3-none-any.whl"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def page(index: Path, name: str) -> dict[str, Any]:
    return json.loads((index / "simple" / name / "index.json").read_text())


def write_state(index: Path, **parts: Any) -> None:
    (index / "state.json").write_text(json.dumps({"schema": 1} | parts))


def problems(*arguments: Any) -> tuple[str, ...]:
    with pytest.raises(RegistryError) as error:
        build(*arguments)
    return error.value.problems


def test_what_is_built(index: Path, wheels: Path) -> None:
    assert sorted(path for path in contents(index) if not path.startswith(("files/", "simple/"))) == [
        "index.html", "plugins.json", "plugins/unlabeled-radar.html", "plugins/unlabeled-touch.html",
    ]  # fmt: skip
    for wheel in wheels.iterdir():
        assert (index / "files" / wheel.name).read_bytes() == wheel.read_bytes()
    wheel = read_wheel(index / "files" / RADAR)
    (release,) = (item for item in read_index(str(index)).plugins["unlabeled-radar"] if item.version == "1.0")
    assert release.as_json() == {
        "version": "1.0",
        "file": RADAR,
        "url": f"files/{RADAR}",
        "sha256": wheel.sha256,
        "size": wheel.size,
        "requires_python": ">=3.11",
        "requires_dist": ("numpy>=2",),
        "manifest": wheel.manifest,
        "package": "unlabeled_radar",
        "conformance": None,
        "yanked": None,
        "advisories": [],
        "attestations": False,
    }


def test_versions_are_in_their_order(index: Path) -> None:
    assert [release.version for release in read_index(str(index)).plugins["unlabeled-radar"]] == ["0.9", "1.0", "1.10"]
    assert page(index, "unlabeled-radar")["versions"] == ["0.9", "1.0", "1.10"]


def test_built_twice_is_the_same_byte_for_byte(index: Path, wheels: Path, tmp_path: Path) -> None:
    first = contents(index)
    build(index)
    assert contents(index) == first
    for number, wheel in enumerate(
        sorted(wheels.iterdir(), reverse=True)
    ):  # another order, other dates, several folders
        (folder := tmp_path / f"part{number}").mkdir()
        os.utime(wheel.rename(folder / wheel.name), (number, number))
    build(tmp_path / "other", [tmp_path / f"part{number}" for number in range(5)])
    assert contents(tmp_path / "other") == first


def test_unchanged_files_are_left_alone(index: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in index.rglob("*") if file.is_file()}
    build(index)
    assert {file: file.stat().st_mtime_ns for file in index.rglob("*") if file.is_file()} == before


def test_a_distribution_that_is_no_plugin_is_on_pips_pages_alone(index: Path) -> None:
    assert "unlabeled-helper" not in read_index(str(index)).plugins
    assert page(index, "unlabeled-helper")["files"][0]["filename"] == "unlabeled_helper-1.0-py3-none-any.whl"
    assert "unlabeled-helper/" in (index / "simple" / "index.html").read_text()


def test_pips_pages(index: Path) -> None:
    wheel = read_wheel(index / "files" / RADAR)
    text = (index / "simple" / "unlabeled-radar" / "index.html").read_text()
    assert (
        f'href="../../files/{RADAR}#sha256={wheel.sha256}" data-requires-python="&gt;=3.11" data-core-metadata="sha256='
        in text
    )
    (file,) = (item for item in page(index, "unlabeled-radar")["files"] if item["filename"] == RADAR)
    assert (file["hashes"], file["size"], file["yanked"]) == ({"sha256": wheel.sha256}, wheel.size, False)
    assert (index / "files" / f"{RADAR}.metadata").read_bytes() == wheel.metadata


def test_state(index: Path) -> None:
    sha256 = read_wheel(index / "files" / RADAR).sha256
    report = {
        "green": True,
        "required": 4,
        "ran": 4,
        "passed": 4,
        "sha256": sha256,
        "checks": [{"text": "a <promise>"}],
    }
    advisory = {"id": "A-1", "summary": "Leaks", "affects": "<1.10", "fixed_in": "1.10"}
    write_state(
        index,
        yanked={"unlabeled-radar": {"0.9": 'eats "data"'}, "unlabeled-helper": {"1.0": "broken"}},
        advisories={"unlabeled-radar": [advisory]},
        conformance={sha256: report | {"checks": []}},
    )
    build(index)
    old, middle, new = read_index(str(index)).plugins["unlabeled-radar"]
    assert (old.yanked, middle.yanked) == ('eats "data"', None)
    assert [[item.id for item in release.advisories] for release in (old, middle, new)] == [["A-1"], ["A-1"], []]
    assert middle.conformance == {key: value for key, value in report.items() if key != "checks"}
    assert (old.conformance, new.conformance) == (None, None)  # a report is on one file alone
    text = (index / "simple" / "unlabeled-radar" / "index.html").read_text()
    assert text.count('data-yanked="eats &quot;data&quot;"') == 1
    assert page(index, "unlabeled-helper")["files"][0]["yanked"] == "broken"


def test_attestations(index: Path) -> None:
    (index / "files" / f"{RADAR}.provenance").write_text("{}")
    build(index)
    assert [release.attestations for release in read_index(str(index)).plugins["unlabeled-radar"]] == [
        False,
        True,
        False,
    ]
    assert (
        f'data-provenance="../../files/{RADAR}.provenance"' in (index / "simple/unlabeled-radar/index.html").read_text()
    )


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"yanked": {"unlabeled-radar": {"9": "x"}}}, "yanked: there is no unlabeled-radar 9 among the wheels"),
        ({"advisories": {"unlabeled-x": []}}, "advisories: there is no unlabeled-x among the wheels; mend or remove"),
        ({"yanked": {"unlabeled-radar": {"1.0": ""}}}, "yanked: 'unlabeled-radar' is not as it must be; write {"),
        ({"yanked": []}, "yanked: 'it' is not as it must be; write {"),
        (
            {"advisories": {"unlabeled-radar": [{"id": "A"}]}},
            "advisories: 'unlabeled-radar' is not as it must be; write",
        ),
        ({"conformance": {"0": {"green": True}}}, "conformance: '0' is not as it must be; write {"),
        ({"conformance": {"0": {"sha256": "1"}}}, "conformance: '0' is not as it must be; write {"),
        ({"yankd": {}}, "unknown key 'yankd'; one of: schema, yanked, advisories, conformance"),
        ({"schema": 2}, "schema is not 1; upgrade unlabeled-registry, or mend the file"),
    ],
)
def test_a_wrong_state_changes_nothing(index: Path, parts: dict[str, Any], problem: str) -> None:
    write_state(index, **parts)
    before = contents(index)
    assert problem in problems(index)[0]
    assert contents(index) == before


@pytest.mark.parametrize("place", ["wheels", "files"])
def test_a_version_replaced_under_the_same_number(index: Path, tmp_path: Path, place: str) -> None:
    """Added beside, or written over the file that the index has served."""
    before = contents(index)
    folder = index / "files" if place == "files" else tmp_path / "new"
    write_wheel(folder, "unlabeled-radar", manifest("unlabeled-radar", "Other"), FILES, "1.0")
    (problem,) = problems(index, [folder] if place == "wheels" else [])
    assert RADAR in problem
    assert "a version never changes" in problem
    assert all(contents(index)[path] == content for path, content in before.items() if not path.endswith(RADAR))


def test_every_wheel_that_cannot_be_served_is_named_and_nothing_is_written(tmp_path: Path, wheels: Path) -> None:
    for name in ("one", "two"):
        write_wheel(wheels, f"unlabeled-{name}", "schema = 1", FILES)
    found = problems(tmp_path / "index", [wheels])
    assert {line.partition(":")[0] for line in found} == {
        f"unlabeled_{name}-1.0-py3-none-any.whl" for name in ("one", "two")
    }
    assert not (tmp_path / "index").exists()


def test_two_owners_of_the_same_ids(wheels: Path, tmp_path: Path) -> None:
    text = manifest("unlabeled-radar").replace("unlabeled-radar", "radar").replace("unlabeled_radar", "radar")
    write_wheel(wheels, "radar", text, FILES)
    (problem,) = problems(tmp_path / "index", [wheels])
    assert "has the same ids as" in problem


def test_a_folder_of_wheels_does_not_become_an_empty_index(wheels: Path) -> None:
    before = contents(wheels)
    assert problems(wheels) == (
        f"{wheels}: holds wheels and no index; `unlabeled plugins index build INDEX --wheels {wheels}`",
    )
    assert contents(wheels) == before


def test_a_source_distribution_is_left_out_and_told(wheels: Path, tmp_path: Path) -> None:
    (wheels / "unlabeled_radar-1.0.tar.gz").write_bytes(b"")
    (sentence,) = build(tmp_path / "index", [wheels]).left_out
    assert sentence == (
        "unlabeled_radar-1.0.tar.gz: a source distribution runs code when it is built; only wheels are served"
    )
    assert not list((tmp_path / "index").rglob("*.tar.gz"))


def test_pages_of_what_is_gone_are_removed(index: Path) -> None:
    (index / "files" / "unlabeled_touch-1.0-py3-none-any.whl").unlink()
    build(index)
    assert not [path for path in contents(index) if "touch" in path]
    assert not (index / "simple" / "unlabeled-touch").exists()


def test_an_empty_index(tmp_path: Path) -> None:
    build(tmp_path / "index")
    assert read_index(str(tmp_path / "index")).plugins == {}
    assert "This index has no plugins yet" in (tmp_path / "index" / "index.html").read_text()


def test_a_folder_of_wheels_that_is_none(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "index", [tmp_path / "none"])
    assert problem.endswith("none: is no folder; --wheels names a folder that holds wheels")
