"""Run alone or by torchrun: trains a recipe and writes down the ids of each step; may kill itself at the end of one.

stream_run.py RECIPE.json RUN IDS.jsonl WORKERS KILL_AT
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import unlabeled_rows

import unlabeled
from unlabeled.training.processes.distributed import leave, process_index

if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, run, ids, workers, kill_at = sys.argv[1:]

    def write_down(self: Any, all: Any, statistics: Any, encoders: Any, context: Any) -> None:
        if process_index() == 0:
            with open(ids, "a") as file:
                line = {"step": context.step, "epoch": context.epoch, "ids": context.ids.tolist()}
                file.write(json.dumps(line) + "\n")
        if context.step == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    unlabeled_rows.AlignUniform.after_step = write_down
    unlabeled.train(json.loads(Path(recipe).read_text()), [f"data.workers={workers}"], run=run, quiet=True)
    leave()
