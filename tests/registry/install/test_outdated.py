"""What `upgrade` chooses among many releases, what it says of what stays, and that `outdated` names the same."""

import json
from typing import Any

from unlabeled_registry.index.format import Advisory

World = Any
LATER = "numpy\nRequires-Python: >=4"


def outdated(world: World) -> dict[str, tuple[str, str, str]]:
    entries = json.loads(world.done("outdated", "--json"))
    return {entry["name"]: (entry["fits"], entry["newest"], entry["reason"]) for entry in entries}


def upgrades(world: World) -> dict[str, str]:
    changes = json.loads(world.done("upgrade", "--dry-run", "--json"))["changes"]
    return {change["name"]: change["new"] for change in changes}


def test_plugins_that_need_each_other_go_up_together(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    world.unpack(world.plugin("unlabeled-drums", "1.0", requires=("unlabeled-tones<2",)))
    world.plugin("unlabeled-tones", "1.1")
    world.plugin("unlabeled-tones", "2.0")
    reason = "unlabeled-drums 1.0 needs unlabeled-tones<2"
    assert outdated(world) == {"unlabeled-tones": ("1.1", "2.0", reason)}
    assert upgrades(world) == {"unlabeled-tones": "1.1"}
    world.plugin("unlabeled-drums", "2.0", requires=("unlabeled-tones>=2", "unlabeled-tones<3"))
    assert upgrades(world) == {"unlabeled-tones": "2.0", "unlabeled-drums": "2.0"}
    assert outdated(world) == {"unlabeled-tones": ("2.0", "2.0", ""), "unlabeled-drums": ("2.0", "2.0", "")}
    world.plugin("unlabeled-tones", "3.0")
    assert outdated(world)["unlabeled-tones"] == ("2.0", "3.0", "unlabeled-drums 2.0 needs unlabeled-tones<3")


def test_one_that_cannot_go_up_keeps_none_of_the_others_from_being_told(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    world.unpack(world.plugin("unlabeled-drums", "1.0", requires=("unlabeled-gone",)))
    world.plugin("unlabeled-tones", "1.1")
    world.plugin("unlabeled-drums", "1.1", requires=("unlabeled-gone",))
    found = outdated(world)
    assert found["unlabeled-tones"] == ("1.1", "1.1", "")
    assert found["unlabeled-drums"][:2] == ("1.0", "1.1")
    assert "unlabeled-gone" in found["unlabeled-drums"][2]


def test_what_is_yanked_or_under_an_advisory_and_stays_is_told(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    world.unpack(world.plugin("unlabeled-drums", "1.0"))
    world.state(world.plugin("unlabeled-tones", "1.1"), yanked="cracked too")
    files = world.root / "index" / "files"
    world.state(files / "unlabeled_tones-1.0-py3-none-any.whl", yanked="cracked")
    advisory = Advisory("D-1", "off beat", "1.1")
    world.state(files / "unlabeled_drums-1.0-py3-none-any.whl", advisories=(advisory,))
    lines = {line.split()[0]: line for line in world.done("outdated").splitlines()}
    assert lines["unlabeled-tones"].endswith("tones 1.0 was yanked: cracked; 1.1: it was yanked (cracked too)")
    result = world.run("upgrade", "--yes")
    assert (result.returncode, result.stdout) == (0, "nothing to change\n")
    assert result.stderr.splitlines() == [
        "warning: unlabeled-drums 1.0 has advisory D-1: off beat (1.1 mends it); it stays",
        "warning: unlabeled-tones 1.0 was yanked: cracked; it stays",
    ]


def test_pre_releases_are_taken_where_they_are_asked_for_or_all_there_is(world: World) -> None:
    world.unpack(world.plugin("unlabeled-harps", "1.0rc1"))
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    world.plugin("unlabeled-harps", "1.0rc2")
    world.plugin("unlabeled-tones", "1.1rc1")
    assert upgrades(world) == {"unlabeled-harps": "1.0rc2"}
    world.plugin("unlabeled-drums", "1.0", requires=(LATER,))
    world.plugin("unlabeled-drums", "1.1rc1")
    assert "unlabeled-drums  -          1.1rc1" in world.done("install", "drums==1.1rc1", "--dry-run")
    told = world.refused("install", "drums", "--yes")
    assert "fits. 1.1rc1: it is a pre-release; ask for it by its number. 1.0: it needs Python >=4, and this is" in told


def test_a_refusal_speaks_of_the_release_that_was_asked_for(world: World) -> None:
    world.plugin("unlabeled-tones", "1.0", requires=(LATER,))
    for version in ("1.1", "1.2", "1.3", "1.4", "1.5"):
        world.plugin("unlabeled-tones", version)
    told = world.refused("install", "tones==1.0", "--yes")
    assert told.startswith("error: no release of 'unlabeled-tones' fits. 1.0: it needs Python >=4, and this is 3.")
    told = world.refused("install", "tones==9", "--yes")
    assert told == (
        "error: no release of 'unlabeled-tones' is ==9; the plugin index has 1.5, 1.4, 1.3, 1.2, 1.1 and 1 more\n"
    )


def test_a_checkout_is_never_said_to_go_up(world: World) -> None:
    world.unpack(world.plugin("unlabeled-tones", "1.0"))
    (world.site / "unlabeled_tones-1.0.dist-info" / "direct_url.json").write_text('{"dir_info": {"editable": true}}')
    world.plugin("unlabeled-tones", "1.1")
    assert outdated(world) == {"unlabeled-tones": ("1.0", "1.1", "the installed one is a checkout (editable)")}
    assert upgrades(world) == {}
