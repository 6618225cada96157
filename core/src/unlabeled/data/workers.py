"""Supervised workers: forked processes do jobs in order, whatever a decoder does to them.

A worker says in shared memory which cell it decodes and since when. One that takes too long is killed, one that ends is
found out, and its cell is blamed; then all workers are forked anew, so that every later job is done knowing the verdict.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import mmap
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Generic, TypeVar

import numpy as np
import torch

from unlabeled.data.transport import receive, send
from unlabeled.errors import UnlabeledError

Job = TypeVar("Job")
Result = TypeVar("Result")

_JOBS_AHEAD = 2  # a worker
_DEATHS = 5  # in a row, with no cell to blame and no job done
_PATIENCE = 5.0  # seconds for the kernel to end a killed process
_ASKED_TO_END = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


class Watch:
    """Where a process says which cell it decodes, and since when."""

    def __init__(self, place: np.ndarray | None = None) -> None:
        """place: (3,) int64, shared with whoever watches; the position, the encoder's number, nanoseconds."""
        self._place = np.full(3, -1, dtype=np.int64) if place is None else place
        self.end()

    def begin(self, position: int, encoder: int) -> None:
        """The cell of an encoder in a row is decoded from now on."""
        self._place[2] = time.monotonic_ns()
        self._place[1] = encoder
        self._place[0] = position

    def end(self) -> None:
        """No cell is decoded from now on."""
        self._place[0] = -1

    def look(self) -> tuple[int, int, float] | None:
        """(position, encoder, seconds) of the cell that is decoded."""
        position, encoder, since = self._place.tolist()
        if position < 0 or self._place[0] != position:
            return None
        return position, encoder, (time.monotonic_ns() - since) / 1e9


@dataclass(frozen=True)
class Supervision(Generic[Job]):
    """How jobs are watched."""

    workers: int
    """Processes; 0: the jobs are done in this one, where nothing can be cut off."""
    timeout: float
    """Seconds that a cell may take."""
    blame: Callable[[Job, int, int, str], None]
    """(job, position, encoder, reason): called where a cell was cut off."""
    version: Callable[[], int]
    """Changes with what is blamed: jobs that were begun before are done again."""


def in_order(
    work: Callable[[Job, Watch], Result], jobs: Iterable[Job], supervision: Supervision[Job]
) -> Iterator[Result]:
    """`work(job, watch)` of each job, in order. What a job raises is raised in its turn, by a worker as `RuntimeError`.

    `UnlabeledError` where workers end again and again without a cell to blame.
    """
    if supervision.workers == 0:
        watch = Watch()
        for job in jobs:
            yield work(job, watch)
        return
    pool = _Pool(work, jobs, supervision)
    try:
        while pool.hand_out():
            result = pool.take()
            pool.hand_out()
            if isinstance(result, _Failure):
                raise result.error()
            yield result
    finally:
        pool.stop()


@dataclass(frozen=True)
class _Failure:
    """What a job raised."""

    problems: tuple[str, ...]
    reason: str

    def error(self) -> Exception:
        return UnlabeledError(*self.problems) if self.problems else RuntimeError(self.reason)

    @staticmethod
    def of(error: Exception) -> "_Failure":
        problems = error.problems if isinstance(error, UnlabeledError) else ()
        return _Failure(problems, f"{type(error).__name__} in a worker: {error}\n{traceback.format_exc()}")


@dataclass
class _Worker:
    process: ForkProcess
    connection: Connection
    watch: Watch
    numbers: deque[int] = field(default_factory=deque)
    """The jobs it was given, the first of which it does now."""
    ended: bool = False


