"""Stopping early without losing anything: signals and the time limit, agreed on by all processes.

The process ends with 75, EX_TEMPFAIL of sysexits.h: "temporary failure, the user is invited to retry". It is not 0, so that
a scheduler starts nothing that waits for the finished run, and torchrun's --max-restarts goes on; it is neither 2 (mend
the recipe) nor 128 + signal (killed, work lost), so a job script can tell that queueing the same command again is right.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether this process was asked to stop: by SIGTERM, by SIGINT, or because its time is up.

    As a context it takes the signals, where that is possible, in the main thread, and gives them back at the end. The first
    SIGINT asks, as SIGTERM does; another one while a stop is under way raises KeyboardInterrupt at once.
    """

    def __init__(
        self, max_time: timedelta | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`max_time` counts from here."""
        self._limit, self._quiet = max_time, quiet
        self._clock, self._began = clock, clock()
        self._signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def reason(self) -> str | None:
        """Why this process wants to stop; None where it does not."""
        if self._signal is not None:
            return self._signal.name
        if self._limit is not None and self._clock() - self._began >= self._limit.total_seconds():
            return "training.max_time"
        return None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal is not None:
            raise KeyboardInterrupt
        if number == signal.SIGINT and not self._quiet:
            # To the descriptor itself, as the signal may have interrupted a print.
            os.write(2, b"stopping after this step; Ctrl-C again stops at once\n")
        self._signal = signal.Signals(number)
