"""Programs of others, each in a process group of its own that ends with it."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from unlabeled_registry.check.signals import listen, uninterrupted
from unlabeled_registry.errors import RegistryError

Heard = Callable[[str], None]
LISTEN_EVERY = 0.2
"""Seconds between looks at what a program has printed."""
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


def run(
    command: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    log: Path,
    limit: float,
    heard: Heard = lambda line: None,
) -> Finished:
    """Run a program in `folder`; whatever it started and left running ends with it, and it ends after `limit` seconds.

    `heard` is told each line that it prints, soon after.
    """
    process = None
    try:
        with uninterrupted(), log.open("wb") as file:  # a signal between its start and its name would lose it
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=listen,
            )
        code = _wait(process, log, limit, heard)
    finally:
        if process is not None:
            _end(process)
    return Finished(code, log.read_text(encoding="utf-8", errors="replace"))


def _wait(process: "subprocess.Popen[bytes]", log: Path, limit: float, heard: Heard) -> int | None:
    """Its exit code; None where `limit` seconds pass before it ends."""
    end, code, rest = time.monotonic() + limit, None, b""
    with log.open("rb") as file:
        while code is None and (left := end - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(min(LISTEN_EVERY, left))
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                heard(line.decode(errors="replace"))
    return code


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):  # all of it is gone
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
