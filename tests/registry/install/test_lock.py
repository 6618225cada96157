"""Locks: what they hold, that pip and uv install them, that sync restores and verify tells."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

World = Any


def own(text: str) -> list[str]:
    """The entries that are not of the plugins that core's checkout brings."""
    entries = text.replace(" \\\n    ", " ").splitlines()
    return [entry.split("==")[0] for entry in entries if entry and entry[0] != "#"]


def test_a_lock_holds_plugins_and_what_they_need_beyond_core(locked: World) -> None:
    text = (locked.root / "lock.txt").read_text()
    assert own(text) == ["unlabeled-base", "unlabeled-tones", "sinewaves"]
    assert "://" not in text and str(locked.root) not in text
    assert locked.run("lock").stdout == text
    assert (
        "left out, as installed from a checkout (editable): unlabeled-audio 0.1.0, unlabeled-"
        in locked.run("lock").stderr
    )


def from_origin(world: World, wheel: Path, origin: dict[str, object]) -> None:
    """Install a wheel as an installer would have that got it from there."""
    world.unpack(wheel)
    stem = "-".join(wheel.name.split("-")[:2])
    folder = world.site / f"{stem}.dist-info"
    (folder / "direct_url.json").write_text(json.dumps(origin))
    with (folder / "RECORD").open("a") as record:
        record.write(f"{folder.name}/direct_url.json,,\n")


def test_a_plugin_from_a_folder_is_named_and_left_out_and_no_sync_removes_it(locked: World, make_wheels: Any) -> None:
    folder = make_wheels.plugin(locked.root / "elsewhere", "unlabeled-near")
    from_origin(locked, folder, {"url": "file:///checkout/near", "dir_info": {}})
    done = locked.run("lock", "--out", str(locked.root / "again.txt"))
    assert done.returncode == 0
    assert "left out, as installed from source, so that no index has their hashes" in done.stderr
    assert "to lock it): unlabeled-near 1.0\n" in done.stderr
    assert (locked.root / "again.txt").read_text() == (locked.root / "lock.txt").read_text()
    assert locked.done("sync", str(locked.root / "lock.txt"), "--yes") == "nothing to change\n"
    locked.done("verify", str(locked.root / "lock.txt"))


def test_sync_puts_the_locked_wheel_in_the_place_of_one_from_a_folder(locked: World) -> None:
    shutil.rmtree(locked.site / "unlabeled_tones")
    (wheel,) = (locked.root / "index" / "files").glob("unlabeled_tones-1.0-*.whl")
    from_origin(locked, wheel, {"url": "file:///checkout/tones", "dir_info": {}})
    assert "unlabeled-tones" in locked.done("sync", str(locked.root / "lock.txt"), "--yes")
    assert not (locked.site / "unlabeled_tones-1.0.dist-info" / "direct_url.json").exists()
    assert own(locked.done("lock")) == own((locked.root / "lock.txt").read_text())


def test_a_plugin_from_a_wheel_given_by_name_is_locked_by_its_hash(world: World, make_wheels: Any) -> None:
    wheel = make_wheels.plugin(world.root / "elsewhere", "unlabeled-near")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    from_origin(world, wheel, {"url": wheel.as_uri(), "archive_info": {"hashes": {"sha256": sha256}}})
    assert f"unlabeled-near==1.0 \\\n    --hash=sha256:{sha256}\n" in world.done("lock")


