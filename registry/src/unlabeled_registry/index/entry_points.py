"""A wheel's entry points: what other programs import of it, or run, without being asked for it by name."""

import re
from collections.abc import Mapping

from unlabeled_registry.discovery import COMMANDS, GROUP
from unlabeled_registry.manifest import owner_of

_GROUP = re.compile(r"\[([^\[\]]+)\]")
_NAME = re.compile(r"[\w.-]+")
_OBJECT = re.compile(r"(\w+)(?:\.\w+)*:\w+(?:\.\w+)*")


def read_entry_points(text: str) -> dict[str, dict[str, str]]:
    """The objects of each group by name; `ValueError` for a line that programs read in different ways.

    Some take an indented line for the end of the one before, some know `;` as a comment, some break lines at a form feed.
    """
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    for line in (line.removesuffix("\r") for line in text.split("\n")):
        if not line.strip(" ") or (line.startswith("#") and line.isprintable()):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if (header := _GROUP.fullmatch(line.rstrip())) and line.isprintable() and header[1] not in groups:
            group = groups.setdefault(header[1], {})
        elif group is None or not equals or not line.isprintable() or line[0] in " ;[" or name in group:
            raise ValueError(f"{line!r} is neither [group] nor `name = object`, or is there twice")
        else:
            group[name] = value
    return groups


def overreach(groups: Mapping[str, Mapping[str, str]], name: str, package: str) -> str:
    """What in a plugin's entry points would have its code run by whoever did not ask for it, or nothing.

    Libraries import what is in their groups by themselves (torch does, for one), whether the plugin is enabled or allowed;
    a command that is called like another program takes its place.
    """
    if others := sorted(set(groups) - {GROUP, *COMMANDS}):
        return f"entry points of the group {others[0]!r} would be imported by others, wanted or not; leave them out"
    own = f"unlabeled-{owner_of(name)}"
    for group in COMMANDS:
        for command, value in groups.get(group, {}).items():
            if not _NAME.fullmatch(command) or not (command == own or command.startswith(f"{own}-")):
                return f"it brings a command {command!r}, which it may not; call it {own!r} or {f'{own}-...'!r}"
            if not (found := _OBJECT.fullmatch(value)) or found[1] != package:
                return f"its command {command!r} runs {value!r}, which lies outside its own package, {package!r}"
    return ""
