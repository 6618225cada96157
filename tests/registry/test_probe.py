"""The probe of one plugin, the doctor's other findings, and what a run asks of plugins that hear of every run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unlabeled_registry import libraries
from unlabeled_registry.doctor import examine
from unlabeled_registry.probe import probe, vet
from unlabeled_registry.registry import discover
from unlabeled_registry.testing import write_distribution

MANIFEST = """\
schema = 1
name = "unlabeled-demo"
api = ">=1.0,<2"
summary = "Demo"
uses = ["elsewhere/span"]
hooks = true
[[provides]]
kind = "recipe"
id = "start"
object = "unlabeled_demo:recipes/start.yaml"
summary = "A recipe"
"""


def test_a_good_plugin(site: Path) -> None:
    write_distribution(site, "unlabeled-demo", MANIFEST, {"recipes/start.yaml": "seed: 0\n"})
    result = probe("unlabeled-demo")
    assert (result.ok, result.cause, result.effects, result.heavy, result.network) == (True, "", (), (), False)
    assert result.seconds is not None and result.seconds < 60


def test_large_libraries_that_the_package_loads_are_told(site: Path) -> None:
    (site / "pandas.py").touch()
    write_distribution(site, "unlabeled-demo", MANIFEST, {"__init__.py": "import pandas", "recipes/start.yaml": ""})
    assert probe("unlabeled-demo").heavy == ("pandas",)


def test_a_file_that_the_manifest_names_and_is_not_there(site: Path) -> None:
    write_distribution(site, "unlabeled-demo", MANIFEST)
    assert probe("unlabeled-demo").problems == (
        "loading recipe demo/start: FileNotFoundError: unlabeled_demo:recipes/start.yaml is not there",
    )
    assert probe("unlabeled-demo", objects=False).ok


def test_a_package_in_a_folder_that_is_not_on_the_path(site: Path, tmp_path: Path) -> None:
    write_distribution(tmp_path / "target", "unlabeled-demo", MANIFEST, {"__init__.py": "1 / 0"})
    assert probe(("unlabeled_demo", tmp_path / "target")).cause == (
        "importing unlabeled_demo: ZeroDivisionError: division by zero"
    )
    assert probe("unlabeled-demo").cause.startswith("starting: ManifestError: 'unlabeled-demo' is not the name of a")


def test_a_broken_manifest_is_the_cause(site: Path) -> None:
    write_distribution(site, "unlabeled-demo", "schema = 2")
    assert "schema: 2 is not 1" in probe("unlabeled-demo").cause


def test_what_a_plugin_starts_ends_with_the_probe(site: Path, tmp_path: Path) -> None:
    code = f"""
