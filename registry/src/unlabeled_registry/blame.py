"""Whose code an unexpected error came from, so that nobody looks for a plugin's defect in unlabeled."""

import os
import traceback
from collections.abc import Iterable

from unlabeled_registry.registry import Plugin


def blame(error: BaseException, plugins: Iterable[Plugin]) -> str | None:
    """`plugin NAME (FILE, line N)` of the last code of a plugin that ran before `error` was raised; None where none did."""
    folders = {
        os.path.realpath(plugin.manifest.path.parent) + os.sep: plugin.name
        for plugin in plugins
        if plugin.manifest is not None
    }
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = os.path.realpath(frame.filename)
        for folder, name in folders.items():
            if path.startswith(folder):
                return f"plugin {name} ({path.removeprefix(folder)}, line {frame.lineno})"
    return None