class _Pool(Generic[Job, Result]):
    def __init__(
        self, work: Callable[[Job, Watch], Result], jobs: Iterable[Job], supervision: Supervision[Job]
    ) -> None:
        self.work, self.jobs, self.supervision = work, enumerate(jobs), supervision
        self.open: dict[int, Job] = {}  # not taken yet, in order
        self.results: dict[int, Result | _Failure] = {}
        self.deaths = 0
        self.places = np.frombuffer(mmap(-1, 3 * 8 * supervision.workers), dtype=np.int64).reshape(-1, 3)
        self.workers: list[_Worker] = []
        self._fork()

    def hand_out(self) -> bool:
        """Give the workers what may be done ahead; whether anything is left to take."""
        while len(self.open) < _JOBS_AHEAD * self.supervision.workers and (job := next(self.jobs, None)) is not None:
            self.open[job[0]] = job[1]
        busy = {number for worker in self.workers for number in worker.numbers}
        for number in [number for number in self.open if number not in self.results and number not in busy]:
            worker = min(self.workers, key=lambda worker: len(worker.numbers))
            worker.numbers.append(number)
            with suppress(OSError):  # it has ended; the wait will find out
                worker.connection.send(self.open[number])
        return bool(self.open)

    def take(self) -> Result | _Failure:
        """The result of the first job that is open."""
        number = next(iter(self.open))
        if self.supervision.version() != self.known:
            self._restart(number)
        while number not in self.results:
            self._wait()
        del self.open[number]
        return self.results.pop(number)

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join(_PATIENCE)
            worker.connection.close()
        self.workers = []

    def _wait(self) -> None:
        """Sleep until a worker sends, ends, or has had its time; collect, and blame."""
        limit = self.supervision.timeout
        spent = [look[2] for worker in self.workers if (look := worker.watch.look()) is not None]
        sources = [source for worker in self.workers for source in (worker.connection, worker.process.sentinel)]
        ready = wait(sources, max(0.0, limit - max(spent, default=0.0)))
        for worker in self.workers:
            if worker.connection in ready or worker.process.sentinel in ready:
                self._collect(worker)
        faults = {
            worker.numbers[0]: fault for worker in self.workers if (fault := self._find_fault(worker)) is not None
        }
        for number, fault in faults.items():
            self.supervision.blame(self.open[number], *fault)
        if faults:
            self._restart(min(faults))
        elif any(worker.ended for worker in self.workers):
            self._count_death(next(worker for worker in self.workers if worker.ended))
            self._restart(None)

    def _collect(self, worker: _Worker) -> None:
        try:
            while worker.connection.poll():
                result = receive(worker.connection)
                self.results[worker.numbers.popleft()] = result
                self.deaths = 0
        except (EOFError, OSError, RuntimeError):
            worker.ended = True
        if worker.ended or not worker.process.is_alive():
            worker.ended = True
            worker.process.kill()
            worker.process.join(_PATIENCE)

    def _find_fault(self, worker: _Worker) -> tuple[int, int, str] | None:
        """(position, encoder, reason) of the cell that a worker hangs on or died of."""
        look = worker.watch.look()
        if look is None or not worker.numbers:
            return None
        position, encoder, seconds = look
        if not worker.ended:
            late = seconds >= self.supervision.timeout
            reason = f"decoding took longer than {self.supervision.timeout:g} s (data.decode_timeout)"
            return (position, encoder, reason) if late else None
        if worker.process.exitcode in _ASKED_TO_END:
            return None
        return position, encoder, f"the decoder ended its process ({_describe_exit(worker.process.exitcode)})"

    def _count_death(self, worker: _Worker) -> None:
        self.deaths += 1
        if self.deaths >= _DEATHS:
            raise UnlabeledError(
                f"data.workers: {self.deaths} times in a row a worker ended while it decoded no cell "
                f"({_describe_exit(worker.process.exitcode)}); give it more memory, or set data.workers=0 to see its error"
            )

    def _restart(self, since: int | None) -> None:
        """Fork all workers anew; results from job `since` on were made without knowing what was found, and are dropped."""
        self.stop()
        if since is not None:
            self.results = {number: result for number, result in self.results.items() if number < since}
        self._fork()
        self.hand_out()

    def _fork(self) -> None:
        self.known = self.supervision.version()
        context = multiprocessing.get_context("fork")
        ends: list[Connection] = []
        for place in self.places:
            watch = Watch(place)
            here, there = context.Pipe()
            ends.append(here)
            arguments = (self.work, there, watch, tuple(ends), os.getpid())
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            there.close()
            self.workers.append(_Worker(process, here, watch))


def _serve(
    work: Callable[[Job, Watch], Result], connection: Connection, watch: Watch, ends: Sequence[Connection], parent: int
) -> None:
    """What a worker does: one job after the other, until its parent is gone."""
    _die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    for end in ends:  # held open here, they would hide the parent's end from the other workers
        end.close()
    gc.freeze()  # what the parent holds is not this process's to free, least of all on a device
    torch.set_num_threads(1)
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            result: Result | _Failure = work(job, watch)
        except Exception as error:
            result = _Failure.of(error)
        watch.end()
        try:
            send(connection, result)
        except BrokenPipeError:
            return


def _die_with(parent: int) -> None:
    """End with the parent however it ends; elsewhere than on Linux, at the end of file on the pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _describe_exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
