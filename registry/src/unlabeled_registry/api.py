"""The version of the interfaces that plugins are written against, and the ranges in which manifests ask for it."""

import operator
import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

API_VERSION = "1.0"
"""Counted apart from releases: the first number grows when plugins may have to change, the second with additions."""


class Deprecated(NamedTuple):
    """A name that is going away: it warns for two minor versions."""

    name: str
    """`Name`, which plugins import from `unlabeled`, or `Interface.method`, which their classes implement."""
    since: str
    """The version of the interfaces that warned first, such as `1.3`."""
    instead: str
    """What to do, as a sentence goes on: `use Draws.subset`."""

    @property
    def removed_in(self) -> str:
        """The version of the interfaces that no longer has it."""
        major, minor = self.since.split(".")
        return f"{major}.{int(minor) + 2}"


DEPRECATED: tuple[Deprecated, ...] = ()
"""An entry stays after its name was removed, so that a plugin that still uses it is told what to do."""

_COMPARISONS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")


@cache
def satisfies(version: str, wanted: str) -> bool:
    """Whether `version` lies in the range `wanted`, such as `>=1.0,<2`; `ValueError` where the range cannot be read."""
    return all(_clause(version, clause.strip()) for clause in wanted.split(","))


def _clause(version: str, clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise ValueError(f"{clause!r} is no range such as '>=1.0,<2'")
    return _COMPARISONS[match[1]](_numbers(version), _numbers(match[2]))


def _numbers(version: str) -> tuple[int, ...]:
    """The release numbers without trailing zeros, so that 2 and 2.0 are equal."""
    numbers = [int(number) for number in version.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
