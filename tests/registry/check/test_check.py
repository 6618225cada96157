"""`plugins check`: what is checked is the wheel, in an environment of its own, and nothing is left behind."""

import hashlib
import json
import os
import re
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.check.environment import missing
from unlabeled_registry.check.process import Finished, StepError
from unlabeled_registry.check.process import run as run_process
from unlabeled_registry.check.report import contradiction
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.testing import write_distribution, write_wheel

Check = Callable[..., dict[str, Any]]
Wheel = Callable[..., Path]


def seen(report: dict[str, Any]) -> dict[str, Any]:
    """What the stand-in for the kit saw."""
    found: dict[str, Any] = json.loads(report["checks"][0]["message"])
    return found


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def refusal(check: Check, path: Path, **options: Any) -> str:
    """The one line with which a check is refused."""
    with pytest.raises(RegistryError) as caught:
        check(path, **options)
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return problem


class TestWhatIsChecked:
    def test_a_project_is_built_and_stays_as_it_is(self, run: Check, project: Path, scratch: Path) -> None:
        (project / "build" / "lib" / "unlabeled_tiny").mkdir(parents=True)
        (project / "build" / "lib" / "unlabeled_tiny" / "__init__.py").write_text("raise SystemExit('stale')")
        before = snapshot(project)
        report = run(project)
        assert report["green"]
        assert report["file"] == "unlabeled_tiny-1.0-py3-none-any.whl"
        assert re.fullmatch("[0-9a-f]{64}", report["sha256"])
        assert snapshot(project) == before
        assert list(scratch.iterdir()) == []

    def test_a_project_of_setuptools_leaves_nothing_in_its_folder(self, run: Check, project: Path) -> None:
        text = (project / "pyproject.toml").read_text().replace("hatchling.build", "setuptools.build_meta")
        text = text.replace("hatchling", "setuptools").partition("[tool.hatch")[0]
        package_data = '[tool.setuptools]\npackages = ["unlabeled_tiny"]\n[tool.setuptools.package-data]\n"*" = ["*.toml", "*.yaml"]\n'
        (project / "pyproject.toml").write_text(text + package_data)
        before = snapshot(project)
        assert run(project)["green"]
        assert snapshot(project) == before

    def test_a_wheel_is_taken_as_it_is(self, run: Check, wheel: Wheel, scratch: Path) -> None:
        path = wheel()
        report = run(path)
        assert report["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert report["file"] == path.name
        assert list(scratch.iterdir()) == []

    @pytest.mark.parametrize("version", ["1.0", "2.0"])
    def test_the_wheels_copy_wins_over_others_on_the_path(
        self, version: str, run: Check, wheel: Wheel, running: Path
    ) -> None:
        write_distribution(running, "unlabeled-tiny", "", {"__init__.py": "SAYS = 'another'"}, version=version)
        report = run(wheel("SAYS = 'the wheel'"))
        found = seen(report)
        assert found["says"] == "the wheel"
        assert Path(found["package"]).is_relative_to(found["prefix"])
        assert report["version"] == "1.0"

    def test_a_copy_that_cannot_be_outdone_is_refused(self, run: Check, wheel: Wheel, running: Path) -> None:
        # Editable installs of some backends put a finder before all folders of the path.
        elsewhere = running.parent / "elsewhere"
        write_distribution(elsewhere, "unlabeled-tiny", "")
        (running / "hijack.py").write_text(
            "import importlib.util, sys\n"
            "class Finder:\n"
            "    @staticmethod\n"
            "    def find_spec(name, path=None, target=None):\n"
            f"        place = {str(elsewhere)!r} + '/unlabeled_tiny'\n"
            "        if name == 'unlabeled_tiny':\n"
            "            return importlib.util.spec_from_file_location(\n"
            "                name, place + '/__init__.py', submodule_search_locations=[place])\n"
            "def install():\n"
            "    sys.meta_path.insert(0, Finder)\n"
        )
        (running / "hijack.pth").write_text("import hijack; hijack.install()\n")
        problem = refusal(run, wheel())
        assert problem == (
            f"unlabeled-tiny: another copy in {elsewhere}/unlabeled_tiny hides the wheel's; "
            "uninstall it (pip uninstall unlabeled-tiny)"
        )

    def test_outer_settings_do_not_reach_it(
        self, run: Check, wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_distribution(tmp_path / "outer", "unlabeled-tiny", "", {"__init__.py": "SAYS = 'outer'"})
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "outer"))
        monkeypatch.setenv("UNLABELED_PLUGINS", "")
        monkeypatch.setenv("UNLABELED_CONFIG", str(tmp_path / "config"))
        found = seen(run(wheel("SAYS = 'inner'")))
        assert found["says"] == "inner"
        assert found["variables"] == {
            "HF_HUB_OFFLINE": "1",
            "UNLABELED_PLUGINS": None,
            "UNLABELED_CONFIG": None,
            "PYTHONPATH": None,
        }
        assert found["folder"] not in found["path"]
        assert os.getcwd() != found["folder"]

    def test_what_it_needs_and_is_not_there_is_installed_for_the_check_alone(
        self, run: Check, wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_wheel(tmp_path / "links", "tiny-dependency", None, {"__init__.py": "WORD = 'found'"})
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", "links")
        monkeypatch.chdir(tmp_path)  # from where the command is given
        report = run(wheel("from tiny_dependency import WORD as SAYS", "Requires-Dist: tiny-dependency>=1\n"))
        assert seen(report)["says"] == "found"

    @pytest.mark.slow
    def test_from_scratch_everything_comes_from_the_index(
        self, run: Check, wheel: Wheel, running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        links, registry = tmp_path / "links", Path(read_wheel.__code__.co_filename).parents[1]
        kit = {f"testing/{file.name}": file.read_text() for file in (running / "unlabeled" / "testing").iterdir()}
        write_wheel(links, "unlabeled", None, kit, metadata="Requires-Dist: unlabeled-registry\n")
        code = {str(path.relative_to(registry)): path.read_text() for path in registry.glob("*.py")}
        write_wheel(links, "unlabeled-registry", None, code)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(links))
        found = seen(run(wheel("", "Requires-Dist: unlabeled\n"), from_scratch=True))
        assert not [path for path in found["path"] if "site-packages" in path and found["prefix"] not in path]
        assert str(running) not in found["path"]


class TestProgress:
    def test_each_component_is_told_while_the_others_are_checked(
        self, run: Check, wheel: Wheel, tmp_path: Path
    ) -> None:
        until, told = tmp_path / "until", []
        os.mkfifo(until)

        def tell(text: str) -> None:
            told.append(text)
            if text.startswith("[1/2]"):
                until.open("w").close()  # nothing else lets the kit go on

        assert run(wheel(f"DOES, UNTIL = 'waits', {str(until)!r}"), tell=tell)["green"]
        assert [line for line in told if line.startswith("[")] == ["[1/2] plugin: 1 of 1 kept, 0.1 s\\x1b[2J"]
        assert not any("whatever" in line for line in told)


class TestVerdicts:
    def test_red(self, run: Check, wheel: Wheel) -> None:
        report = run(wheel("DOES = 'fails'"))
        assert (report["green"], report["required"], report["ran"], report["passed"]) == (False, 2, 2, 1)

    def test_what_did_not_run_is_red(self, run: Check, wheel: Wheel) -> None:
        report = run(wheel("DOES = 'leaves-out'"))
        assert (report["green"], report["required"], report["ran"], report["passed"]) == (False, 2, 1, 1)

    def test_a_report_of_another_plugin_is_refused(self, run: Check, wheel: Wheel) -> None:
        problem = refusal(run, wheel("LIES = {'plugin': 'unlabeled-vision'}"))
        lie = "is of unlabeled-vision 1.0, not of unlabeled-tiny 1.0"
        assert problem == f"unlabeled-tiny: the report of its checks {lie}; a plugin must not touch it"

    @pytest.mark.parametrize(
        ("lies", "message"),
        [
            ({}, ""),
            ({"green": False}, "contradicts itself"),
            ({"passed": 3, "ran": 3, "required": 3}, "contradicts itself"),
            ({"ran": 0}, "contradicts itself"),
            ({"required": 0, "ran": 0, "passed": 0, "checks": []}, "contradicts itself"),
            ({"version": "2.0"}, "is of unlabeled-tiny 2.0, not of unlabeled-tiny 1.0"),
            ({"schema": 2}, "has schema 2, not 1"),
        ],
    )
    def test_a_report_must_add_up(self, lies: dict[str, Any], message: str, wheel: Wheel) -> None:
        texts = dict.fromkeys(("component", "kind", "promise", "text", "message"), "")
        counts = {"green": True, "required": 1, "ran": 1, "passed": 1, "checks": [{**texts, "result": "passed"}]}
        report = {"schema": 1, "plugin": "unlabeled-tiny", "version": "1.0", **counts}
        assert contradiction(report | lies, read_wheel(wheel())) == message

    def test_a_report_that_is_none_is_refused(self, run: Check, wheel: Wheel) -> None:
        problem = refusal(run, wheel("LIES = {'checks': [3]}"))
        assert "the report of its checks is not what the kit writes" in problem


class TestWhatCannotBeChecked:
    def test_it_hangs(self, run: Check, wheel: Wheel, scratch: Path) -> None:
        problem = refusal(run, wheel("DOES = 'hangs'"), limit=2)
        assert problem.startswith("unlabeled-tiny: the checks did not end within 2 s; something in it hangs or is slow")
        assert list(scratch.iterdir()) == []

    def test_it_crashes(self, run: Check, wheel: Wheel) -> None:
        problem = refusal(run, wheel("DOES = 'crashes'"))
        assert problem.startswith("unlabeled-tiny: cannot be checked: its process was ended by signal 11")

    def test_its_import_fails(self, run: Check, wheel: Wheel) -> None:
        problem = refusal(run, wheel("import not_there_at_all"))
        cause = "ModuleNotFoundError: No module named 'not_there_at_all'"
        assert problem == f"unlabeled-tiny: loading unlabeled_tiny fails: {cause} (unlabeled_tiny/__init__.py, line 1)"

    def test_its_import_ends_the_process(self, run: Check, wheel: Wheel) -> None:
        problem = refusal(run, wheel("import os; os._exit(0)"))
        assert problem == "unlabeled-tiny: loading unlabeled_tiny ends the process with 0"

    def test_its_import_hangs(self, run: Check, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("unlabeled_registry.check.kit.LOAD_LIMIT", 1)
        problem = refusal(run, wheel("while True: pass"))
        assert problem == "unlabeled-tiny: loading unlabeled_tiny does not end within 1 s"

    def test_the_kit_refuses(self, run: Check, wheel: Wheel) -> None:
        problem = refusal(run, wheel("DOES = 'refuses'"))
        assert problem == ("unlabeled-tiny: cannot be checked: plugin 'unlabeled-tiny' is failed: it cannot be used")

    def test_the_kit_is_not_there(self, run: Check, wheel: Wheel, running: Path) -> None:
        (running / "unlabeled" / "testing" / "__main__.py").unlink()
        assert refusal(run, wheel()).endswith("beside it brings no checks; upgrade unlabeled")

    def test_its_wheel_cannot_be_built(self, run: Check, project: Path, scratch: Path) -> None:
        text = (project / "pyproject.toml").read_text()
        (project / "pyproject.toml").write_text(text.replace('version = "1.0"', 'version = "one"'))
        with pytest.raises(StepError) as caught:
            run(project)
        (problem,) = caught.value.problems
        assert problem.startswith(f"{project}: its wheel cannot be built: ValueError: Invalid version")
        assert "Traceback" in caught.value.log
        assert list(scratch.iterdir()) == []

    def test_no_project(self, run: Check, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        problem = refusal(run, tmp_path / "empty")
        assert problem.startswith(f"{tmp_path}/empty: no pyproject.toml in it; give the folder of a plugin's project")
        problem = refusal(run, tmp_path / "nowhere")
        assert problem == f"{tmp_path}/nowhere: no such file or folder; give a plugin's project or its wheel"

    def test_a_pyproject_that_cannot_be_read(self, run: Check, project: Path) -> None:
        (project / "pyproject.toml").write_text("[build-system")
        assert refusal(run, project).startswith(f"{project}/pyproject.toml: cannot be read: ")

    def test_no_manifest(self, run: Check, project: Path) -> None:
        (project / "unlabeled_tiny" / "unlabeled.toml").unlink()
        assert "unlabeled_tiny/unlabeled.toml is missing" in refusal(run, project)

    def test_a_source_distribution(self, run: Check, tmp_path: Path) -> None:
        (tmp_path / "unlabeled_tiny-1.0.tar.gz").write_bytes(b"")
        assert "build a wheel of it" in refusal(run, tmp_path / "unlabeled_tiny-1.0.tar.gz")

    def test_what_it_needs_cannot_be_found(self, run: Check, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        path = wheel("", "Requires-Dist: nobody-wrote-this>=3\n")
        problem = refusal(run, path)
        assert problem.startswith(f"{path.name}: cannot be installed: ")
        assert "nobody-wrote-this>=3" in problem
        assert problem.endswith("mend `dependencies` in pyproject.toml")


def test_what_is_missing(wheel: Wheel) -> None:
    lines = (
        "pluggy>=1",
        "pluggy>=900",
        "absent; python_version < '3'",
        "absent",
        "pluggy[extra]",
        "absent; extra == 'x'",
        "also; extra == 'conformance'",
    )
    path = wheel("", "".join(f"Requires-Dist: {line}\n" for line in lines))
    assert missing(read_wheel(path)) == ["pluggy>=900", "absent", "pluggy[extra]", "also"]
    with pytest.raises(RegistryError) as caught:
        missing(read_wheel(wheel("", "Requires-Dist: torch<2\n")))
    assert re.fullmatch(
        r"unlabeled-tiny requires torch<2, and 2\.\S+ is installed here; widen that in pyproject.toml, or check with "
        "--from-scratch",
        str(caught.value),
    )


def test_the_line_that_says_what_went_wrong() -> None:
    log = "Processing\n  ValueError: no file here\n  note: This is an issue\nERROR: Failed to build wheel\n"
    assert Finished(1, log).cause == "ValueError: no file here"
    assert Finished(1, "ERROR: No matching distribution found\n").cause == "No matching distribution found"
    assert Finished(1, "a\nb\n\n").cause == "b"
    assert Finished(1, "").cause == "it printed nothing"


def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    fifo = str(tmp_path / "alive")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    left = f"file = open({fifo!r}, 'w'); print(flush=True); import time; time.sleep(60)"
    code = (
        "import subprocess, sys;"
        f"left = subprocess.Popen([sys.executable, '-c', {left!r}], stdout=subprocess.PIPE);"
        "left.stdout.readline(); print('done')"
    )
    command, log = [sys.executable, "-c", code], tmp_path / "log"
    done = run_process(command, folder=tmp_path, variables=os.environ, log=log, limit=60)
    assert done == (0, "done\n")
    ended, _, _ = select.select([reader], [], [], 10)
    assert ended, "what it started still holds the file open"
    os.close(reader)
