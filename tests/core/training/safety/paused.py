"""Run as a process of its own: the command line, which waits for a signal once step FIRST is shown, and again in a save.

python paused.py STEP SAVES COMMAND...: after STEP, and in each of the first SAVES checkpoints after it, it goes on when a
signal has come; "saving" on stderr says that it waits in a checkpoint.
"""

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from unlabeled.cli.main import main
from unlabeled.training.progress import TrainingProgress
from unlabeled.training.trainer import Trainer

AT, SAVES = int(sys.argv[1]), int(sys.argv[2])
show, save = TrainingProgress.step, Trainer._save
saves = 0


class Wakened:
    """Waits until a signal has come since it was made, whichever thread took it."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait(self) -> None:
        os.read(self.reader, 1)


def step_and_wait(self: TrainingProgress, step: int, metrics: Mapping[str, float]) -> None:
    if step != AT:
        show(self, step, metrics)
        return
    wakened = Wakened()
    show(self, step, metrics)
    wakened.wait()


def wait_and_save(self: Trainer, *arguments: Any) -> None:
    global saves
    if self.state.step > AT and saves < SAVES:
        saves += 1
        wakened = Wakened()
        print("saving", file=sys.stderr, flush=True)
        wakened.wait()
    save(self, *arguments)


if __name__ == "__main__":
    TrainingProgress.step, Trainer._save = step_and_wait, wait_and_save  # type: ignore[method-assign]
    main(sys.argv[3:])
