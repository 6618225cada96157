"""What this environment's commands installed, with the hashes: kept so that nothing changes unseen afterwards."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from unlabeled_registry.environment import config_folder, temporary_of, write_atomically
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.distributions import Installation

SCHEMA = 1


@dataclass(frozen=True)
class Pin:
    """A distribution as it was installed."""

    version: str
    hashes: tuple[str, ...]  # sha256 of the wheels that may be installed for it
    contents: str  # of what the wheel brought, see `contents`


@dataclass(frozen=True)
class EnvironmentRecord:
    """The distributions that were installed by `unlabeled plugins`, and the lock file that the environment follows."""

    pins: Mapping[str, Pin] = field(default_factory=dict)
    follows: str | None = None
    followed: tuple[str, ...] = ()  # the plugins that this lock file names
    dependencies: tuple[str, ...] = ()  # what was not there before, and came because something else needed it


def record_file() -> Path:
    """Where the record lies."""
    return config_folder() / "lock.json"


def record_files() -> set[Path]:
    """What may be there after writing the record was cut off."""
    return {record_file(), temporary_of(record_file())}


def read_record() -> EnvironmentRecord:
    """The environment's record; `RegistryError` where it is damaged."""
    file = record_file()
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise RegistryError(
                f"{file}: schema {data['schema']!r} is not {SCHEMA}; upgrade unlabeled-registry to read it"
            )
        pins = {
            str(name): Pin(pin["version"], tuple(pin["hashes"]), pin["contents"]) for name, pin in data["pins"].items()
        }
        return EnvironmentRecord(pins, data["follows"], tuple(data["followed"]), tuple(data.get("dependencies", ())))
    except FileNotFoundError:
        return EnvironmentRecord()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError(
            f"{file}: cannot be read; delete it, and what was installed until now is no longer compared"
        ) from None


def write_record(record: EnvironmentRecord) -> None:
    """Keep the record; `OSError` where it cannot be written."""
    write_atomically(record_file(), json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1, sort_keys=True) + "\n")


def hashes_of(item: Installation, record: EnvironmentRecord) -> tuple[str, ...]:
    """The wheels that an installed distribution may be of, by sha256; empty where neither its origin nor the record tells."""
    if item.wheel_sha256:
        return (item.wheel_sha256,)
    pin = record.pins.get(item.name)
    return pin.hashes if pin and pin.version == item.version else ()
