"""Installing: what comes, from where, and that a failure leaves the environment exactly as it was."""

import hashlib
import json
from typing import Any

import pytest

World = Any


def test_a_plugin_is_installed_from_the_index(world: World) -> None:
    world.plugin("unlabeled-tones", "1.0")
    world.plugin("unlabeled-tones", "1.1")
    text = world.done("install", "tones", "--yes")
    assert "unlabeled-tones  -          1.1   plugin index" in text
    assert world.packages() == {"unlabeled_tones": "1.1"}
    (entry,) = [item for item in json.loads(world.done("list", "--json")) if item["name"] == "unlabeled-tones"]
    assert (entry["version"], entry["state"]) == ("1.1", "enabled")
    assert world.done("install", "tones", "--yes") == "nothing to change\n"


def test_a_dry_run_changes_nothing(world: World) -> None:
    world.plugin("unlabeled-tones")
    before = world.snapshot()
    plan = json.loads(world.done("install", "tones", "--dry-run", "--json"))
    (change,) = plan["changes"]
    assert (change["name"], change["old"], change["new"], change["source"]) == (
        "unlabeled-tones",
        None,
        "1.0",
        "plugin index",
    )
    assert change["size"] > 500
    assert world.snapshot() == before


def test_nobody_is_asked_where_nobody_can_answer(world: World) -> None:
    world.plugin("unlabeled-tones")
    assert "nobody answered; --yes agrees beforehand" in world.refused("install", "tones")


def test_plugins_that_a_plugin_needs_come_with_it_in_versions_that_go_together(world: World) -> None:
    world.plugin("unlabeled-base", "1.0")
    world.plugin("unlabeled-base", "2.0")
    world.plugin("unlabeled-tones", "1.0", requires=("unlabeled-base<2", "unlabeled>=0.1"))
    world.done("install", "tones", "--yes")
    assert world.packages() == {"unlabeled_tones": "1.0", "unlabeled_base": "1.0"}
    told = world.refused("install", "base==2.0", "--yes")
    assert "unlabeled-tones 1.0 needs <2" in told


def test_a_release_that_does_not_fit_is_passed_over_and_told_where_none_is_left(world: World) -> None:
    world.plugin("unlabeled-tones", "1.0")
    world.plugin("unlabeled-tones", "2.0", api=">=2")
    world.state(world.plugin("unlabeled-tones", "1.5"), yanked="wrong loss")
    world.plugin("unlabeled-tones", "1.6rc1")
    assert "unlabeled-tones  -          1.0 " in world.done("install", "tones", "--dry-run")
    told = world.refused("install", "tones>1.0", "--yes")
    assert "no release of 'unlabeled-tones' fits. 2.0: it needs interfaces >=2, and these are 1.0" in told
    assert "1.5: it was yanked (wrong loss)" in told


def test_a_yanked_release_is_installed_by_its_number_with_a_warning(world: World) -> None:
    world.state(world.plugin("unlabeled-tones"), yanked="wrong loss")
    result = world.run("install", "tones==1.0", "--dry-run")
    assert "warning: unlabeled-tones 1.0 was yanked: wrong loss" in result.stderr


def test_a_release_with_an_advisory_is_passed_over(world: World) -> None:
    from unlabeled_registry.index.format import Advisory

    path = world.plugin("unlabeled-tones")
    world.state(path, advisories=(Advisory("A-1", "reads beyond its files", None),))
    assert "1.0: advisory A-1: reads beyond its files" in world.refused("install", "tones", "--yes")


def test_what_a_plugin_needs_comes_from_the_ordinary_index(world: World) -> None:
    world.package("sinewaves", "3.1", requires=("cosinewaves",))
    world.package("cosinewaves", "0.2")
    world.plugin("unlabeled-tones", requires=("sinewaves>=3",))
    text = world.done("install", "tones", "--yes")
    assert "sinewaves        -          3.1   package index" in text
    assert world.packages() == {"unlabeled_tones": "1.0", "sinewaves": "3.1", "cosinewaves": "0.2"}


def test_what_would_change_torch_is_refused(world: World) -> None:
    world.plugin("unlabeled-tones", requires=("torch>=99",))
    told = world.refused("install", "tones", "--yes")
    assert "it needs torch>=99, and" in told and "--allow-core-changes" in told


