"""What `publish` adds to an index, and what it refuses, each time leaving the index byte for byte as it was."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.build import build
from unlabeled_registry.index.client import read_index
from unlabeled_registry.index.notices import advise, unyank, withdraw, yank
from unlabeled_registry.index.publish import publish
from unlabeled_registry.index.verify import verify
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.testing import write_wheel

from .conftest import FILES, manifest

SONAR = "unlabeled-sonar"
Make = Callable[..., tuple[Path, Path]]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def green(wheel: Path, name: str, version: str) -> dict[str, Any]:
    """What the kit writes of a wheel whose every promise is kept."""
    owner = name.removeprefix("unlabeled-")
    parts = {"": "plugin", f"{owner}/{owner}": "modality", f"{owner}/net": "encoder"}
    parts |= {f"{owner}/{owner}-match": "objective", f"{owner}/{owner}-start": "recipe"}
    texts = {"promise": "object", "text": "it is there", "result": "passed", "message": "", "seconds": 0.1}
    checks = [{"component": id_, "kind": kind, **texts} for id_, kind in parts.items()]
    counts = {"green": True, "required": 5, "ran": 5, "passed": 5}
    made = {"plugin": name, "version": version, "sha256": read_wheel(wheel).sha256, "unlabeled": "0.1.0"}
    return {"schema": 1, **counts, **made, "checks": checks}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of two plugins and of a distribution that is none, made once."""
    folder = tmp_path_factory.mktemp("built")
    for version in ("0.9", "1.0", "1.10"):
        write_wheel(folder / "wheels", "unlabeled-radar", manifest("unlabeled-radar"), FILES, version)
    write_wheel(folder / "wheels", "unlabeled-touch", manifest("unlabeled-touch"), FILES)
    write_wheel(folder / "wheels", "unlabeled-helper", None)
    build(folder / "index", [folder / "wheels"])
    return folder / "index"


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "index"))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a wheel and the report of its check."""

    def make(name: str = SONAR, version: str = "1.0", code: str = "", **report: Any) -> tuple[Path, Path]:
        files = {**FILES, "__init__.py": code} if code else FILES
        wheel = write_wheel(tmp_path / "new", name, manifest(name), files, version)
        file = tmp_path / "report.json"
        file.write_text(json.dumps({**green(wheel, name, version), **report}))
        return wheel, file

    return make


def refused(index: Path, action: Callable[..., object], *arguments: Any) -> list[str]:
    before = contents(index)
    with pytest.raises(RegistryError) as error:
        action(*arguments)
    assert contents(index) == before
    return list(error.value.problems)


def test_a_green_wheel_is_added_with_its_counts_and_attestations(index: Path, make: Make) -> None:
    wheel, report = make()
    wheel.with_name(f"{wheel.name}.provenance").write_text("{}")
    publish(wheel, index, report)
    (release,) = read_index(str(index)).releases("sonar")
    assert release.conformance is not None
    assert (release.conformance["passed"], release.conformance["required"]) == (5, 5)
    assert release.sha256 == read_wheel(wheel).sha256
    assert release.attestations
    assert len(read_index(str(index)).plugins) == 3
    assert verify(str(index)) == []
    before = contents(index)
    build(index)
    assert contents(index) == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sha256": "0" * 64}, f"is of sha256 {'0' * 64}, and this file has "),
        ({"plugin": "unlabeled-radar"}, "is of unlabeled-radar 1.0, not of unlabeled-sonar 1.0"),
        ({"required": 6}, "contradicts itself"),
        ({"passed": 4}, "contradicts itself"),
        ({"ran": 4}, "contradicts itself"),
        ({"required": 0, "ran": 0, "passed": 0, "checks": []}, "contradicts itself"),
        ({"green": 1}, "contradicts itself"),
        ({"checks": []}, "contradicts itself"),
        ({"checks": "all"}, "is not what the kit writes"),
        ({"schema": 2}, "has schema 2, not 1"),
    ],
)
def test_a_report_that_does_not_show_it(index: Path, make: Make, change: dict[str, Any], problem: str) -> None:
    wheel, report = make(**change)
    (told,) = refused(index, publish, wheel, index, report)
    assert f"{wheel.name}: the report {problem}" in told
    assert f"`unlabeled plugins check {wheel} --json FILE`" in told


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "[" * 10_000])
def test_a_report_that_could_not_be_kept(index: Path, make: Make, value: str) -> None:
    wheel, report = make()
    report.write_text(report.read_text().replace('"0.1.0"', value))
    assert refused(index, publish, wheel, index, report)[0].startswith(f"{report}: cannot be read")


@pytest.mark.parametrize("result", ["failed", "not-run"])
def test_a_check_that_is_red_whatever_the_counts_say(index: Path, make: Make, result: str) -> None:
    wheel, report = make()
    data = json.loads(report.read_text())
    data["checks"][2]["result"] = result
    report.write_text(json.dumps(data))
    assert "the report contradicts itself" in refused(index, publish, wheel, index, report)[0]
    ran = 5 if result == "failed" else 4
    report.write_text(json.dumps(data | {"green": False, "ran": ran, "passed": 4}))
    assert "the report is red: 4 of 5 promises kept" in refused(index, publish, wheel, index, report)[0]
    data["checks"].append(data["checks"][0])
    report.write_text(json.dumps(data))
    assert "the report contradicts itself" in refused(index, publish, wheel, index, report)[0]


def test_a_report_that_leaves_a_component_out(index: Path, make: Make) -> None:
    wheel, report = make()
    data = json.loads(report.read_text())
    del data["checks"][2]
    report.write_text(json.dumps(data | {"required": 4, "ran": 4, "passed": 4}))
    assert "the report shows nothing of sonar/net" in refused(index, publish, wheel, index, report)[0]


def test_no_report(index: Path, make: Make, tmp_path: Path) -> None:
    wheel, _ = make()
    assert "there is no report of its check" in refused(index, publish, wheel, index)[0]
    (problem,) = refused(index, publish, wheel, index, tmp_path / "none.json")
    assert problem == f"{tmp_path}/none.json: cannot be read; `unlabeled plugins check --json` writes a report"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("unlabeled-t0uch", "the name could be taken for 'unlabeled-touch'"),
        ("unlabeled-radars", "the name could be taken for 'unlabeled-radar'"),
        ("unlabeled-ra-dar", "the name could be taken for 'unlabeled-radar'"),
        ("radar", "the ids radar/... belong to 'unlabeled-radar', which this index has or had"),
        ("unlabeled-audio", "the name is unlabeled-audio, which comes with unlabeled; rename the plugin"),
        ("audio", "the name is unlabeled-audio, which comes with unlabeled; rename the plugin"),
        ("unlabeled-audi0", "the name could be taken for unlabeled-audio, which comes with unlabeled"),
        ("unlabeled-vison", "the name could be taken for unlabeled-vision, which comes with unlabeled"),
        ("scikit-learn", "the name does not begin with 'unlabeled-', so it may be that of a library"),
        ("unlabeled", "the name is unlabeled's own"),
        ("unlabeled-registry", "the name is unlabeled's own"),
    ],
)
def test_a_name_that_is_or_could_be_taken_for_anothers(index: Path, make: Make, name: str, problem: str) -> None:
    wheel, report = make(name)
    told = refused(index, publish, wheel, index, report)[0]
    assert told.startswith(f"{wheel.name}: {problem}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('name = "unlabeled-sonar"', 'name = "unlabeled-radar"'), "name: 'unlabeled-radar' is not the distribution's name"),
        (('id = "sonar-match"', 'id = "radar/match"'), "provides[radar/match].id: 'radar/match' must be lower-case letters"),
        (("unlabeled_sonar.parts:Net", "unlabeled_radar.parts:Net"), "lies outside the plugin's own package"),
    ],
)  # fmt: skip
def test_an_id_that_another_distribution_owns(
    index: Path, make: Make, tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    _, report = make()
    wheel = write_wheel(tmp_path / "thief", SONAR, manifest(SONAR).replace(*change), FILES)
    assert problem in refused(index, publish, wheel, index, report)[0]


def test_the_import_package_of_another_distribution(index: Path, make: Make, tmp_path: Path) -> None:
    _, report = make()
    text = manifest(SONAR).replace("unlabeled_sonar", "unlabeled_radar")
    radar = {f"unlabeled_radar/{path}": code for path, code in {**FILES, "unlabeled.toml": text}.items()}
    entry = {"unlabeled_sonar-1.0.dist-info/entry_points.txt": "[unlabeled.plugins]\nsonar = unlabeled_radar\n"}
    wheel = write_wheel(tmp_path / "thief", SONAR, None, {}, beside={**radar, **entry})
    told = "refused: its package is called 'unlabeled_radar', as if it were another's; call it 'unlabeled_sonar'"
    assert told in refused(index, publish, wheel, index, report)[0]


def test_a_version_is_never_replaced_not_even_after_it_was_deleted(index: Path, make: Make) -> None:
    wheel, report = make()
    publish(wheel, index, report)
    sha256 = read_wheel(wheel).sha256
    told = "version 1.0 was published before, as this very file; a version never changes: give a new one"
    assert refused(index, publish, wheel, index, report) == [f"{wheel.name}: {told}"]
    other, report = make(code="changed = True\n")
    told = f"version 1.0 was published before, as another file, of sha256 {sha256}; a version never changes"
    assert told in refused(index, publish, other, index, report)[0]
    for file in (index / "files").glob("unlabeled_sonar*.whl"):
        file.unlink()
    build(index)
    assert "unlabeled-sonar" not in read_index(str(index)).plugins
    assert told in refused(index, publish, other, index, report)[0]
    assert f"was served with sha256 {sha256}" in refused(index, build, index, [other.parent])[0]
    same, report = make(version="1.0.0")
    assert "version 1.0.0 was published before" in refused(index, publish, same, index, report)[0]
    newer, report = make(version="1.1")
    publish(newer, index, report)
    assert [release.version for release in read_index(str(index)).releases("sonar")] == ["1.1"]


def test_a_version_that_was_there_before_anything_was_published(index: Path, make: Make) -> None:
    wheel, report = make("unlabeled-radar", code="changed = True\n")
    assert "version 1.0 was published before, as another file" in refused(index, publish, wheel, index, report)[0]


def test_source_distributions_and_damaged_wheels(index: Path, make: Make, tmp_path: Path) -> None:
    wheel, report = make()
    (source := tmp_path / "unlabeled_sonar-1.0.tar.gz").write_bytes(b"")
    assert "no wheel; a source distribution runs code" in refused(index, publish, source, index, report)[0]
    wheel.write_bytes(wheel.read_bytes()[:-9])
    assert refused(index, publish, wheel, index, report)
    assert "none.whl: cannot be read (No such file" in refused(index, publish, tmp_path / "none.whl", index)[0]


def test_a_folder_that_holds_no_index_does_not_become_one(make: Make, tmp_path: Path) -> None:
    wheel, report = make()
    with pytest.raises(RegistryError, match="indx: holds no index"):
        publish(wheel, tmp_path / "indx", report)
    assert not (tmp_path / "indx").exists()
    build(tmp_path / "indx")
    publish(wheel, tmp_path / "indx", report)
    assert verify(str(tmp_path / "indx")) == []


PUBLISH = """
import os, sys
from pathlib import Path
from unlabeled_registry.index import change, publish

