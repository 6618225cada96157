"""Uninstalling works whatever a plugin's code does, and not where something needs the plugin."""

from typing import Any

import pytest

World = Any


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)\n", "import os; os.kill(os.getpid(), 9)\n", "while True: pass\n", "syntax error\n"]
)
def test_a_broken_plugin_is_removed_without_a_trace(world: World, code: str) -> None:
    before = world.snapshot()
    world.unpack(world.plugin("unlabeled-tones", code=code))
    cache = world.site / "unlabeled_tones" / "__pycache__"
    cache.mkdir()
    (cache / "parts.cpython-311.pyc").write_bytes(b"")
    world.done("uninstall", "tones", "--yes")
    assert {path: stamp for path, stamp in world.snapshot().items() if not path.startswith(str(world.config))} == before


def test_a_plugin_without_a_record_is_removed(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones"))
    (world.site / "unlabeled_tones-1.0.dist-info" / "RECORD").unlink()
    world.done("uninstall", "tones", "--yes")
    assert not [*world.site.glob("unlabeled_tones*")]


def test_a_record_that_names_files_outside_the_environment_removes_none_of_them(world: World) -> None:
    kept = world.root / "kept.txt"
    kept.write_text("mine")
    world.unpack(world.plugin("unlabeled-tones"))
    with (world.site / "unlabeled_tones-1.0.dist-info" / "RECORD").open("a") as file:
        file.write("../../../../kept.txt,,\n")
    world.done("uninstall", "tones", "--yes")
    assert kept.read_text() == "mine" and world.packages() == {}


def test_what_another_plugin_needs_stays_unless_both_are_named(world: World) -> None:
    world.unpack(world.plugin("unlabeled-base"))
    world.unpack(world.plugin("unlabeled-tones", requires=("unlabeled-base",)))
    world.unpack(world.plugin("unlabeled-tunes", uses=("base/contrast",)))
    assert "unlabeled-base: unlabeled-tones, unlabeled-tunes need it; name these too, or --force" in world.refused(
        "uninstall", "base", "--yes"
    )
    world.done("uninstall", "base", "tones", "tunes", "--yes")
    assert world.packages() == {}


def test_what_lies_outside_the_environment_is_not_touched(world: World) -> None:
    assert "unlabeled-audio: lies in" in world.refused("uninstall", "audio", "--yes", "--force")
    assert "no plugin 'tone' in this environment" in world.refused("uninstall", "tone", "--yes")


def test_no_command_that_reads_or_removes_imports_a_plugin(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones", code="import os; os._exit(3)\n"))
    assert "unlabeled-tones==1.0" in world.done("lock")
    assert "as installed: unlabeled-tones 1.0" in world.done("verify")
    assert "newest release" in world.done("outdated")
