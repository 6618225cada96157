"""After a power failure at any moment of a change, an index or an environment is what it was before, or what it became."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled_registry import durable, environment
from unlabeled_registry.index import change as index_change
from unlabeled_registry.index.change import alone, change
from unlabeled_registry.install import journal, transaction
from unlabeled_registry.install.transaction import recover

from .power import Disk, Tree, tree, write_tree

Files = dict[str, bytes]


def files(folder: Path) -> Files:
    """The files that are no part of a change's own work."""
    work = (".change", ".lock", "etc/unlabeled/transaction")
    return {path: data for path, data in tree(folder).items() if data is not None and not path.startswith(work)}


def recovered(folder: Path, left: Tree, recovery: Callable[[], object]) -> Files:
    write_tree(folder, left)
    recovery()
    return files(folder)


def different(trees: list[Tree]) -> list[Tree]:
    return list({repr(sorted(left.items())): left for left in trees}.values())


def fail_at_any_moment(
    folder: Path, patch: pytest.MonkeyPatch, action: Callable[[], object], recovery: Callable[[], object]
) -> tuple[list[Files], list[Files]]:
    """What a folder holds once it is recovered after failures at any moment of an action and of the recovery; at its end."""
    disk = Disk(folder, folder.with_name("aside"))
    disk.follow(patch, action)
    left = different(disk.left)
    during = [recovered(folder, item, recovery) for item in left]
    last = [recovered(folder, item, recovery) for item in different(disk.last)]
    for number, item in enumerate(left[:: max(1, len(left) // 6)]):
        write_tree(folder, item)
        again = Disk(folder, folder.with_name(f"aside{number}"))
        again.follow(patch, recovery)
        during += [recovered(folder, twice, recovery) for twice in different(again.left)]
    return during, last


class Scene:
    """A folder, a change of it, and what undoes one that was cut off."""

    folder: Path
    before: Files
    after: Files
    act: Callable[[], object]
    recover: Callable[[], object]


@pytest.fixture
def of_an_index(tmp_path: Path) -> Scene:
    scene = Scene()
    scene.folder, wheel = tmp_path / "index", tmp_path / "sonar.whl"
    wheel.write_bytes(b"a wheel")
    before: Tree = {
        "files/radar.whl": b"radar",
        "simple/radar/index.html": b"old page",
        "simple/gone/index.html": b"gone",
        "state.json": b"old state",
        "plugins.json": b"old plugins",
    }
    write_tree(scene.folder, before)
    scene.before = files(scene.folder)
    pages: dict[str, bytes | Path] = {
        "files/sonar.whl": wheel,
        "state.json": b"new state",
        "simple/radar/index.html": b"new page",
        "simple/sonar/index.html": b"page",
        "plugins.json": b"new plugins",
    }
    scene.after = {path: b"a wheel" if isinstance(page, Path) else page for path, page in pages.items()}
    scene.after["files/radar.whl"] = b"radar"

    def act() -> None:
        with alone(scene.folder):
            change(scene.folder, pages, ["simple/gone/index.html"])

    def look() -> None:
        with alone(scene.folder):
            pass

    scene.act, scene.recover = act, look
    return scene


@pytest.fixture
def of_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    scene.folder = top = tmp_path / "environment"
    work = top / "etc" / "unlabeled" / "transaction"
    monkeypatch.setattr(sys, "prefix", str(top))
    monkeypatch.setattr(transaction, "FOLDER", work)
    for module in (journal, transaction):
        monkeypatch.setattr(module, "JOURNAL", work / "journal.json")
    site = top / "site-packages"
    before: Tree = {
        "site-packages/tones/parts.py": b"old",
        "site-packages/tones/dropped.py": b"old",
        "site-packages/tones-1.0.dist-info/RECORD": b"old",
        "etc/unlabeled/lock.json": b"old record",
    }
    write_tree(top, before)
    scene.before = files(top)
    scene.after = {
        "site-packages/tones/parts.py": b"new",
        "site-packages/tones/more/added.py": b"new",
        "site-packages/tones-2.0.dist-info/RECORD": b"new",
        "etc/unlabeled/lock.json": b"new record",
    }

    def act() -> None:
        paths = [top / path for path in {**scene.before, **scene.after}]
        paths.append(environment.temporary_of(top / "etc" / "unlabeled" / "lock.json"))
        with transaction.transaction("a change", paths):
            os.rename(site / "tones", site / "~ones")  # as pip does it
            os.rename(site / "tones-1.0.dist-info", site / "~ones-1.0.dist-info")
            for path, data in scene.after.items():
                if path.startswith("site-packages"):
                    (top / path).parent.mkdir(parents=True, exist_ok=True)
                    (top / path).write_bytes(data)
            shutil.rmtree(site / "~ones")
            shutil.rmtree(site / "~ones-1.0.dist-info")
            environment.write_atomically(top / "etc" / "unlabeled" / "lock.json", "new record")

    scene.act, scene.recover = act, recover
    return scene


@pytest.fixture(params=["of_an_index", "of_an_environment"])
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # of the true disk
    found: Scene = request.getfixturevalue(request.param)
    return found


def test_what_is_left_is_the_old_or_the_new(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    during, last = fail_at_any_moment(scene.folder, monkeypatch, scene.act, scene.recover)
    assert len(during) > 100
    assert scene.before in during and scene.after in during
    assert [found for found in during if found not in (scene.before, scene.after)] == []
    assert [found for found in last if found != scene.after] == []


def test_without_flushing_something_else_may_be_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (durable, environment, index_change, transaction):
        for name in ("flush", "flush_all"):
            monkeypatch.setattr(module, name, lambda paths: None, raising=False)
    disk = Disk(scene.folder, scene.folder.with_name("aside"))
    disk.follow(monkeypatch, scene.act)
    broken = 0
    for left in different(disk.left):
        try:
            broken += recovered(scene.folder, left, scene.recover) not in (scene.before, scene.after)
        except Exception:
            broken += 1
    assert broken > 10
