"""What plugins brought and nothing needs any longer is named by `uninstall`, and removed where that is asked for."""

import json
import shutil
from typing import Any

import pytest

World = Any


@pytest.fixture(scope="session")
def brought_world(new_world: Any) -> World:
    """Made once: a plugin that brought another one and two packages, and changed one that was there before."""
    world = new_world("brought")
    world.package("cosinewaves", "0.2")
    world.package("sinewaves", "3.1", requires=("cosinewaves", "keeper>=1.1"))
    world.unpack(world.package("keeper", "1.0"))
    world.package("keeper", "1.1")
    world.plugin("unlabeled-base", "1.0")
    world.plugin("unlabeled-tones", "1.0", requires=("unlabeled-base", "sinewaves", "torch"))
    world.plugin("unlabeled-tunes", "1.0", requires=("cosinewaves",), uses=("base/contrast",))
    world.done("install", "tones", "--yes")
    return world


@pytest.fixture
def brought(brought_world: World, copied: Any) -> World:
    return copied(brought_world)


def test_the_plan_and_the_end_name_what_nothing_needs(brought: World) -> None:
    text = brought.done("uninstall", "tones", "--yes")
    stays = "stays, though nothing needs it any longer: cosinewaves 0.2, sinewaves 3.1 and unlabeled-base 1.0"
    assert text.splitlines()[-3:] == [
        f"{stays} (--autoremove removes it too)",
        "done: remove unlabeled-tones 1.0",
        "`unlabeled plugins uninstall --autoremove` removes what nothing needs any longer",
    ]
    assert set(brought.packages()) == {"cosinewaves", "keeper", "sinewaves", "unlabeled_base"}
    plan = json.loads(brought.done("uninstall", "--autoremove", "--dry-run", "--json"))
    assert [change["name"] for change in plan["changes"]] == ["cosinewaves", "sinewaves", "unlabeled-base"]
    brought.done("uninstall", "--autoremove", "--yes")
    assert set(brought.packages()) == {"keeper"}
    assert brought.done("uninstall", "--autoremove", "--yes") == "nothing to change\n"
    brought.done("verify")


def test_what_others_need_was_asked_for_or_was_there_before_stays(brought: World) -> None:
    brought.unpack(brought.root / "index" / "files" / "unlabeled_tunes-1.0-py3-none-any.whl")
    assert "remove sinewaves 3.1 and unlabeled-tones 1.0" in brought.done("uninstall", "tones", "--autoremove", "--yes")
    assert set(brought.packages()) == {"cosinewaves", "keeper", "unlabeled_base", "unlabeled_tunes"}
    assert brought.done("install", "base", "--yes") == "nothing to change\n"  # but now it is wanted for itself
    told = brought.done("uninstall", "tunes", "--autoremove", "--yes")
    assert "done: remove cosinewaves 0.2 and unlabeled-tunes 1.0\n" in told
    assert set(brought.packages()) == {"keeper", "unlabeled_base"}


def test_what_was_changed_by_other_means_stays(brought: World) -> None:
    old = brought.site / "cosinewaves-0.2.dist-info"
    old.rename(old.with_name("cosinewaves-0.3.dist-info"))
    told = brought.done("uninstall", "tones", "--dry-run")
    assert "nothing needs it any longer: sinewaves 3.1 and unlabeled-base 1.0 (" in told


def test_a_file_that_another_package_has_too_stays(brought: World) -> None:
    module = brought.site / "sinewaves.py"
    record = brought.site / "keeper-1.1.dist-info" / "RECORD"
    line = next(line for line in (brought.site / "sinewaves-3.1.dist-info" / "RECORD").open() if "sinewaves.py" in line)
    record.write_text(record.read_text() + line)
    brought.done("uninstall", "tones", "--autoremove", "--yes")
    assert module.exists() and set(brought.packages()) == {"keeper"}


def test_on_a_failure_all_of_it_is_there_again(brought: World) -> None:
    (brought.site / "sinewaves-3.1.dist-info" / "extra").mkdir()  # no file, so that removing it as one fails
    with (brought.site / "sinewaves-3.1.dist-info" / "RECORD").open("a") as file:
        file.write("sinewaves-3.1.dist-info/extra,,\n")
    before = brought.snapshot()
    assert brought.run("uninstall", "tones", "--autoremove", "--yes").returncode != 0
    assert brought.snapshot() == before


def test_a_name_or_the_option_must_be_given(brought: World) -> None:
    assert "name a plugin, or give --autoremove" in brought.run("uninstall", "--yes").stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_it_is_known_with_uv_too(world: World) -> None:
    world.package("sinewaves", "3.1")
    world.plugin("unlabeled-tones", requires=("sinewaves",))
    world.done("install", "tones", "--yes", "--installer", "uv")
    world.done("uninstall", "tones", "--yes", "--autoremove")
    assert world.packages() == {}
