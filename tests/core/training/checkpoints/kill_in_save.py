"""Run by test_kills_in_save.py: trains a recipe once for each moment of saving step 8, and is killed at that moment.

    python kill_in_save.py RECIPE FOLDER

Each training is a process of its own, forked from this one before torch has computed anything, in FOLDER/<number>.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  the first optimizer imports it: all is wanted before the forks

import unlabeled
import unlabeled.runs.api
from unlabeled.runs.dry_run import describe_recipe
from unlabeled.training.checkpoints import checkpoint, saving

# Killed before this function of the module is called with a path of this name, once step 8 is being saved.
MOMENTS: list[tuple[Any, str, str]] = [
    (checkpoint, "save_file", "model.safetensors"),  # the folder is made, and empty
    (checkpoint, "save_file", "optimizer.safetensors"),
    (checkpoint, "_finish", "optimizer.safetensors"),  # written, not yet flushed
    (checkpoint, "_finish", "trainer.json"),
    (checkpoint, "_flush", "manifest.json"),
    (checkpoint, "_flush", ".step-00000008.partial"),
    (checkpoint, "_publish", ".step-00000008.partial"),  # all is written, not yet renamed
    (checkpoint, "_flush", "checkpoints"),  # renamed, the folder not yet flushed
    (saving, "remove_checkpoint", "step-00000004"),  # the old one is still there
    (checkpoint, "_delete", ".step-00000004.removed"),  # the old one is half removed
]


def kill_at(module: Any, function: str, name: str, folder: Path) -> None:
    """Have this process kill itself at a moment."""
    plain: Callable[..., Any] = getattr(module, function)

    def deadly(*arguments: Any) -> Any:
        saving_eight = any(folder.glob("checkpoints/*step-00000008*"))
        if saving_eight and any(isinstance(item, Path) and item.name == name for item in arguments):
            if function != "_delete":
                os.kill(os.getpid(), signal.SIGKILL)
            elif arguments[0].exists():
                (arguments[0] / "manifest.json").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments)

    setattr(module, function, deadly)


if __name__ == "__main__":
    recipe, root = sys.argv[1], Path(sys.argv[2])
    describe_recipe(recipe, ())
    for number, moment in enumerate(MOMENTS):
        child = os.fork()
        if child == 0:
            kill_at(*moment, root / str(number))
            unlabeled.train(recipe, run=root / str(number), quiet=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(number, os.waitstatus_to_exitcode(status), flush=True)