kept, count = change.os.replace, 0
def replace(source, target):
    global count
    kept(source, target)
    new = Path(source).parent.name == "new"
    count += new
    if new and count == {after}:
        {do}
change.os.replace = replace
publish.publish(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


def start(wheel: Path, index: Path, report: Path, after: int = 0, do: str = "pass") -> "subprocess.Popen[str]":
    code = PUBLISH.format(after=after, do=do)
    line = [sys.executable, "-c", code, str(wheel), str(index), str(report)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_full_disk_leaves_the_index_as_it_was(index: Path, make: Make, after: int) -> None:
    before = contents(index)
    process = start(*make()[:1], index, make()[1], after, "raise OSError(28, 'No space left on device', str(target))")
    assert "cannot be written (No space left on device)" in process.communicate()[1]
    assert contents(index) == before


def test_after_a_kill_the_next_command_undoes_what_was_begun(index: Path, make: Make) -> None:
    before = contents(index)
    wheel, report = make()
    process = start(wheel, index, report, 4, "os.kill(os.getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert contents(index) != before
    build(index)
    assert contents(index) == before
    publish(wheel, index, report)
    assert verify(str(index)) == []


def test_two_publishers_at_once_both_end_in_the_index(index: Path, tmp_path: Path) -> None:
    processes = []
    for name in ("unlabeled-sonar", "unlabeled-thermal", "unlabeled-lidar"):
        wheel = write_wheel(tmp_path / "new", name, manifest(name), FILES)
        (report := tmp_path / f"{name}.json").write_text(json.dumps(green(wheel, name, "1.0")))
        processes.append(start(wheel, index, report))
    for process in processes:
        assert (process.communicate()[1], process.returncode) == ("", 0)
    assert {"unlabeled-sonar", "unlabeled-thermal", "unlabeled-lidar"} <= set(read_index(str(index)).plugins)
    assert verify(str(index)) == []
    assert not [name for name in os.listdir(index) if name.startswith(".")]


def test_yank_and_its_undoing(index: Path, make: Make) -> None:
    before = {path: data for path, data in contents(index).items() if path != "state.json"}
    assert yank("radar==1.0", "eats data", index) == "unlabeled-radar 1.0"
    told = {release.version: release.yanked for release in read_index(str(index)).releases("radar")}
    assert told == {"0.9": None, "1.0": "eats data", "1.10": None}
    assert 'data-yanked="eats data"' in (index / "simple" / "unlabeled-radar" / "index.html").read_text()
    assert unyank("unlabeled_radar == 1.0", index) == "unlabeled-radar 1.0"
    assert {path: data for path, data in contents(index).items() if path != "state.json"} == before
    assert refused(index, unyank, "radar==1.0", index) == ["unlabeled-radar 1.0: is not yanked"]


def test_an_advisory_and_its_correction(index: Path) -> None:
    assert advise("radar", "<1.10", "A-1", "Leaks", None, index) == "unlabeled-radar 0.9, 1.0"
    advise("radar", "<1.0", "A-1", "Leaks", "1.0", index)
    found = {release.version: release.advisories for release in read_index(str(index)).releases("radar")}
    assert {version: [vars(item) for item in items] for version, items in found.items()} == {
        "0.9": [{"id": "A-1", "summary": "Leaks", "fixed_in": "1.0"}],
        "1.0": [],
        "1.10": [],
    }
    assert verify(str(index)) == []


def test_an_advisory_is_taken_back(index: Path) -> None:
    before = {path: data for path, data in contents(index).items() if path != "state.json"}
    advise("radar", "<1.10", "A-1", "Leaks", None, index)
    advise("radar", "<1.0", "A-2", "Hangs", None, index)
    assert withdraw("unlabeled_radar", "A-2", index) == "unlabeled-radar 0.9"
    assert [len(release.advisories) for release in read_index(str(index)).releases("radar")] == [1, 1, 0]
    told = ["unlabeled-radar: has no advisory 'A-2'; it has A-1"]
    assert refused(index, withdraw, "radar", "A-2", index) == told
    assert withdraw("radar", "A-1", index) == "unlabeled-radar 0.9, 1.0"
    assert {path: data for path, data in contents(index).items() if path != "state.json"} == before
    assert refused(index, withdraw, "touch", "A-1", index) == ["unlabeled-touch: has no advisory 'A-1'; it has none"]
    assert verify(str(index)) == []


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (lambda index: yank("radar", "x", index), "'radar': write one release, such as 'audio==1.2'"),
        (lambda index: yank("radar==9", "x", index), "unlabeled-radar: the index has no version 9; it has 0.9, 1.0, 1.10"),
        (lambda index: yank("rader==1.0", "x", index), "no plugin 'rader' in the index; did you mean 'radar'?"),
        (lambda index: yank("radar==1.0", " ", index), "--reason: must be one line of text"),
        (lambda index: yank("radar==1.0", "a\x1b[2J", index), "--reason: must be one line of text"),
        (lambda index: advise("radar", "1.2", "A", "b", None, index), "--affects '1.2': is no range of versions"),
        (lambda index: advise("radar", ">2", "A", "b", None, index), "--affects '>2': covers none of unlabeled-radar's"),
        (lambda index: advise("radar", "<2", "A", "b", "1.0", index), "--fixed-in 1.0: --affects <2 covers it"),
        (lambda index: advise("radar", "<2", "A", "b", "x", index), "--fixed-in 'x': is no version"),
        (lambda index: advise("radar", "<2", "A", "", None, index), "--summary: must be one line of text"),
    ],
)  # fmt: skip
def test_notices_that_are_wrong(index: Path, action: Callable[[Path], object], problem: str) -> None:
    assert refused(index, action, index)[0].startswith(problem)
