"""Making the plugins of this environment those of a lock file or of a run."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.distributions import Installation, installations, plugins_of
from unlabeled_registry.install.installers import Package
from unlabeled_registry.install.operations import Options, Preparation, prepared_exactly
from unlabeled_registry.lock.contents import contents
from unlabeled_registry.lock.record import EnvironmentRecord, hashes_of, read_record
from unlabeled_registry.lock.requirements import read_lock
from unlabeled_registry.lock.used import UsedPlugin


@contextmanager
def prepared_sync(target: Path, options: Options) -> Iterator[Preparation]:
    """The plan that makes the plugins those of a lock file, or brings back those of a run folder.

    A lock file names all plugins: others are removed, except those installed from source. A run names those it used:
    others stay.
    """
    if target.is_dir():
        with _of_run(target, options) as preparation:
            yield preparation
    else:
        with _of_file(target, options) as preparation:
            yield preparation


@contextmanager
def _of_file(path: Path, options: Options) -> Iterator[Preparation]:
    lock, installed, record = read_lock(path), installations(), read_record()
    wanted = {item.name: item for item in lock.plugins if not _as_locked(item, installed, record)}
    named = {item.name for item in lock.plugins}
    removals = [
        name
        for name, item in plugins_of(installed).items()
        if name not in named and not item.from_source and item.paths()
    ]
    others = [item for item in lock.others if not _as_locked(item, installed, record)]
    with prepared_exactly(wanted, options, others=others, removals=removals) as preparation:
        follows = replace(preparation.record, follows=str(path.resolve()), followed=tuple(sorted(named)))
        yield replace(preparation, record=follows)


@contextmanager
def _of_run(folder: Path, options: Options) -> Iterator[Preparation]:
    run, installed = read_run(folder), installations()
    differing = {name: item for name, item in run.items() if not _as_used(item, installed.get(name))}
    problems = [
        f"{name}: the run used a checkout (editable) of {item.version}, which no index has; bring its files back by hand"
        for name, item in differing.items()
        if item.editable
    ]
    if problems:
        raise RegistryError(*problems)
    wanted = {name: Package(name, item.version, ()) for name, item in differing.items()}
    contents = {name: item.contents for name, item in differing.items()}
    with prepared_exactly(wanted, options, contents=contents) as preparation:
        yield preparation


def _as_locked(package: Package, installed: Mapping[str, Installation], record: EnvironmentRecord) -> bool:
    """Whether this very release is installed, as far as the environment's record knows."""
    item = installed.get(package.name)
    if item is None or item.version != package.version or (item.from_source and not item.editable):
        return False
    known = hashes_of(item, record)
    return not known or bool(set(known) & set(package.hashes))


def _as_used(used: UsedPlugin, item: Installation | None) -> bool:
    return item is not None and item.version == used.version and contents(item) == used.contents


def read_run(folder: Path) -> dict[str, UsedPlugin]:
    """The plugins that a run's lock holds; `RegistryError` where it has none."""
    file = folder / "lock.json"
    try:
        plugins = json.loads(file.read_text(encoding="utf-8"))["plugins"]
        return {str(name): UsedPlugin(**item) for name, item in plugins.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RegistryError(
            f"{file}: cannot be read as a run's lock; give the folder that `train --run` wrote, or a lock file"
        ) from None
