"""Adding a release to an index: a wheel whose check is green, under a name and a version that are nobody else's."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from unlabeled_registry.check.report import shortcoming
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.build import PROVENANCE, wheels_of, write_index
from unlabeled_registry.index.change import alone
from unlabeled_registry.index.format import INDEX_FILE, to_json
from unlabeled_registry.index.state import STATE_FILE, State, dump_state, read_state
from unlabeled_registry.index.wheels import Wheel, read_wheel
from unlabeled_registry.install.names import CORE, confusable
from unlabeled_registry.manifest import owner_of
from unlabeled_registry.scaffold.names import PREFIX, first_party

_KEPT = (
    *("schema", "plugin", "version", "green", "required", "ran", "passed", "checks", "sha256"),
    *("unlabeled", "torch", "python"),
)


def publish(path: Path, folder: Path, report: Path | None = None) -> tuple[Wheel, Mapping[str, Any]]:
    """Add a plugin's wheel, and attestations that lie beside it, to the index in a folder; what was added, and its report.

    `RegistryError` has a line for each reason not to, and then the index is byte for byte what it was. Without a report the
    one that the index holds for this very file counts.
    """
    check_is_index(folder)
    with tempfile.TemporaryDirectory(prefix="unlabeled-publish-") as work, alone(folder):
        wheel = read_wheel(_copy(path, Path(work)))  # a copy: what is checked is what is added
        wheels, state = wheels_of(folder), read_state(folder)
        state = replace(state, published=ledger(state, wheels))
        found = _read_report(report) if report else state.conformance.get(wheel.sha256)
        problems = [*_of_name(wheel, state), *_of_version(wheel, state), *_of_report(wheel, found, path)]
        if found is None or problems:
            raise RegistryError(*(f"{path.name}: {problem}" for problem in problems))
        kept = {key: found[key] for key in _KEPT if key in found}
        wheels = [*wheels, wheel]
        state = replace(state, conformance={**state.conformance, wheel.sha256: kept}, published=ledger(state, wheels))
        write_index(folder, wheels, state, {STATE_FILE: dump_state(state)})
    return wheel, kept


def check_is_index(folder: Path) -> None:
    """`RegistryError` where a folder holds no index: one that is misspelt must not become a new one."""
    if not (folder / INDEX_FILE).is_file():
        raise RegistryError(
            f"{folder}: holds no index ({INDEX_FILE} is missing); give the folder of one, or make an empty one: "
            f"`unlabeled plugins index build {folder}`"
        )


def ledger(state: State, wheels: Sequence[Wheel]) -> dict[str, dict[str, str]]:
    """The hash of every wheel that is or was published: name -> file -> sha256."""
    found = {name: dict(files) for name, files in state.published.items()}
    for wheel in wheels:
        found.setdefault(wheel.name, {}).setdefault(wheel.path.name, wheel.sha256)
    return found


def _copy(path: Path, work: Path) -> Path:
    try:
        for source in (path, path.with_name(path.name + PROVENANCE)):
            if source == path or source.exists():
                shutil.copyfile(source, work / source.name)
    except OSError as error:
        raise RegistryError(f"{error.filename}: cannot be read ({error.strerror}); give a plugin's wheel") from None
    return work / path.name


def _of_name(wheel: Wheel, state: State) -> list[str]:
    """Whom the name or its ids belong to, or could be taken for."""
    owner = owner_of(wheel.name)
    if wheel.name in CORE or (taken := first_party(owner)):
        like = "is unlabeled's own" if wheel.name in CORE else f"{taken}, which comes with unlabeled"
        return [
            f"the name {like}; rename the plugin, or have the index's keeper add it by `unlabeled plugins index build`"
        ]
    others = [name for name in state.published if name != wheel.name]
    similar = [name for name in others if confusable(owner, owner_of(name))]
    problems = [
        f"the ids {owner}/... belong to {name!r}, which this index has or had; rename the plugin"
        if owner_of(name) == owner
        else f"the name could be taken for {name!r}, which this index has or had; rename the plugin"
        for name in similar
    ]
    if not wheel.name.startswith(PREFIX):
        problems.append(
            f"the name does not begin with {PREFIX!r}, so it may be that of a library which other plugins need; rename the plugin"
        )
    return problems


def _of_version(wheel: Wheel, state: State) -> list[str]:
    for file, sha256 in state.published.get(wheel.name, {}).items():
        if parse_wheel_filename(file)[1] == Version(wheel.version):
            same = "this very file" if sha256 == wheel.sha256 else f"another file, of sha256 {sha256}"
            return [f"version {wheel.version} was published before, as {same}; a version never changes: give a new one"]
    return []


def _of_report(wheel: Wheel, report: Any, path: Path) -> list[str]:
    cure = f"`unlabeled plugins check {path} --json FILE`, then publish with --report FILE"
    if report is None:
        return [f"there is no report of its check; {cure}"]
    problem = shortcoming(report, wheel)
    return [f"the report {problem}; {cure}"] if problem else []


def _read_report(file: Path) -> Any:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        to_json(report)  # half a letter, or nan, is read and could not be written
        return report
    except (OSError, ValueError, RecursionError):
        raise RegistryError(f"{file}: cannot be read; `unlabeled plugins check --json` writes a report") from None
