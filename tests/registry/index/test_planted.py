"""A folder that several people may write to: what one leaves there must not make another's command reach out of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled_registry.environment import write_atomically
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.build import build
from unlabeled_registry.index.notices import yank

OWN = "mine\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of whoever keeps the index."""
    file = tmp_path / "home" / "own.txt"
    file.parent.mkdir()
    file.write_text(OWN)
    return file


def journal(index: Path, old: list[str], added: list[str]) -> None:
    (index / ".change" / "old").mkdir(parents=True)
    (index / ".change" / "old" / "0").write_text("planted\n")
    (index / ".change" / "journal.json").write_text(json.dumps({"old": old, "added": added}))


def replaced_by_journal(index: Path, own: Path) -> None:
    journal(index, [str(own)], [])


def replaced_by_climbing(index: Path, own: Path) -> None:
    journal(index, [f"files/../../home/{own.name}"], [])


def removed_by_journal(index: Path, own: Path) -> None:
    journal(index, [], [str(own)])


def replaced_through_a_link(index: Path, own: Path) -> None:
    (index / "aside").symlink_to(own.parent)
    journal(index, [f"aside/{own.name}"], [])


def link_of_the_lock(index: Path, own: Path) -> None:
    (index / ".lock").symlink_to(own)


def link_of_the_work(index: Path, own: Path) -> None:
    (own.parent / "journal.json").write_text(json.dumps({"old": [], "added": []}))
    (index / ".change").symlink_to(own.parent)


def link_of_the_pages(index: Path, own: Path) -> None:
    (index / "plugins").rename(index / "other")
    (index / "plugins").symlink_to(own.parent)


def damaged_journal(index: Path, own: Path) -> None:
    journal(index, [1], [])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("plant", "problem"),
    [
        (replaced_by_journal, "leads out of the index"),
        (replaced_by_climbing, "leads out of the index"),
        (removed_by_journal, "leads out of the index"),
        (replaced_through_a_link, "leads out of the index"),
        (link_of_the_lock, ".lock: cannot be written (Too many levels of symbolic links)"),
        (link_of_the_work, ".change: is a link, which no index holds"),
        (link_of_the_pages, "leads out of the index"),
        (damaged_journal, "journal.json: damaged; restore the index from a copy"),
    ],
)
def test_what_leads_out_of_the_index(index: Path, own: Path, plant: Callable[[Path, Path], None], problem: str) -> None:
    plant(index, own)
    before = sorted(own.parent.iterdir())
    for action in (lambda: yank("radar==1.0", "lost", index), lambda: build(index)):
        with pytest.raises(RegistryError) as error:
            action()
        assert problem in error.value.problems[0]
        assert own.read_text() == OWN and sorted(own.parent.iterdir()) == before


def test_a_link_where_a_file_is_about_to_be_written(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    (tmp_path / ".state.json.7").symlink_to(own)
    write_atomically(tmp_path / "state.json", "new\n")
    assert (tmp_path / "state.json").read_text() == "new\n" and own.read_text() == OWN
