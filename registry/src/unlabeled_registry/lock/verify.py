"""Comparing what is installed with what was installed."""

from pathlib import Path

from unlabeled_registry.install.distributions import Installation, installations, plugins_of
from unlabeled_registry.lock.contents import changed_files, contents
from unlabeled_registry.lock.record import EnvironmentRecord, read_record
from unlabeled_registry.lock.requirements import read_lock

_MOST = 5


def verify(lock: Path | None = None) -> tuple[list[str], list[str]]:
    """A sentence on each plugin whose files are those that were installed, and one on each thing that differs.

    Compared are the files with their RECORD, the RECORD with the environment's record, and versions with the lock file,
    where one is given or followed. No plugin is imported.
    """
    installed, record = installations(), read_record()
    names = sorted({*plugins_of(installed), *record.pins})
    sound: list[str] = []
    problems: list[str] = []
    for name in names:
        item = installed.get(name)
        found = [f"{name} {record.pins[name].version} is missing"] if item is None else _differences(item, record)
        problems += found
        if item is not None and not found:
            how = " (editable: its files are nobody's to compare)" if item.editable else ""
            sound.append(f"{name} {item.version}{how}")
    path = lock or (Path(record.follows) if record.follows else None)
    return sound, problems + (_against(path, installed) if path else [])


def _differences(item: Installation, record: EnvironmentRecord) -> list[str]:
    if item.editable:
        return []
    found = [f"{item.name} {item.version}: {line}" for line in changed_files(item)]
    if len(found) > _MOST:
        found = [*found[:_MOST], f"{item.name} {item.version}: and {len(found) - _MOST} more files"]
    pin = record.pins.get(item.name)
    if pin and pin.version != item.version:
        found.append(f"{item.name} {item.version}: {pin.version} was installed by `unlabeled plugins`")
    elif pin and pin.contents != contents(item):
        found.append(f"{item.name} {item.version}: its RECORD is not the one that was installed")
    return found


def _against(path: Path, installed: dict[str, Installation]) -> list[str]:
    lock = read_lock(path)
    found = [
        f"{package.name} {installed[package.name].version if package.name in installed else 'is missing'}: "
        f"{path} says {package.version}"
        for package in (*lock.plugins, *lock.others)
        if package.name not in installed or installed[package.name].version != package.version
    ]
    named = {package.name for package in lock.plugins}
    return found + [
        f"{name} {item.version}: {path} does not name it"
        for name, item in plugins_of(installed).items()
        if name not in named and not item.from_source
    ]
