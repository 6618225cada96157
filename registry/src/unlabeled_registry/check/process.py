"""Programs of others, each in a process group of its own that ends with it."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from unlabeled_registry.errors import RegistryError

_EXCEPTION = re.compile(r"[\w.]*(?:Error|Exception): .")


class StepError(RegistryError):
    """A step failed; `log` is what its program printed."""

    def __init__(self, problem: str, log: str) -> None:
        super().__init__(problem)
        self.log = log


class Finished(NamedTuple):
    """How a program ended: its exit code (None where it was cut off), and what it printed."""

    code: int | None
    log: str

    @property
    def cause(self) -> str:
        """The line that says most likely what went wrong: the last exception, else the last error, else the last line."""
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        exceptions = [line for line in lines if _EXCEPTION.match(line)]
        errors = [line for line in lines if line.lower().startswith("error: ")]
        return (exceptions or errors or lines or ["it printed nothing"])[-1].removeprefix("ERROR: ")


def run(command: Sequence[str], *, folder: Path, variables: Mapping[str, str], log: Path, limit: float) -> Finished:
    """Run a program in `folder`; whatever it started and left running ends with it, and it ends after `limit` seconds."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(limit)
        finally:
            _end(process)
    return Finished(code, log.read_text(encoding="utf-8", errors="replace"))


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):  # all of it is gone
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
