"""What a person sees while a run trains: a bar on a terminal, a few lines elsewhere."""

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_LINES = 20


class TrainingProgress:
    """A progress bar with loss, throughput and time left; without a terminal about twenty lines in all."""

    def __init__(self, steps: int, start: int, batch_size: int, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._steps, self._batch_size = steps, batch_size
        self._every = max(1, steps // _LINES)
        self._began, self._start = time.perf_counter(), start
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if sys.stderr.isatty() and not quiet:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self.console)
            self._task = self._bar.add_task("", total=steps, completed=start, status="")
            self._bar.start()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show that `step` steps are done."""
        if self._bar is None and step % self._every and step != self._steps:
            return
        elapsed = time.perf_counter() - self._began
        done = step - self._start
        rate = done * self._batch_size / elapsed
        loss = f"loss {metrics['loss']:.4f}" if "loss" in metrics else "skipped"
        status = f"{loss}  {rate:,.0f} samples/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, status=status)
        else:
            left = elapsed / max(done, 1) * (self._steps - step)
            self.console.print(f"step {step}/{self._steps}  {status}  {left:.0f} s left", highlight=False)

    def say(self, message: str, *, everywhere: bool = False) -> None:
        """Show a line; `everywhere`: also from a process that is not the first, and where progress is quiet."""
        console = Console(stderr=True) if everywhere else self.console
        console.print(message, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.stop()