import pathlib, subprocess, sys
waits = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(waits.pid))
"""
    write_distribution(site, "unlabeled-demo", MANIFEST, {"__init__.py": code})
    probe("unlabeled-demo", objects=False)
    pid = int((tmp_path / "pid").read_text())
    status = Path(f"/proc/{pid}/status")
    running = status.exists() and "(zombie)" not in status.read_text()
    if running:
        os.kill(pid, signal.SIGKILL)
    assert not running


class TestVet:
    def test_what_passed_is_not_imported_again_until_it_changes(self, site: Path, tmp_path: Path) -> None:
        code = f"open({str(tmp_path / 'imports')!r}, 'a').write('x')\n"
        package = write_distribution(site, "unlabeled-demo", MANIFEST, {"__init__.py": code})
        manifest = discover().plugins[0].manifest
        assert manifest is not None
        assert vet([manifest]) == vet([manifest]) == [""]
        assert (tmp_path / "imports").read_text() == "x"
        (package / "__init__.py").write_text(code + "raise SystemExit(3)\n")
        assert vet([manifest]) == vet([manifest]) == ["importing unlabeled_demo: SystemExit: 3"]
        assert (tmp_path / "imports").read_text() == "xxx"

    def test_one_that_would_end_the_run_does_not(self, site: Path) -> None:
        write_distribution(site, "unlabeled-demo", MANIFEST, {"__init__.py": "import os; os._exit(0)"})
        registry = discover()
        assert registry.import_hooks() == [
            "plugin 'unlabeled-demo', which is failed: importing unlabeled_demo: ends the process with exit code 0; "
            "upgrade or uninstall it"
        ]
        assert registry.plugin("demo").state == "failed"


def test_the_doctor_tells_of_components_that_are_used_and_missing(site: Path) -> None:
    write_distribution(site, "unlabeled-demo", MANIFEST, {"recipes/start.yaml": ""})
    registry = discover()
    (diagnosis,) = examine(registry, registry.plugins)
    (finding,) = diagnosis.findings
    assert diagnosis.works
    assert finding.problem == "its recipes use elsewhere/span, which no usable plugin provides"
    assert finding.cure == "install or enable unlabeled-elsewhere"


def test_the_doctor_tells_of_a_torchaudio_that_breaks_transformers(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("torch", "2.15.0"), ("torchaudio", "2.11.0")):
        monkeypatch.delitem(sys.modules, name, raising=False)  # where it is imported, Python answers with that one
        (site / f"{name}-{version}.dist-info").mkdir()
        monkeypatch.delitem(sys.modules, name, raising=False)  # else the one that is imported here would be found
    (problem,) = libraries.audio_problems()
    assert problem.startswith("torchaudio 2.11.0 is older than torch 2.15.0 allows: ")
    assert problem.endswith('run: pip install "torch>=2.11,<2.15" "torchaudio>=2.11,<2.12"')


class TestSelection:
    def states(self, site: Path, tmp_path: Path, *options: str, **variables: str) -> dict[str, str]:
        for owner in ("one", "two", "three"):
            text = MANIFEST.replace("demo", owner)
            write_distribution(site, f"unlabeled-{owner}", text)
        path = os.pathsep.join([str(site), *sys.path])
        environment = os.environ | {"PYTHONPATH": path, "UNLABELED_CONFIG": str(tmp_path / "config")} | variables
        command = [sys.executable, "-m", "unlabeled", *options, "plugins", "list", "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = {plugin["name"]: plugin["state"] for plugin in json.loads(done.stdout)}
        return {owner: found[f"unlabeled-{owner}"] for owner in ("one", "two", "three")}

    @pytest.mark.parametrize("names", ["one,unlabeled-three", " three , one "])
    def test_only(self, site: Path, tmp_path: Path, names: str) -> None:
        expected = {"one": "enabled", "two": "disabled", "three": "enabled"}
        assert self.states(site, tmp_path, "--only", names) == expected

    def test_only_is_stronger_than_the_environment(self, site: Path, tmp_path: Path) -> None:
        expected = {"one": "disabled", "two": "enabled", "three": "disabled"}
        assert self.states(site, tmp_path, "--only", "two", UNLABELED_PLUGINS="one") == expected

    def test_no_plugins(self, site: Path, tmp_path: Path) -> None:
        assert set(self.states(site, tmp_path, "--no-plugins").values()) == {"disabled"}

    def test_what_was_disabled_stays_so(self, site: Path, tmp_path: Path) -> None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "plugins.json").write_text('{"disabled": ["unlabeled-one"]}')
        expected = {"one": "disabled", "two": "disabled", "three": "enabled"}
        assert self.states(site, tmp_path, "--only", "one,three") == expected

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            (["--only", "oen"], "error: UNLABELED_PLUGINS or --only: no plugin 'oen' is installed"),
            (["--only", "one", "--no-plugins"], "error: --no-plugins and --only exclude each other"),
        ],
    )
    def test_wrong_use(self, options: list[str], line: str) -> None:
        command = [sys.executable, "-m", "unlabeled", *options, "plugins", "list"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(line)
