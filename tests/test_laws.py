"""Laws that can be read off the source tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for part in ("core", "registry", "plugins") for path in (ROOT / part).rglob("src/**/*.py")]
CORE = "core/src/unlabeled"
PLUGINS = "standard|text|vision|audio|video|timeseries|crossmodal"


def offending(pattern: str, allowed: str = r"$^") -> list[str]:
    """Lines of the product that match `pattern`, outside of paths that match `allowed`."""
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if not re.search(allowed, name):
            lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
            found += [f"{name}:{number}: {line.strip()}" for number, line in lines if re.search(pattern, line)]
    return found


@pytest.mark.parametrize(
    ("law", "pattern", "allowed"),
    [
        ("core and registry import no plugin", rf"(import|from) unlabeled_({PLUGINS})\b", r"^plugins/"),
        ("communication lies in training, and the kit watches for it", r"torch\.distributed|\bdist\.\w+\(", rf"^{CORE}/(training|testing)/"),
        ("no global randomness", r"\b(np|numpy)\.random\.(seed|rand|randn|randint|shuffle|permutation|choice)\(|^import random", rf"^{CORE}/testing/traces.py"),
        ("torch is seeded by the trainer and the kit alone", r"torch\.(manual_seed|seed)\(", rf"^{CORE}/(training|testing)/"),
    ],
)  # fmt: skip
def test_law(law: str, pattern: str, allowed: str) -> None:
    assert len(SOURCES) > 100
    assert offending(pattern, allowed) == [], law


def test_the_registry_needs_no_torch() -> None:
    registry = [path for path in SOURCES if path.relative_to(ROOT).parts[0] == "registry"]
    assert not [
        path for path in registry if re.search(r"^(import|from) (torch|transformers)", path.read_text(), re.MULTILINE)
    ]


def test_files_stay_readable_in_one_sitting() -> None:
    long = {path.name: lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 400}
    assert long == {}
