"""What cannot be read off an index's wheels, kept in `state.json`: yanks, advisories, the kit's reports, a ledger."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.format import Advisory, to_json

STATE_FILE = "state.json"
SCHEMA = 1

_SUMMARY = ("green", "required", "ran", "passed", "sha256", "unlabeled", "torch", "python", "date")
_CHECK = ("component", "text", "result", "message")


@dataclass(frozen=True)
class State:
    """What an index says of its wheels; by name, normalised, and by a wheel's sha256."""

    yanked: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # name -> version -> reason
    advisories: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """name -> {id, summary, affects: the versions, such as "<1.2", fixed_in: a version or null}"""
    conformance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # sha256 -> the kit's report
    published: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """name -> wheel's file -> its sha256: whatever the index ever had when something was published, removed or not"""

    def why_yanked(self, name: str, version: str) -> str | None:
        """The reason for which a version is yanked, or None."""
        return self.yanked.get(name, {}).get(version)

    def advisories_on(self, name: str, version: str) -> tuple[Advisory, ...]:
        """The advisories that concern a version, by id."""
        found = (item for item in self.advisories.get(name, ()) if _affects(item, version))
        advisories = [Advisory(item["id"], item["summary"], item["fixed_in"]) for item in found]
        return tuple(sorted(advisories, key=lambda advisory: advisory.id))

    def conformance_of(self, sha256: str) -> dict[str, Any] | None:
        """The summary of the kit's report on the wheel with this hash, or None."""
        report = self.conformance.get(sha256)
        return None if report is None else {key: report[key] for key in _SUMMARY if key in report}


def read_state(folder: Path) -> State:
    """The state of the index in a folder, empty where there is none; `RegistryError` names what is wrong in the file."""
    file = folder / STATE_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, RecursionError):
        raise RegistryError(f"{file}: cannot be read; mend it or restore it from a copy") from None
    parts: dict[str, Any] = {"schema": SCHEMA, "yanked": {}, "advisories": {}, "conformance": {}, "published": {}}
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise RegistryError(f"{file}: schema is not {SCHEMA}; upgrade unlabeled-registry, or mend the file")
    if unknown := sorted(set(content) - set(parts)):
        raise RegistryError(f"{file}: unknown key {unknown[0]!r}; one of: {', '.join(parts)}")
    parts |= content
    problems = [
        f"{file}: {key}: {name!r} is not as it must be; {_SHAPE[key]}"
        for key, fits in _CHECKS.items()
        for name, value in (parts[key].items() if isinstance(parts[key], dict) else [("it", None)])
        if not fits(name, value)
    ]
    if problems:
        raise RegistryError(*problems)
    advisories = {name: tuple(items) for name, items in parts["advisories"].items()}
    return State(parts["yanked"], advisories, parts["conformance"], parts["published"])


def dump_state(state: State) -> bytes:
    """The bytes of state.json."""
    return to_json({"schema": SCHEMA, **vars(state)})


def _affects(advisory: Mapping[str, Any], version: str) -> bool:
    return SpecifierSet(advisory["affects"]).contains(version, prereleases=True)


def _is_yank(name: Any, value: Any) -> bool:
    return (
        name == canonicalize_name(name)
        and isinstance(value, dict)
        and all(isinstance(reason, str) and reason.strip() and reason.isprintable() for reason in value.values())
    )


def _are_advisories(name: Any, value: Any) -> bool:
    return name == canonicalize_name(name) and isinstance(value, list) and all(_is_advisory(item) for item in value)


def _is_advisory(item: Any) -> bool:
    if not isinstance(item, dict) or set(item) != {"id", "summary", "affects", "fixed_in"}:
        return False
    texts = all(isinstance(item[key], str) and item[key] and item[key].isprintable() for key in ("id", "summary"))
    try:
        SpecifierSet(item["affects"])
    except (InvalidSpecifier, AttributeError, TypeError):
        return False
    return texts and (item["fixed_in"] is None or isinstance(item["fixed_in"], str))


def _is_report(sha256: Any, value: Any) -> bool:
    if not isinstance(value, dict) or value.get("sha256", sha256) != sha256:
        return False
    counts = all(isinstance(value.get(key), int) for key in ("required", "ran", "passed"))
    checks = value.get("checks", [])
    return counts and isinstance(value.get("green"), bool) and isinstance(checks, list) and all(map(_is_check, checks))


def _is_check(item: Any) -> bool:
    return isinstance(item, dict) and all(isinstance(item.get(key), str) for key in _CHECK)


def _is_ledger(name: Any, value: Any) -> bool:
    return (
        name == canonicalize_name(name)
        and isinstance(value, dict)
        and all(file.endswith(".whl") and isinstance(sha256, str) for file, sha256 in value.items())
    )


_CHECKS: Mapping[str, Callable[[Any, Any], bool]] = {
    "yanked": _is_yank,
    "advisories": _are_advisories,
    "conformance": _is_report,
    "published": _is_ledger,
}
_SHAPE = {
    "yanked": 'write {"name": {"version": "reason"}}',
    "advisories": 'write {"name": [{"id", "summary", "affects": "<1.2", "fixed_in": "1.2" or null}]}',
    "conformance": 'write {"sha256 of the wheel": the report of `unlabeled plugins check`}',
    "published": 'write {"name": {"file of the wheel": "its sha256"}}',
}
