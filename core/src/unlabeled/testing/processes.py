"""Processes that are started once and run many trials."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from unlabeled.testing.trial import Outcome, Trial, read_tensors


class Processes:
    """A few processes that form groups of any size up to their number, as gloo on one machine.

    They start with the first trial, import every plugin once, and end with the `with` block. An error or a deadlock ends
    them too; the next trial starts new ones.

        with Processes() as processes:
            outcome = processes.run(Trial(recipe, processes=2))
    """

    def __init__(self, count: int = 4, *, timeout: float = 120.0) -> None:
        """timeout: seconds within which each answer must come."""
        self.count, self.timeout = count, timeout
        self.folder = Path(tempfile.mkdtemp(prefix="unlabeled-processes-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: list[int] = []
        self._lines: list[TextIO] = []
        self._jobs = 0
        self._group: tuple[int, str | None] = (0, None)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(patience=10.0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, trial: Trial) -> Outcome:
        """What a trial came to; `RuntimeError` with the first error of a process, or where they wait for each other."""
        if self._process is None:
            try:
                self._start()
            except BaseException:
                self._end()
                raise
        self._jobs += 1
        folder = self.folder / f"trial-{self._jobs}"
        if self._group[0] != trial.processes:
            meeting = str(self.folder / f"meeting-{self._jobs}") if trial.processes > 1 else None
            self._group = trial.processes, meeting
        for index in range(trial.processes):
            job = {"trial": asdict(trial), "index": index, "folder": str(folder), "meeting": self._group[1]}
            print(json.dumps(job), file=self._lines[index], flush=True)
        try:
            answers = [self._answer(index) for index in range(trial.processes)]
        except BaseException:
            self._end()
            raise
        tensors = [read_tensors(folder / f"process-{index}.safetensors") for index in range(trial.processes)]
        shutil.rmtree(folder)
        return Outcome(answers[0]["losses"], tensors)

    def _answer(self, index: int) -> dict[str, Any]:
        try:
            line = self._lines[index].readline()
        except TimeoutError:
            raise RuntimeError(
                f"process {index} gave no answer within {self.timeout:g} s; the processes wait for each other where not all "
                "of them communicate equally often"
            ) from None
        if not line:
            raise RuntimeError(f"process {index} died: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _start(self) -> None:
        ours, theirs = zip(*(socket.socketpair() for _ in range(self.count)), strict=True)
        descriptors = [end.fileno() for end in theirs]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with open(self.folder / "errors.txt", "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "unlabeled.testing.worker", *map(str, descriptors)],
                env=environment,
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        for end in theirs:
            end.close()
        self._lines = [_lines(end, self.timeout) for end in ours]
        self._group = (0, None)
        self._workers = [self._answer(index)["process"] for index in range(self.count)]

    def _end(self, patience: float = 0.0) -> None:
        """Tell the processes to end, and kill those that have not within so many seconds."""
        for lines in self._lines:
            lines.close()
        self._lines = []
        if self._process is not None:
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                # They are in this process's group, so that whoever ends that ends them too.
                for number in {self._process.pid, *self._workers}:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                self._process.wait()
            self._process, self._workers = None, []

    def _last_words(self) -> str:
        lines = (self.folder / "errors.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _lines(end: socket.socket, timeout: float) -> TextIOWrapper:
    """The lines of a socket, which is closed with them."""
    end.settimeout(timeout)
    with end:
        return end.makefile("rw", encoding="utf-8")
