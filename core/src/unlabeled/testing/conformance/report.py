"""The report of a check: what was required, what ran, what passed."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from unlabeled.testing.conformance.promises import Required

SCHEMA = 1
Outcome = Literal["passed", "failed", "not-run"]


@dataclass(frozen=True)
class Result:
    """What became of one required promise."""

    component: str
    kind: str
    promise: str
    text: str
    result: Outcome
    message: str = ""
    """One line; why it failed or did not run."""
    seconds: float = 0.0

    def __str__(self) -> str:
        line = f"{self.result:<7}  {self.component or 'plugin'}  {self.promise}: {self.text}"
        return f"{line}\n         {self.message}" if self.message else line


@dataclass(frozen=True)
class Part:
    """A component, or the plugin itself, of which every promise was tried."""

    number: int
    total: int
    """How many parts the plugin has."""
    results: Sequence[Result]

    def __str__(self) -> str:
        """One line: `plugins check` shows whatever begins so."""
        first, seconds = self.results[0], sum(result.seconds for result in self.results)
        kept = sum(result.result == "passed" for result in self.results)
        name = f"{first.kind} {first.component}".strip()
        return f"[{self.number}/{self.total}] {name}: {kept} of {len(self.results)} kept, {seconds:.1f} s"


@dataclass(frozen=True)
class Report:
    """The results of every promise that a plugin must prove."""

    plugin: str
    version: str
    required: Sequence[Required]
    results: Mapping[Required, Result]

    @property
    def checks(self) -> list[Result]:
        """One for each required promise, in order; what no check answered for did not run."""
        return [
            self.results.get(item) or Result(item.component, item.kind, item.promise, item.text, "not-run")
            for item in self.required
        ]

    @property
    def ran(self) -> int:
        """How many required promises were tried."""
        return sum(check.result != "not-run" for check in self.checks)

    @property
    def passed(self) -> int:
        """How many were kept."""
        return sum(check.result == "passed" for check in self.checks)

    @property
    def green(self) -> bool:
        """Whether every required promise ran and was kept."""
        return bool(self.required) and self.passed == len(self.required)

    def summary(self) -> str:
        """One line for a person."""
        color = "green" if self.green else "red"
        counts = f"ran {self.ran} of {len(self.required)} required, {self.passed} passed"
        return f"{self.plugin} {self.version}: {counts}: {color}"

    def dump(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        import torch

        import unlabeled

        return {
            "schema": SCHEMA,
            "plugin": self.plugin,
            "version": self.version,
            "green": self.green,
            "required": len(self.required),
            "ran": self.ran,
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "unlabeled": unlabeled.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        }

    def write(self) -> str:
        """The text of the report's file."""
        return json.dumps(self.dump(), indent=1) + "\n"
