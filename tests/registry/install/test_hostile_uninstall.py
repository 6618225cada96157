"""Forty hostile and broken plugins in one environment: each can be uninstalled, and the others stay as they are."""

import base64
import hashlib
import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

from ..test_hostile_plugins import ZOO, name_of, release

World = Any
UNINSTALL = """
import json, sys, zlib
from pathlib import Path
from unlabeled.cli.main import main

answers = {}
for name in sys.argv[2:]:
    try:
        main(["plugins", "uninstall", name, "--yes"])
    except SystemExit as stop:
        code = stop.code
    files = [file for file in Path(sys.argv[1]).rglob("*") if file.is_file()]
    answers[name] = [code, {str(file): zlib.crc32(file.read_bytes()) for file in files}]
imported = sorted(name for name in sys.modules if name.startswith(("unlabeled_", "zoo", "raises", "torch", "transformers")))
print(json.dumps([answers, imported]))
"""


def install_all(site: Path) -> dict[str, set[str]]:
    """The files of each of them, after installing all with the RECORD that an installer writes."""
    before = set(site.rglob("*"))
    release(site)
    owned: dict[str, set[str]] = {}
    for info in sorted(set(site.glob("*.dist-info")) - before):
        package, name = info.name.partition("-")[0], info.name.partition("-")[0].replace("_", "-")
        files = [file for top in (site / package, info) for file in top.rglob("*") if file.is_file()]
        digests = {file: hashlib.sha256(file.read_bytes()).digest() for file in files}
        lines = [
            f"{file.relative_to(site)},sha256={encoded(digest)},{file.stat().st_size}"
            for file, digest in digests.items()
        ]
        (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]) + "\n", encoding="utf-8")
        owned[name] = {str(file) for file in (*files, info / "RECORD")}
    return owned


def encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_each_can_be_uninstalled_and_the_others_stay(world: World) -> None:
    owned = install_all(world.site)
    assert len(owned) == len(ZOO)
    others = {str(file) for file in world.site.rglob("*") if file.is_file()} - set().union(*owned.values())
    left = {path: zlib.crc32(Path(path).read_bytes()) for path in others.union(*owned.values())}
    names = {name_of(short): ZOO[short].distribution or f"unlabeled-{short}" for short in ZOO}
    command = [str(world.python), "-c", UNINSTALL, str(world.site), *names]
    done = subprocess.run(command, env=world.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers, imported = json.loads(done.stdout.splitlines()[-1])
    for shown, name in names.items():
        left = {path: sum_ for path, sum_ in left.items() if path not in owned[name]}
        code, found = answers[shown]
        assert (shown, code) == (shown, 0), done.stderr
        assert found == left
    assert set(left) == others
    assert {name.partition(".")[0] for name in imported} == {"unlabeled_registry"}


def test_a_record_that_names_what_is_not_its_own_removes_nothing_of_others(world: World, make_wheels: Any) -> None:
    world.package("sinewaves", "3.1")
    world.unpack(world.root / "packages" / "sinewaves-3.1-py3-none-any.whl")
    world.unpack(make_wheels.plugin(world.root / "elsewhere", "unlabeled-greedy"))
    info = world.site / "unlabeled_greedy-1.0.dist-info"
    (info / "entry_points.txt").write_text(
        "[unlabeled.plugins]\nunlabeled-greedy = unlabeled_greedy\n[console_scripts]\npython = a:b\n"
    )
    with (info / "RECORD").open("a") as record:
        record.write("sinewaves.py,,\n../../../bin/python,,\n../../../pyvenv.cfg,,\n")
    world.done("uninstall", "greedy", "--yes")
    assert world.packages() == {"sinewaves": "3.1"}
    assert not (world.site / "unlabeled_greedy").exists() and not info.exists()
    for path in (world.site / "sinewaves.py", world.python, world.prefix / "pyvenv.cfg"):
        assert path.exists(), path
