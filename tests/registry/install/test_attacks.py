"""What an installation refuses, each time leaving the environment as it was; the messages are what a person reads."""

import hashlib
import json
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.testing import write_wheel

World = Any
RUNS = "import pathlib; pathlib.Path({path!r}).write_text('ran')\n"


def test_a_changed_wheel(world: World) -> None:
    path = world.plugin("unlabeled-tones")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    told = world.refused("install", "tones", "--yes")
    assert "unlabeled_tones-1.0-py3-none-any.whl: refused" in told and "the wheel was changed" in told


def test_a_version_replaced_under_the_same_number(locked: World) -> None:
    locked.plugin("unlabeled-tones", code="changed = True\n")
    told = locked.refused("install", "tones", "--yes")
    assert "refused: unlabeled-tones 1.0" in told and "a version never changes" in told


def test_a_higher_version_in_another_index(world: World, make_wheels: Any) -> None:
    ran = world.root / "ran"
    world.plugin("unlabeled-tones", "1.0", requires=("sinewaves",))
    world.package("sinewaves", "1.0")
    make_wheels.plugin(world.root / "packages", "unlabeled-tones", "99.0", code=RUNS.format(path=str(ran)))
    world.done("install", "tones", "--yes")
    assert world.packages()["unlabeled_tones"] == "1.0"
    world.done("upgrade", "--yes")
    assert world.packages()["unlabeled_tones"] == "1.0"
    assert not ran.exists()


def test_a_plugin_that_only_another_index_has(world: World, make_wheels: Any) -> None:
    make_wheels.plugin(world.root / "packages", "unlabeled-tones", "99.0")
    world.plugin("unlabeled-tunes", "1.0", requires=("unlabeled-tones",))
    assert "no plugin 'tones' in the plugin index; did you mean 'tunes'?" in world.refused("install", "tones", "--yes")
    told = world.refused("install", "tunes", "--yes")
    assert (
        "unlabeled-tunes 1.0 needs plugin 'unlabeled-tones', which the plugin index does not have; it is looked for nowhere else"
        in told
    )


def test_a_plugin_in_disguise_from_the_ordinary_index(world: World) -> None:
    ran = world.root / "ran"
    files = {"sinewaves/__init__.py": RUNS.format(path=str(ran)), "sinewaves/unlabeled.toml": "schema = 1\n"}
    world.package("sinewaves", "1.0", files=files, entry_points="[unlabeled.plugins]\nsinewaves = sinewaves\n")
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    told = world.refused("install", "tones", "--yes")
    assert "sinewaves is a plugin, and the ordinary package index has it" in told
    assert not ran.exists()


def test_a_plugins_name_in_the_ordinary_index(world: World) -> None:
    """What a library needs in its turn is looked for there, by whatever name."""
    world.plugin("sonar", "1.0")
    world.package("sonar", "99.0")
    world.package("sinewaves", "1.0", requires=("sonar",))
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    told = world.refused("install", "tones", "--yes")
    assert (
        "refused: sonar 99.0 would come from the ordinary package index, and names like it come from the plugin" in told
    )


def test_a_library_that_brings_a_second_distribution(world: World) -> None:
    manifest = "schema = 1\nname = 'sneaky'\napi = '>=1.0'\nsummary = 'Hidden'\nhooks = true\n"
    files = {"sneaky/__init__.py": "", "sneaky/unlabeled.toml": manifest}
    files |= {"sneaky-1.0.egg-info/entry_points.txt": "[unlabeled.plugins]\nsneaky = sneaky\n"}
    world.package("sinewaves", "1.0", files=files)
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    told = world.refused("install", "tones", "--yes")
    assert "refused: sneaky-1.0.egg-info came with what was to be installed, and would count as another" in told


@pytest.mark.parametrize("imposter", ["unlabeled-t0nes", "unlabeled-to-nes", "tones"])
def test_a_name_that_looks_alike_or_owns_the_same_ids(world: World, imposter: str) -> None:
    wheel = world.plugin("unlabeled-tones")
    world.unpack(wheel)
    wheel.unlink()
    world.plugin(imposter, "2.0")
    told = world.refused("install", imposter, "--yes")
    assert f"plugin '{imposter}': this environment also has 'unlabeled-tones', which looks the same" in told


