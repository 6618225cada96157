from pathlib import Path
from typing import Any

import pytest

from unlabeled_registry.index.client import read_index
from unlabeled_registry.index.search import search

RADAR, TOUCH = "unlabeled-radar", "unlabeled-touch"


@pytest.mark.parametrize(
    ("words", "filters", "found"),
    [
        ((), {}, [RADAR, TOUCH]),
        (("ECHOES",), {}, [RADAR]),
        (("echoes", "hand"), {}, []),
        (("what", "hand"), {}, [TOUCH]),
        (("layers",), {}, [RADAR, TOUCH]),  # a capability
        (("radar/net",), {}, [RADAR]),
        ((), {"modality": "radar"}, [RADAR]),
        ((), {"modality": "radar/radar"}, [RADAR]),
        ((), {"modality": "rad"}, []),
        ((), {"objective": "touch-match"}, [TOUCH]),
        ((), {"kind": "recipe"}, [RADAR, TOUCH]),
        ((), {"kind": "evaluator"}, []),
        (("hand",), {"kind": "recipe", "modality": "touch"}, [TOUCH]),
    ],
)
def test_search(index: Path, words: tuple[str, ...], filters: dict[str, Any], found: list[str]) -> None:
    releases = search(read_index(str(index)), words, **filters)
    assert [release.name for release in releases] == found
    assert all(release.version in ("1.10", "1.0") for release in releases)
