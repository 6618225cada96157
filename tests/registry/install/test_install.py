"""Installing: what comes, from where, and that a failure leaves the environment exactly as it was."""

import json
from typing import Any

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
