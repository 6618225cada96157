"""Policy files: plugins by name, version and the hash of what is installed of them. Every command looks for them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unlabeled_registry.environment import config_folder
from unlabeled_registry.errors import RegistryError

VARIABLE = "UNLABELED_POLICY"
MACHINE_FILE = "/etc/unlabeled/policy.toml"
FILE_NAME = "policy.toml"
SCHEMA = 1


class Entry(NamedTuple):
    """One release that may be used, or any checkout of a plugin."""

    version: str = ""
    contents: str = ""  # as `lock.contents` hashes what is installed
    editable: bool = False


class Policy(NamedTuple):
    """What one file allows, by the plugins' names."""

    file: Path
    allowed: Mapping[str, tuple[Entry, ...]]

    def refusal(self, name: str, version: str) -> str:
        """Why no installation of this version may be used, whatever its files are, or nothing."""
        entries = self.allowed.get(name, ())
        if not entries:
            return f"not allowed by {self.file}: it does not name this plugin"
        if not any(entry.editable or entry.version == version for entry in entries):
            return f"not allowed by {self.file}: it allows {' and '.join(entry.version for entry in entries)} only"
        return ""


def policy_files() -> list[Path]:
    """The files that hold here: the machine's, the environment's, and the one that UNLABELED_POLICY names."""
    found = [file for file in (MACHINE_FILE, os.path.join(config_folder(), FILE_NAME)) if _may_exist(file)]
    named = os.environ.get(VARIABLE)
    return [Path(file) for file in dict.fromkeys([*found, *([named] if named else [])])]


def _may_exist(file: str) -> bool:
    """Also where nobody may look: a folder that is closed to its users must not open the environment to every plugin."""
    try:
        os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_policies() -> tuple[Policy, ...]:
    """The policies that hold here; a plugin is used where all of them allow it.

    `RegistryError` where a file is damaged or missing, as nothing is known to be allowed then.
    """
    return tuple(_read(file) for file in policy_files())


def refusal(policies: tuple[Policy, ...], name: str, version: str) -> str:
    """Why a plugin's version may not be used, or nothing."""
    return next((reason for policy in policies if (reason := policy.refusal(name, version))), "")


def _read(file: Path) -> Policy:
    import tomllib

    try:
        return Policy(file.absolute(), _parse(tomllib.loads(file.read_text(encoding="utf-8"))))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"no valid TOML ({error})"
    except ValueError as error:
        problem = str(error)
    raise RegistryError(f"{file}: no policy: {problem}; until it is mended, no plugin is used")


def _parse(data: dict[str, Any]) -> dict[str, tuple[Entry, ...]]:
    if data.get("schema") != SCHEMA:
        raise ValueError(f"schema {data.get('schema')!r} is not {SCHEMA}")
    if unknown := sorted(set(data) - {"schema", "allowed"}):
        raise ValueError(f"unknown key {unknown[0]!r}")
    allowed: dict[str, tuple[Entry, ...]] = {}
    tables = data.get("allowed", [])
    if not isinstance(tables, list):
        raise ValueError("allowed: must be [[allowed]] tables")
    for number, table in enumerate(tables, start=1):
        name, entry = _entry(table, f"allowed {number}")
        allowed[name] = (*allowed.get(name, ()), entry)
    return allowed


def _entry(table: Any, place: str) -> tuple[str, Entry]:
    from unlabeled_registry.discovery import normalised

    name = table.get("name") if isinstance(table, dict) else None
    if not isinstance(name, str) or not name or name != normalised(name):
        raise ValueError(f"{place}: name: must be a distribution's, such as 'unlabeled-audio'")
    if set(table) == {"name", "editable"} and table["editable"] is True:
        return name, Entry(editable=True)
    contents = table.get("contents")
    texts = set(table) == {"name", "version", "contents"} and isinstance(table["version"], str)
    if not texts or not isinstance(contents, str) or len(contents) != 64 or set(contents) - set("0123456789abcdef"):
        raise ValueError(f"{place} ({name}): must have version and contents, 64 hexadecimal digits, or editable = true")
    return name, Entry(table["version"], contents)