def test_plain_pip_installs_a_lock(locked: World, world: World) -> None:
    fresh = world
    command = [
        str(fresh.python),
        "-m",
        "pip",
        "install",
        "--require-hashes",
        "--find-links",
        str(locked.root / "index" / "files"),
        "--find-links",
        str(locked.root / "packages"),
    ]
    done = subprocess.run(
        [*command, "-r", str(locked.root / "lock.txt")],
        env=fresh.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert fresh.packages() == {"unlabeled_base": "1.0", "unlabeled_tones": "1.0", "sinewaves": "3.1"}
    fresh.done("verify", str(locked.root / "lock.txt"))


def test_sync_makes_the_plugins_those_of_the_file(locked: World) -> None:
    locked.plugin("unlabeled-tones", "2.0")
    locked.plugin("unlabeled-more", "1.0")
    before = locked.packages()
    locked.done("install", "tones==2.0", "more", "--yes")
    assert locked.packages() == {**before, "unlabeled_tones": "2.0", "unlabeled_more": "1.0"}
    told = locked.done("sync", str(locked.root / "lock.txt"), "--yes")
    assert "remove unlabeled-more 1.0" in told and "change unlabeled-tones 2.0 to 1.0" in told
    assert locked.packages() == before
    assert "the lock" in locked.refused("uninstall", "base", "tones", "--yes")
    locked.done("verify")
    assert locked.done("sync", str(locked.root / "lock.txt"), "--yes") == "nothing to change\n"


def test_sync_refuses_a_version_that_was_replaced(locked: World) -> None:
    locked.done("uninstall", "tones", "--yes")
    (locked.config / "lock.json").unlink()
    locked.plugin("unlabeled-tones", "1.0", code="changed = True\n")
    told = locked.refused("sync", str(locked.root / "lock.txt"), "--yes")
    assert "refused: unlabeled-tones 1.0" in told and "a version never changes" in told


def test_a_file_that_is_no_lock_is_told(world: World) -> None:
    (world.root / "lock.txt").write_text("torch\n")
    assert "lock.txt: has no line '# plugins'" in world.refused("sync", str(world.root / "lock.txt"), "--yes")


@pytest.mark.parametrize(
    "line",
    [
        "--index-url=http://127.0.0.1/==1",
        "-egit+http://127.0.0.1/x#egg=x==1",
        "-r/etc/passwd==1",
        "sinewaves==1;x",
        "sinewaves==../1",
    ],
)
def test_a_lock_that_says_more_than_names_and_versions(locked: World, line: str) -> None:
    file = locked.root / "lock.txt"
    file.write_text(f"{file.read_text()}{line} --hash=sha256:{'0' * 64}\n")
    assert f"lock.txt: '{line[:20]}" in locked.refused("sync", str(file), "--yes")


def test_an_installed_version_that_would_be_another_line_of_the_lock(locked: World) -> None:
    """The name of a folder is what says the version; pip takes folders that only begin with the name."""
    (folder,) = locked.site.glob("sinewaves-*.dist-info")
    folder.rename(folder.with_name("sinewaves-3.1\n-e .dist-info"))
    assert "'sinewaves' '3.1\\n-e ': is no name and version with sha256s" in locked.refused("lock")


def test_verify_names_what_differs(locked: World) -> None:
    assert "as installed: unlabeled-tones 1.0" in locked.done("verify")
    package = locked.site / "unlabeled_tones"
    (package / "parts.py").write_text("class Part: pass\n")
    (package / "extra.py").write_text("")
    (package / "unlabeled.toml").unlink()
    (locked.site / "sinewaves.py").unlink()
    result = locked.run("verify")
    assert result.returncode == 2
    for told in (
        "unlabeled-tones 1.0: unlabeled_tones/parts.py was changed",
        "unlabeled-tones 1.0: unlabeled_tones/extra.py was added",
        "unlabeled-tones 1.0: unlabeled_tones/unlabeled.toml is missing",
        "sinewaves 3.1: sinewaves.py is missing",
    ):
        assert told in result.stderr


def test_verify_sees_a_change_whose_record_was_changed_too(locked: World) -> None:
    import base64
    import hashlib

    file = locked.site / "unlabeled_tones" / "parts.py"
    file.write_text("class Part: pass\n")
    record = locked.site / "unlabeled_tones-1.0.dist-info" / "RECORD"
    new = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
    lines = [
        f"unlabeled_tones/parts.py,sha256={new},17" if "parts.py" in line else line
        for line in record.read_text().splitlines()
    ]
    record.write_text("\n".join(lines) + "\n")
    assert "unlabeled-tones 1.0: its RECORD is not the one that was installed" in locked.run("verify").stderr


def write_run(world: World, folder: Path, names: tuple[str, ...]) -> None:
    """A run's lock, as training writes it."""
    code = "import json, sys; from dataclasses import asdict; from unlabeled_registry.lock.used import used_plugins\n"
    code += "print(json.dumps({name: asdict(item) for name, item in used_plugins(sys.argv[1:]).items()}))"
    done = subprocess.run(
        [str(world.python), "-c", code, *names], env=world.variables, capture_output=True, text=True, check=True
    )
    folder.mkdir()
    (folder / "lock.json").write_text(json.dumps({"plugins": json.loads(done.stdout)}))


def test_sync_restores_the_plugins_of_a_run_and_leaves_others(locked: World) -> None:
    run = locked.root / "run"
    write_run(locked, run, ("unlabeled-tones",))
    assert list(json.loads((run / "lock.json").read_text())["plugins"]) == ["unlabeled-base", "unlabeled-tones"]
    before = locked.packages()
    locked.plugin("unlabeled-tones", "2.0")
    locked.plugin("unlabeled-more", "1.0")
    locked.done("install", "tones==2.0", "more", "--yes")
    locked.done("sync", str(run), "--yes")
    assert locked.packages() == {**before, "unlabeled_more": "1.0"}


@pytest.mark.slow
def test_sync_brings_back_changed_files_of_a_run(locked: World) -> None:
    run = locked.root / "run"
    write_run(locked, run, ("unlabeled-tones",))
    part = locked.site / "unlabeled_tones" / "parts.py"
    kept = part.read_text()
    lines = (locked.site / "unlabeled_tones-1.0.dist-info" / "RECORD").read_text()
    (locked.site / "unlabeled_tones-1.0.dist-info" / "RECORD").write_text(
        lines.replace("parts.py,sha256=", "parts.py,sha256=x")
    )
    part.write_text("changed\n")
    locked.done("sync", str(run), "--yes")
    assert part.read_text() == kept


def test_sync_refuses_other_contents_under_the_run_s_version(locked: World) -> None:
    run = locked.root / "run"
    write_run(locked, run, ("unlabeled-tones",))
    locked.done("uninstall", "tones", "--yes")
    locked.plugin("unlabeled-tones", "1.0", code="changed = True\n", requires=("unlabeled-base",))
    told = locked.refused("sync", str(run), "--yes")
    assert "refused: unlabeled-tones 1.0 has other contents than it had before; a version never changes" in told


def test_a_run_of_a_checkout_cannot_be_restored_from_an_index(world: World) -> None:
    run = world.root / "run"
    run.mkdir()
    (run / "lock.json").write_text(
        json.dumps({"plugins": {"unlabeled-tones": {"version": "1.0", "contents": "ab", "editable": True}}})
    )
    assert "unlabeled-tones: the run used a checkout (editable) of 1.0" in world.refused("sync", str(run), "--yes")


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_uv_installs_upgrades_and_removes_as_pip_does(world: World) -> None:
    world.package("sinewaves", "3.1")
    world.plugin("unlabeled-tones", "1.0", requires=("sinewaves",))
    world.done("install", "tones", "--yes", "--installer", "uv")
    assert world.packages() == {"unlabeled_tones": "1.0", "sinewaves": "3.1"}
    world.done("verify")
    world.plugin("unlabeled-tones", "2.0", code="raise OSError('no licence')\n")
    assert "no licence" in world.refused("upgrade", "--yes", "--installer", "uv")
    world.plugin("unlabeled-tones", "2.1")
    world.done("upgrade", "--yes", "--installer", "uv")
    assert world.packages() == {"unlabeled_tones": "2.1", "sinewaves": "3.1"}
    world.done("lock", "--out", str(world.root / "lock.txt"))
    world.done("uninstall", "tones", "--yes")
    command = [
        "uv",
        "pip",
        "install",
        "--python",
        str(world.python),
        "--require-hashes",
        "--find-links",
        str(world.root / "index" / "files"),
    ]
    subprocess.run([*command, "-r", str(world.root / "lock.txt")], env=world.variables, capture_output=True, check=True)
    assert world.packages() == {"unlabeled_tones": "2.1", "sinewaves": "3.1"}
