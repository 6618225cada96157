"""What is kept for each Python environment: the plugins that were disabled, and a cache."""

import json
import os
import sys
from pathlib import Path

from unlabeled_registry.durable import flush
from unlabeled_registry.errors import RegistryError

CONFIG_VARIABLE = "UNLABELED_CONFIG"


def config_folder() -> Path:
    """The folder of this environment's settings; the environment variable UNLABELED_CONFIG names another."""
    return Path(os.environ.get(CONFIG_VARIABLE) or os.path.join(sys.prefix, "etc", "unlabeled"))


def read_disabled() -> frozenset[str]:
    """The names of the disabled plugins; `RegistryError` where the file is damaged."""
    file = _file()
    try:
        names = json.loads(file.read_text(encoding="utf-8"))["disabled"]
        return frozenset(str(name) for name in names)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, KeyError, TypeError):
        raise RegistryError(f"{file}: cannot be read; delete it, and disable again what should be") from None


def write_disabled(names: frozenset[str]) -> None:
    """Keep the names of the disabled plugins; `RegistryError` where they cannot be written."""
    file = _file()
    try:
        write_atomically(file, json.dumps({"disabled": sorted(names)}, indent=2) + "\n")
    except OSError as error:
        raise RegistryError(
            f"{file}: cannot be written ({error.strerror}); name another folder in {CONFIG_VARIABLE}"
        ) from None


def write_atomically(file: Path, text: str, *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part; `OSError` where it cannot be.

    durable: so that after a power failure too it is one of them, and once this returns the new one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(file)
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8") as opened:  # "x" follows no link that lies there
            opened.write(text)
        if durable:
            flush(temporary)
        os.replace(temporary, file)
        if durable:
            flush(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_of(file: Path) -> Path:
    """Where this process writes what becomes `file`: a failure may leave it."""
    return file.with_name(f".{file.name}.{os.getpid()}")


def _file() -> Path:
    return config_folder() / "plugins.json"
