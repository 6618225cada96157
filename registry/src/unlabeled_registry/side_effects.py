"""What an import does besides defining things: seen by comparing the process before with the process after."""

import builtins
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any


class Before:
    """The process before a package is imported."""

    def __init__(self, package: str, folder: str) -> None:
        self.package, self.folder = package, folder
        self.path = list(sys.path)
        self.threads = set(threading.enumerate())
        self.files = _files(folder)
        self.functions = {
            (module, name): value
            for module in {*sys.stdlib_module_names} & sys.modules.keys()
            for name, value in vars(sys.modules[module]).items()
            if callable(value) and not name.startswith("_")  # those below it libraries mend among themselves
        }

    def side_effects(self) -> list[str]:
        """What the import changed, one line each."""
        effects = []
        if gone := sorted(self.files - _files(self.folder)):
            effects.append(f"its import deletes its own files: {_some(gone)}")
        if sys.path != self.path:
            added = [entry for entry in sys.path if entry not in self.path]
            effects.append(f"its import changes sys.path: {_some(added) if added else 'entries are gone or moved'}")
        if patched := sorted({*self._replaced(), *_planted(self.package)}):
            effects.append(f"its import replaces parts of other packages: {_some(patched)}")
        if threads := [thread.name for thread in threading.enumerate() if thread not in self.threads]:
            effects.append(f"its import leaves threads running: {_some(threads)}")
        return effects

    def _replaced(self) -> Iterator[str]:
        """Functions and classes of the standard library that are others now."""
        for (module, name), value in self.functions.items():
            now = vars(sys.modules.get(module, builtins)).get(name, value)
            if now is not value and callable(now):
                yield f"{module}.{name}"


def _planted(package: str) -> Iterator[str]:
    """The package's own functions and classes where other packages had theirs: in their modules, or in their classes."""
    classes: dict[type, str] = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == package or module_name == "__main__":
            continue
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if isinstance(value, FunctionType | type) and _is_of(value, package):
                yield f"{module_name}.{name}"
            elif isinstance(value, type):
                classes.setdefault(value, f"{module_name}.{name}")
    for owner, place in classes.items():
        for name, value in list(vars(owner).items()):
            if isinstance(value, FunctionType) and _is_of(value, package):
                yield f"{place}.{name}"


def _is_of(value: Any, package: str) -> bool:
    module = value.__module__
    return isinstance(module, str) and module.partition(".")[0] == package


def _files(folder: str) -> set[str]:
    return {
        str(Path(place, name).relative_to(folder))
        for place, _, names in os.walk(folder)
        for name in names
        if not name.endswith(".pyc")
    }


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