def test_what_would_change_torch_by_a_package_of_the_ordinary_index_is_refused(world: World) -> None:
    world.package("sinewaves", "3.1", requires=("torch>=99",))
    world.package("torch", "99.0")
    world.plugin("unlabeled-tones", requires=("sinewaves>=3",))
    told = world.refused("install", "tones", "--yes")
    assert "sinewaves 3.1 depends on torch>=99; The user requested (constraint) torch==" in told


@pytest.mark.slow
def test_what_core_needs_is_kept_even_where_core_may_change(world: World) -> None:
    world.package("torch", "99.0")
    world.plugin("unlabeled-tones", requires=("torch>=99",))
    told = world.refused("install", "tones", "--yes", "--allow-core-changes")
    assert "unlabeled 0.1.0 needs torch" in told and "this would change torch" in told


@pytest.mark.slow
def test_core_changes_where_that_is_allowed_and_nothing_breaks(world: World) -> None:
    world.package("accelerate", "99.0")
    world.plugin("unlabeled-tones", requires=("accelerate>=99",))
    assert "accelerate" in world.refused("install", "tones", "--yes")
    plan = world.done("install", "tones", "--dry-run", "--allow-core-changes")
    (line,) = [line for line in plan.splitlines() if line.startswith("accelerate ")]
    assert line.split()[2:] == ["99.0", "package", "index", "-"]


def test_what_would_break_an_installed_package_is_refused(world: World) -> None:
    world.unpack(world.package("keeper", "1.0", requires=("sinewaves<2",)))
    world.unpack(world.package("sinewaves", "1.0"))
    world.package("sinewaves", "3.0")
    world.plugin("unlabeled-tones", requires=("sinewaves>=3",))
    told = world.refused("install", "tones", "--yes")
    assert "keeper 1.0 needs sinewaves<2, and this would change sinewaves 1.0 to 3.0" in told


def test_an_upgrade_goes_to_the_newest_that_fits_and_outdated_names_it(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    world.plugin("unlabeled-tones", "1.2")
    world.plugin("unlabeled-tones", "2.0", api=">=2")
    (entry,) = json.loads(world.done("outdated", "--json"))
    assert entry == {
        "name": "unlabeled-tones",
        "installed": "1.0",
        "fits": "1.2",
        "newest": "2.0",
        "reason": "it needs interfaces >=2, and these are 1.0",
        "warnings": [],
    }
    world.done("upgrade", "--yes")
    assert world.packages() == {"unlabeled_tones": "1.2"}
    assert not list(world.site.rglob("*1.0*"))


def test_an_upgrade_never_goes_back(world: World) -> None:
    wheel = world.plugin("unlabeled-tones", "2.0")
    world.unpack(wheel)
    wheel.unlink()
    world.plugin("unlabeled-tones", "1.0")
    assert world.done("upgrade", "--yes") == "nothing to change\n"


def test_the_file_of_a_wheel_is_no_name(world: World) -> None:
    told = world.refused("install", "dist/unlabeled_tones-1.0-py3-none-any.whl")
    assert "is no plugin's name with a version" in told and "install it by `pip install FILE`" in told


def test_info_says_from_what_a_plugin_was_installed_and_whether_it_is_still_that(world: World) -> None:
    wheel = world.plugin("unlabeled-tones", requires=("torch",))
    world.done("install", "tones", "--yes")
    text = world.done("info", "tones")
    assert "\nrequires: torch\n" in text
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert f"\ninstalled: {world.site}/unlabeled_tones-1.0.dist-info, from a wheel of sha256 {digest}\n" in text
    assert "\nfiles: as they were installed\n" in text
    world.state(wheel, yanked="out of tune")
    assert "\ninstalled: 1.0; unlabeled-tones 1.0 was yanked: out of tune\n" in world.done(
        "info", "tones", "--index", str(world.root / "index")
    )
    (world.site / "unlabeled_tones" / "__init__.py").write_text("changed")
    assert "\nfiles: unlabeled_tones/__init__.py was changed\n" in world.done("info", "tones")