def test_both_of_two_that_look_alike_in_the_index(world: World) -> None:
    world.plugin("unlabeled-tones")
    world.plugin("unlabeled-t0nes")
    for name in ("t0nes", "tones"):
        assert "one of them may be an imposter" in world.refused("install", name, "--yes")


def test_a_package_that_hides_another(world: World) -> None:
    world.plugin("yaml")
    assert "brings the package 'yaml', which is here already" in world.refused("install", "yaml", "--yes")


def test_a_file_of_another_distribution(world: World) -> None:
    world.unpack(world.plugin("unlabeled-base"))
    world.package("sinewaves", "1.0", files={"unlabeled_base/parts.py": "changed = True\n"})
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    told = world.refused("install", "tones", "--yes")
    assert "refused: sinewaves would write over" in told and ", which is not its own" in told


def test_a_source_distribution_is_not_built(world: World) -> None:
    ran = world.root / "ran"
    write_source(world.root / "packages" / "sinewaves-1.0.tar.gz", RUNS.format(path=str(ran)))
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    assert "No matching distribution found for sinewaves" in world.refused("install", "tones", "--yes")
    assert not ran.exists()


@pytest.mark.slow
def test_a_source_distribution_is_built_where_that_is_allowed(world: World) -> None:
    ran = world.root / "ran"
    write_source(world.root / "packages" / "sinewaves-1.0.tar.gz", RUNS.format(path=str(ran)))
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    world.done("install", "tones", "--yes", "--allow-source", PIP_NO_BUILD_ISOLATION="0")
    assert ran.exists() and world.packages()["sinewaves"] == "1.0"


def test_a_manifest_other_than_the_one_the_index_shows(world: World) -> None:
    world.plugin("unlabeled-tones")
    file = world.root / "index" / "plugins.json"
    file.write_text(
        file.read_text().replace('"summary": "A recipe, as it loads without torch"', '"summary": "Harmless"')
    )
    assert (
        "plugins.json was changed: its manifest is not that of unlabeled_tones-1.0-py3-none-any.whl"
        in world.refused("install", "tones", "--yes")
    )


def test_a_release_whose_range_of_interfaces_cannot_be_read(world: World) -> None:
    world.plugin("unlabeled-tones")
    file = world.root / "index" / "plugins.json"
    file.write_text(file.read_text().replace('">=1.0,<2"', '"\\u001b[2J"'))
    told = world.refused("install", "tones", "--yes")
    assert (
        "no release of 'unlabeled-tones' fits. 1.0: its manifest cannot be used (api: must be one line of text)" in told
    )


