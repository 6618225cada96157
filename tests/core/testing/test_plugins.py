"""Checking a whole plugin: what is required runs or the report is red, and each planted fault breaks its promise."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.testing.faults import FAULTS, SLOW, Fault
from tests.core.testing.sketch import importable, write_sketch
from unlabeled.testing import modalities
from unlabeled.testing.__main__ import main
from unlabeled.testing.conformance.promises import CAPABILITY, PROMISES, required
from unlabeled.testing.conformance.run import ALL, Checks, check_plugin, requirements
from unlabeled_registry.capabilities import CAPABILITIES, PAIRED
from unlabeled_registry.registry import discover

RUNS = {"import", "export", "invariance", "continues", "learns", "collapse", "dry-run", "trains"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    write_sketch(folder)
    with importable(folder):
        yield folder


def nothing(*_: object) -> None:
    """A check that always passes."""


def stubs() -> Checks:
    return Checks(dict.fromkeys(ALL.of_plugin, nothing), dict.fromkeys(ALL.of_components, nothing))


def test_the_list_is_closed_and_each_promise_has_a_check() -> None:
    counts = {kind: len(promises) for kind, promises in PROMISES.items()}
    assert counts == {
        "plugin": 6,
        "modality": 19,
        "encoder": 22,
        "augmentation": 12,
        "objective": 25,
        "evaluator": 12,
        "source": 11,
        "recipe": 3,
    }, "a promise was added or taken away: say so here too"
    wanted = {(kind, promise) for kind, promises in PROMISES.items() if kind != "plugin" for promise in promises}
    wanted |= {("encoder", CAPABILITY + name) for name in CAPABILITIES if name != PAIRED}
    assert set(ALL.of_components) == wanted
    assert set(ALL.of_plugin) == set(PROMISES["plugin"])


def test_what_is_required_follows_from_the_manifest_alone(site: Path) -> None:
    plugin, wanted = requirements("sketch", discover())
    assert "unlabeled_sketch" not in sys.modules
    assert plugin.manifest is not None
    assert wanted == list(required(plugin.manifest))
    tower = {item.promise for item in wanted if item.component == "sketch/tower"}
    assert tower >= {"capability-tokens", "capability-layers", "rows"}
    assert "capability-causal" not in tower


def test_without_any_one_of_its_checks_a_report_is_red(site: Path) -> None:
    whole = check_plugin("sketch", checks=stubs())
    assert whole.green
    assert whole.ran == len(whole.required) > 140
    for item in {(item.kind, item.promise): item for item in whole.required}.values():
        checks = stubs()
        table = checks.of_plugin if item.kind == "plugin" else checks.of_components
        del table[item.promise if item.kind == "plugin" else (item.kind, item.promise)]  # type: ignore[attr-defined]
        report = check_plugin("sketch", checks=checks)
        assert not report.green
        assert report.ran < len(report.required)
        missing = [check for check in report.checks if check.result == "not-run"]
        assert {(check.kind, check.promise) for check in missing} == {(item.kind, item.promise)}
        assert report.summary().endswith(
            f"ran {report.ran} of {len(whole.required)} required, {report.ran} passed: red"
        )


def test_the_good_plugin_keeps_every_promise_that_takes_no_run(site: Path) -> None:
    quick = Checks(
        {name: check for name, check in ALL.of_plugin.items() if name not in RUNS},
        {key: check for key, check in ALL.of_components.items() if key[1] not in RUNS},
    )
    report = check_plugin("sketch", checks=quick)
    assert [str(check) for check in report.checks if check.result == "failed"] == []
    assert {check.promise for check in report.checks if check.result == "not-run"} == RUNS


def names_of(faults: list[Fault]) -> list[str]:
    return [fault.name.replace(" ", "-") for fault in faults]


QUICK = [fault for fault in FAULTS if fault.broken not in SLOW]
LONG = [fault for fault in FAULTS if fault.broken in SLOW]


@pytest.mark.parametrize("fault", QUICK, ids=names_of(QUICK))
def test_a_fault_breaks_its_promise(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "SECONDS", 2.0)
    check_fault(fault, tmp_path)


FALLING = [fault for fault in FAULTS if fault.broken.endswith(":collapse")]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FALLING, ids=names_of(FALLING))
def test_what_collapses_lowers_its_loss_all_the_same(fault: Fault, tmp_path: Path) -> None:
    file = write_sketch(tmp_path) / fault.file
    file.write_text(file.read_text().replace(fault.old, fault.new, 1))
    with importable(tmp_path):
        report = check_plugin("sketch", only=fault.broken.replace("collapse", "learns"))
    assert [check.result for check in report.checks if check.result != "not-run"] == ["passed"], "a loss shows it too"


@pytest.mark.slow
@pytest.mark.parametrize("fault", LONG, ids=names_of(LONG))
def test_a_fault_that_only_a_run_or_another_process_shows_breaks_its_promise(fault: Fault, tmp_path: Path) -> None:
    check_fault(fault, tmp_path)


def check_fault(fault: Fault, folder: Path) -> None:
    file = write_sketch(folder) / fault.file
    text = file.read_text()
    assert fault.old in text, f"{fault.name}: {fault.file} has changed, so nothing is planted"
    file.write_text(text.replace(fault.old, fault.new, 1))
    with importable(folder):
        report = check_plugin("sketch", only=fault.broken)
    (found,) = (check for check in report.checks if check.result != "not-run")
    assert found.result == "failed", f"{fault.name}: not caught"
    assert found.message
    assert "\n" not in found.message


def test_an_unexpected_error_is_told_with_its_place(tmp_path: Path) -> None:
    file = write_sketch(tmp_path) / "network.py"
    lines = file.read_text().replace("self.inner(values)", "self.outher(values)").splitlines()
    file.write_text("\n".join(lines))
    (number,) = (number for number, line in enumerate(lines, 1) if "outher" in line)
    with importable(tmp_path):
        report = check_plugin("sketch", only="sketch/tower:rows")
    (found,) = (check for check in report.checks if check.result == "failed")
    error = "AttributeError: 'Tower' object has no attribute 'outher'"
    assert found.message == f"{error} (network.py, line {number})"


def test_each_component_is_told_when_it_is_finished(site: Path) -> None:
    events: list[str] = []
    report = check_plugin("sketch", checks=stubs(), finished=lambda part: events.append(str(part)))
    assert events[0] == "[1/10] plugin: 6 of 6 kept, 0.0 s"
    assert events[-1] == "[10/10] recipe sketch/sketch-fill: 3 of 3 kept, 0.0 s"
    assert sum(int(event.split(": ")[1].split()[0]) for event in events) == len(report.required)


def test_a_plugin_that_is_not_installed_cannot_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sketsch"]) == 2
    assert capsys.readouterr().err.startswith("no plugin 'sketsch' is installed")


def test_settings_that_cannot_be_read_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = write_sketch(tmp_path) / "conformance.toml"
    settings.write_text("[encoder.tower]\noption = {width = 4}\n")
    with importable(tmp_path):
        assert main(["sketch", "--only", "sketch/tower:rows"]) == 2
    assert capsys.readouterr().err == f"{settings}: encoder.tower.option: unknown key; did you mean options?\n"


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    line = [sys.executable, "-m", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, cwd=site)


def test_the_command_says_what_ran_and_exits_with_it(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    found = run(site, "unlabeled.testing", "sketch", "--only", "sketch/gaps:valid", "--json", str(file))
    assert found.returncode == 1, found.stderr
    assert "passed   sketch/gaps  valid: a transform keeps rows" in found.stdout
    report = json.loads(file.read_text())
    assert found.stdout.endswith(f"unlabeled-sketch 0.1.0: ran 1 of {report['required']} required, 1 passed: red\n")
    assert report["green"] is False
    assert (report["schema"], report["plugin"], report["version"], report["ran"], report["passed"]) == (
        1,
        "unlabeled-sketch",
        "0.1.0",
        1,
        1,
    )
    assert len(report["checks"]) == report["required"]
    assert {check["result"] for check in report["checks"]} == {"passed", "not-run"}


def test_in_pytest_a_promise_that_was_deselected_makes_the_session_red(site: Path) -> None:
    options = ["-p", "unlabeled.testing.pytest_plugin", "--unlabeled-plugin", "sketch", "-q", "-p", "no:cacheprovider"]
    found = run(site, "pytest", *options, "-k", "gaps and valid")
    assert "1 passed" in found.stdout
    assert "unlabeled-sketch 0.1.0: ran 1 of " in found.stdout
    assert found.returncode == 1, found.stdout


@pytest.mark.slow
def test_the_good_plugin_is_green(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    found = run(site, "unlabeled.testing", "sketch", "--json", str(file))
    assert found.returncode == 0, found.stdout
    assert json.loads(file.read_text())["green"] is True


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audio", "crossmodal", "standard", "text", "timeseries", "video", "vision"])
def test_first_party_plugins_are_green(name: str, tmp_path: Path) -> None:
    found = run(tmp_path, "unlabeled.testing", name)
    assert found.returncode == 0, "\n".join(line for line in found.stdout.splitlines() if not line.startswith("passed"))


@pytest.mark.slow
def test_the_plugin_of_the_readme_is_green(rows_plugin: Path) -> None:
    found = run(rows_plugin, "unlabeled.testing", "rows")
    assert found.returncode == 0, found.stdout
