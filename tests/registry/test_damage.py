"""Files of any distribution that stop Python's own reader of metadata, and with it torch: they are named, and nobody else."""

import importlib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from unlabeled_registry.damage import damage, damage_behind
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.probe import probe
from unlabeled_registry.registry import discover
from unlabeled_registry.testing import write_distribution

HARM = "importlib.metadata, which torch asks at its import, fails on it"
CURE = f"{HARM}; mend it, or install that distribution again"
MANIFEST = """\
schema = 1
name = "unlabeled-demo"
api = ">=1.0,<2"
summary = "Demo"
[[provides]]
kind = "objective"
id = "contrast"
object = "unlabeled_demo.parts:Contrast"
summary = "Contrast"
"""
ASKS = "from importlib.metadata import entry_points\nentry_points(group='torch.backends')\n"


@pytest.fixture
def other(site: Path) -> Path:
    """The metadata of some distribution that is no plugin."""
    folder = site / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    return folder


def python_fails() -> BaseException:
    importlib.invalidate_caches()
    with pytest.raises(Exception) as caught:
        entry_points(group="torch.backends")
    return caught.value


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[console_scripts]\na = b:c\n\nno such thing\n", f"/entry_points.txt, line 4: 'no such thing' is no entry point: {CURE}"),
        (b"# fine\n[x]\n; not a comment for Python\n", f"/entry_points.txt, line 3: '; not a comment for Python' is no entry point: {CURE}"),
        (b"[x]\n\x1b[2J\n", f"/entry_points.txt, line 2: '\\\\x1b[2J' is no entry point: {CURE}"),
        (b"[x]\na = b\n\xff = c\n", f"/entry_points.txt: byte 11 is no UTF-8: {CURE}"),
    ],
)  # fmt: skip
def test_entry_points_that_python_cannot_read(other: Path, content: bytes, problem: str) -> None:
    (other / "entry_points.txt").write_bytes(content)
    assert damage() == [f"{other}{problem}"]
    assert damage_behind(python_fails()) == [f"{other}{problem}"]


def test_a_distribution_without_a_name(site: Path) -> None:
    (site / ".dist-info").mkdir()
    problem = f"{site}/.dist-info: a distribution without a name: {HARM}; delete it"
    assert damage() == [problem]
    assert damage_behind(python_fails()) == [problem]


def test_metadata_that_is_no_text_matters_to_those_who_read_it(other: Path) -> None:
    (other / "METADATA").write_bytes(b"Name: other\nAuthor: \xe9\n")
    assert damage() == []  # torch does not
    with pytest.raises(UnicodeDecodeError) as caught:
        importlib.metadata.version("other")
    assert damage_behind(caught.value) == [f"{other}/METADATA: byte 21 is no UTF-8: {CURE}"]


@pytest.mark.parametrize("content", [b"", b"no section\n", b"[x]\n# comment\n\na = b\n [y] \nc=d\n"])
def test_what_python_reads_is_no_damage(other: Path, content: bytes) -> None:
    (other / "entry_points.txt").write_bytes(content)
    entry_points(group="torch.backends")
    assert damage() == []


def test_another_error_is_not_explained_by_it(other: Path) -> None:
    (other / "entry_points.txt").write_text("[x]\nno such thing\n")
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert damage_behind(caught.value) == []


def test_the_plugin_that_met_it_is_not_at_fault(site: Path, other: Path) -> None:
    (other / "entry_points.txt").write_text("[x]\nno such thing\n")
    write_distribution(site, "unlabeled-demo", MANIFEST, {"parts.py": ASKS})
    registry = discover()
    with pytest.raises(RegistryError) as caught:
        registry.load(registry.find("objective", "contrast"))
    assert caught.value.problems == (f"{other}/entry_points.txt, line 2: 'no such thing' is no entry point: {CURE}",)
    assert registry.plugin("demo").usable
    found = probe("unlabeled-demo")
    assert found.problems == (f"loading objective demo/contrast: {caught.value.problems[0]}",)
