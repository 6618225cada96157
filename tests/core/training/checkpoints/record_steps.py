"""Run by test_change_of_processes.py: what every step sees, on one process throughout, and on one, two and one again.

    python record_steps.py RECIPE FOLDER

Writes FOLDER/<way>-<start>-<process>.jsonl, a line for each view of a step: {step, view, rows: {id: hash of its tensors}}.
The processes are forked from this one before torch has computed anything, with the variables that torchrun sets.
"""

import contextlib
import hashlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  the first optimizer imports it: all is wanted before the forks

import unlabeled
import unlabeled.runs.api
from unlabeled.runs.dry_run import describe_recipe
from unlabeled.training.views import ViewBuilder

# Way -> (processes, the step before which they leave) of each start of the same run.
WAYS = {"whole": [(1, 99)], "changed": [(1, 4), (2, 8), (1, 99)]}


def record(file: Path, stop: int) -> None:
    """Have this process write down the views it builds, and leave before step `stop`."""
    build = ViewBuilder.build

    def recording(self: ViewBuilder, micro: Any, learner: Any, **options: Any) -> Any:
        if options["step"] == stop:
            raise SystemExit(0)
        views = build(self, micro, learner, **options)
        with open(file, "a", encoding="utf-8") as lines:
            for view in views["align-uniform"]:
                tensors = view.inputs.values()
                digests = [
                    hashlib.sha256(b"".join(tensor[row].numpy().tobytes() for tensor in tensors)).hexdigest()
                    for row in range(view.rows)
                ]
                rows = dict(zip(map(str, view.ids.tolist()), digests, strict=True))
                lines.write(json.dumps({"step": options["step"], "view": view.index, "rows": rows}) + "\n")
        return views

    ViewBuilder.build = recording  # type: ignore[method-assign]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def train(recipe: str, folder: Path, way: str, number: int, process: int) -> None:
    """Train in this process, one of those of a start."""
    processes, stop = WAYS[way][number]
    record(folder / f"{way}-{number}-{process}.jsonl", stop)
    with contextlib.suppress(SystemExit):
        unlabeled.train(recipe, run=folder / way, quiet=True)


if __name__ == "__main__":
    recipe, folder = sys.argv[1], Path(sys.argv[2])
    describe_recipe(recipe, ())
    for way, starts in WAYS.items():
        for number, (processes, _) in enumerate(starts):
            if processes > 1:
                group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
                os.environ.update(group, LOCAL_WORLD_SIZE=str(processes))
            pids = []
            for process in range(processes):
                pids.append(os.fork())
                if pids[-1] == 0:
                    if processes > 1:
                        os.environ.update(RANK=str(process), LOCAL_RANK=str(process))
                    train(recipe, folder, way, number, process)
                    sys.stderr.flush()
                    os._exit(0)
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
                os.environ.pop(name, None)
            if any(codes):
                sys.exit(1)
