"""The import of a plugin that is not installed yet, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from unlabeled_registry.errors import RegistryError

TIME_LIMIT = 60.0


def try_import(name: str, package: str, folder: Path) -> None:
    """Import a staged plugin's package in its own process; `RegistryError` names the plugin and the cause."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    # A plugin that ends its process by itself does not reach the last line.
    code = f"import {package}; import os; os.write(1, b'imported'); os._exit(0)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise RegistryError(f"{name}: its import takes longer than {TIME_LIMIT:.0f} s; nothing was installed") from None
    if done.stdout.endswith(b"imported"):
        return
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode < 0:
        cause = f"crashes (signal {-done.returncode})"
    elif lines and done.returncode == 1:
        cause = f"fails: {lines[-1]}"
    else:
        cause = f"ends the process (exit code {done.returncode})"
    raise RegistryError(f"{name}: its import {cause}; nothing was installed")
