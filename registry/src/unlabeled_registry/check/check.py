"""From a project's folder, or a wheel, to a report: the steps of `unlabeled plugins check`."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlabeled_registry.check.build import build_wheel
from unlabeled_registry.check.environment import Environment
from unlabeled_registry.check.kit import load_objects, run_kit
from unlabeled_registry.check.signals import terminable, uninterrupted
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.wheels import read_wheel

Tell = Callable[[str], None]


def check(path: Path, *, from_scratch: bool, keep: bool, limit: float, tell: Tell) -> dict[str, Any]:
    """The kit's report on the plugin in `path`, with `file` and `sha256` of the wheel that was checked.

    `RegistryError` where it cannot be checked; `Terminated` where SIGTERM ends it. `tell` hears of each step and of each
    component; nothing is left behind or left running, whatever ends it, but the folder where `keep` says so.
    """
    if not path.exists():
        raise RegistryError(f"{path}: no such file or folder; give a plugin's project or its wheel")
    with terminable():
        return _in_folder(path, from_scratch=from_scratch, keep=keep, limit=limit, tell=tell)


def _in_folder(path: Path, *, from_scratch: bool, keep: bool, limit: float, tell: Tell) -> dict[str, Any]:
    folder = None
    try:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix="unlabeled-check-")).resolve()
        return _check(path, folder, from_scratch=from_scratch, limit=limit, tell=tell)
    finally:
        if folder is not None and keep:
            tell(f"kept {folder}")
        elif folder is not None:
            with uninterrupted():
                shutil.rmtree(folder, ignore_errors=True)


def _check(path: Path, folder: Path, *, from_scratch: bool, limit: float, tell: Tell) -> dict[str, Any]:
    started = time.monotonic()
    environment = Environment(folder, from_scratch=from_scratch)
    if path.is_dir():
        built = build_wheel(path.resolve(), environment)
    else:
        (folder / "wheels").mkdir()
        built = Path(shutil.copy(path, folder / "wheels"))
    wheel = read_wheel(built)
    tell(f"wheel {wheel.path.name}, {wheel.size:,} bytes, sha256 {wheel.sha256}")
    if from_scratch:
        tell("installing it with everything that it needs, torch too: this takes minutes")
    environment.install(wheel)
    tell(f"installed after {time.monotonic() - started:.1f} s; checking, for at most {limit:g} s")
    load_objects(wheel, environment)
    report = run_kit(wheel, environment, limit, tell)
    tell(f"done after {time.monotonic() - started:.1f} s")
    return report | {"file": wheel.path.name, "sha256": wheel.sha256}
