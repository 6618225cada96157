"""The time that changes of an index take, each of which reads every wheel of it, and how much of that is waiting for the disk.

    python tests/benchmarks/index.py

prints seconds for indexes of 1,000 small wheels and of 200 wheels of 1 MB: building them, then publishing one more, yanking one
and taking that back; beside each the same without flushing, which a power failure could then undo by half.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from unlabeled_registry.index.build import build
from unlabeled_registry.index.notices import unyank, yank
from unlabeled_registry.index.publish import publish
from unlabeled_registry.index.wheels import read_wheel
from unlabeled_registry.testing import write_wheel

MANIFEST = """\
schema = 1
name = "{name}"
api = ">=1.0,<2"
summary = "A plugin among many"

[[provides]]
kind = "objective"
id = "contrast"
object = "{package}:Contrast"
summary = "Tells the views of one sample from those of others"
requires = ["layers"]
"""


def main() -> None:
    """Print the seconds."""
    for wheels, size in ((1000, 0), (200, 1_000_000)):
        with tempfile.TemporaryDirectory() as folder:
            flushed = measured(Path(folder, "flushed"), wheels, size)
            fsync, os.fsync = os.fsync, lambda descriptor: None
            unflushed = measured(Path(folder, "unflushed"), wheels, size)
            os.fsync = fsync
        print(f"{wheels} wheels of {size / 1e6 or 0.002} MB")
        for what, seconds in flushed.items():
            print(f"  {what}: {seconds:.2f} s, without flushing {unflushed[what]:.2f} s")


def measured(folder: Path, wheels: int, size: int) -> dict[str, float]:
    """The seconds of each change."""
    random = Random(0)
    for _ in range(wheels):
        wheel_of(folder / "wheels", f"unlabeled-{word(random)}", random.randbytes(size // 2).hex())
    new = wheel_of(folder / "new", "unlabeled-sonar", "")
    report, index = folder / "report.json", folder / "index"
    report.write_text(json.dumps(green(new)))
    yanked = "sonar==1.0"
    return {
        "build": seconds(lambda: build(index, [folder / "wheels"])),
        "publish": seconds(lambda: publish(new, index, report)),
        "yank": seconds(lambda: yank(yanked, "drops the last row", index)),
        "yank --undo": seconds(lambda: unyank(yanked, index)),
    }


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def word(random: Random) -> str:
    """A name that cannot be taken for another."""
    return "".join(random.choices("abcdefghjkmnpqrtuvxyz", k=12))


def wheel_of(folder: Path, name: str, data: str) -> Path:
    """A plugin's wheel."""
    text = MANIFEST.format(name=name, package=name.replace("-", "_"))
    return write_wheel(folder, name, text, {"data.txt": data})


def green(wheel: Path) -> dict[str, object]:
    """The report of a check in which every promise was kept."""
    parts = ("", "plugin"), ("sonar/contrast", "objective")
    texts = {"promise": "object", "text": "it is there", "result": "passed", "message": "", "seconds": 0.1}
    checks = [{"component": id_, "kind": kind, **texts} for id_, kind in parts]
    made = {"plugin": "unlabeled-sonar", "version": "1.0", "sha256": read_wheel(wheel).sha256, "unlabeled": "0.1.0"}
    return {"schema": 1, "green": True, "required": 2, "ran": 2, "passed": 2, **made, "checks": checks}


if __name__ == "__main__":
    main()