def test_pip_of_the_folder_that_the_user_stands_in(world: World) -> None:
    ran, folder = world.root / "ran", world.root / "downloads"
    folder.mkdir()
    for name in ("pip.py", "json.py", "unlabeled_registry.py", "torch.py"):
        (folder / name).write_text(RUNS.format(path=str(ran)))
    world.package("sinewaves", "1.0")
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    command = [str(world.python), "-P", "-m", "unlabeled", "plugins", "install", "tones", "--yes"]
    done = subprocess.run(command, cwd=folder, env=world.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not ran.exists() and world.packages()["sinewaves"] == "1.0"


@pytest.mark.parametrize("by", ["variables", "a file"])
def test_settings_that_send_pip_to_another_environment(world: World, by: str) -> None:
    ran, python, settings = world.root / "ran", world.root / "python", world.root / "pip.conf"
    python.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    python.chmod(0o755)
    world.package("sinewaves", "1.0")
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    other = world.root / "other"
    if by == "variables":
        names = {"PIP_PYTHON": str(python), "PIP_TARGET": str(other), "PIP_USER": "1", "PIP_NO_DEPS": "1"}
    else:
        settings.write_text(f"[install]\ntarget = {other}\n[global]\nrequire-hashes = false\n")
        names = {"PIP_CONFIG_FILE": str(settings)}
    world.done("install", "tones", "--yes", **names)
    assert world.packages() == {"unlabeled_tones": "1.0", "sinewaves": "1.0"}
    assert not ran.exists() and not other.exists()


def test_two_installations_at_once(world: World) -> None:
    """The second is done while the first asks; then the first knows no more what it would change."""
    for name in ("unlabeled-base", "unlabeled-tones"):
        world.plugin(name)
    command = [str(world.python), "-m", "unlabeled", "plugins", "install", "tones"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    first = subprocess.Popen(command, env=world.variables, text=True, **pipes)
    shown = ""
    while "Go on?" not in shown:
        shown += first.stdout.read(1)
    world.done("install", "base", "--yes")
    _, told = first.communicate("y\n")
    assert first.returncode == 2
    assert "another command has changed the environment meanwhile; nothing was changed: try again" in told
    assert world.packages() == {"unlabeled_base": "1.0"}
    world.done("install", "tones", "--yes")
    assert world.done("verify").count("as installed: ") >= 2


MANIFEST = """\
schema = 1
name = "unlabeled-tones"
api = ">=1.0,<2"
summary = "A plugin of tests"

[[provides]]
kind = "evaluator"
id = "judge"
object = "unlabeled_tones:Judge"
summary = "Judges"
"""


def forge(world: World, manifest: str, beside: dict[str, str]) -> None:
    """Put another wheel in the place of a plugin's, and let the index say so: its keeper is the attacker."""
    path = world.plugin("unlabeled-tones")
    file = world.root / "index" / "plugins.json"
    data = json.loads(file.read_text())
    write_wheel(path.parent, "unlabeled-tones", manifest, beside=beside)
    (release,) = data["plugins"]["unlabeled-tones"]["releases"]
    release["sha256"], release["size"] = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("old", "new", "beside", "problem"),
    [
        ("-tones", "-base", {}, "name: 'unlabeled-base' is not the distribution's name, 'unlabeled-tones'"),
        ('"judge"', '"base/judge"', {}, "id: 'base/judge' must be lower-case letters, digits and hyphens"),
        ("_tones:", "_base:", {}, "'unlabeled_base:Judge' lies outside the plugin's own package"),
        ("_tones:Judge", "_tones.none:Judge", {}, "'unlabeled_tones.none:Judge' is not in the wheel"),
        ("", "", {"../evil.py": ""}, "../evil.py"),
        ("", "", {"evil.pth": "import os"}, "refused: evil.pth lies outside the plugin's own package"),
        (
            "",
            "",
            {"unlabeled_base/judge.py": ""},
            "refused: unlabeled_base/judge.py lies outside the plugin's own package",
        ),
    ],
    ids=["name", "id", "object", "missing", "path", "pth", "package"],
)
def test_a_wheel_that_reaches_for_what_is_anothers(
    world: World, old: str, new: str, beside: dict[str, str], problem: str
) -> None:
    world.unpack(world.plugin("unlabeled-base"))
    forge(world, MANIFEST.replace(old, new), beside)
    assert problem in world.refused("install", "tones", "--yes")


def test_a_plugin_that_the_policy_does_not_allow_is_not_even_tried(world: World) -> None:
    ran, policy = world.root / "ran", world.root / "policy.toml"
    world.plugin("unlabeled-tones", code=RUNS.format(path=str(ran)))
    policy.write_text("schema = 1\n")
    told = world.refused("install", "tones", "--yes", UNLABELED_POLICY=str(policy))
    assert f"is not allowed by {policy}: it does not name this plugin; nothing was installed" in told
    assert not ran.exists()
    world.done("install", "tones", "--yes")
    world.done("policy", "write", "--editable", "--out", str(policy))
    world.done("uninstall", "tones", "--yes")
    world.done("install", "tones", "--yes", UNLABELED_POLICY=str(policy))
    assert world.packages()["unlabeled_tones"] == "1.0"


def write_source(path: Path, code: str) -> None:
    files = {
        "setup.py": f"{code}from setuptools import setup\nsetup(name='sinewaves', version='1.0', py_modules=['sinewaves'])\n",
        "sinewaves.py": "",
    }
    files["PKG-INFO"] = "Metadata-Version: 2.1\nName: sinewaves\nVersion: 1.0\n"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            item = tarfile.TarInfo(f"sinewaves-1.0/{name}")
            item.size = len(text)
            archive.addfile(item, BytesIO(text.encode()))
