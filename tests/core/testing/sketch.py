"""The plugin of tests/third_party/unlabeled-sketch, installed into a folder of its own, with or without a fault."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "third_party" / "unlabeled-sketch" / "src" / "unlabeled_sketch"
PACKAGE = SOURCE.name
METADATA = "Metadata-Version: 2.1\nName: unlabeled-sketch\nVersion: 0.1.0\nRequires-Dist: unlabeled>=0.1\n"
ENTRY_POINTS = f"[unlabeled.plugins]\nsketch = {PACKAGE}\n"


def write_sketch(site: Path) -> Path:
    """What installing it leaves in a folder of the import path; its package's folder."""
    information = site / "unlabeled_sketch-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(METADATA)
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    shutil.copytree(SOURCE, site / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return site / PACKAGE


@contextmanager
def importable(site: Path) -> Iterator[None]:
    """This process imports the plugin from `site`, as if for the first time, and forgets it afterwards."""
    _forget()
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
        _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
