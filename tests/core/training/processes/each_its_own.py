"""Run by torchrun: trains what a JSON file says, each process with its own options, and tells how each command ended.

The file: {name: [process 0's, process 1's]}, each {arguments, folder, plugins}; answers: name-RANK.json, {code, lines}.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from unlabeled.cli.main import main
from unlabeled.training.processes.distributed import leave

if __name__ == "__main__":
    rank, plan = int(os.environ["RANK"]), Path(sys.argv[1])
    path = list(sys.path)
    for name, those in json.loads(plan.read_text()).items():
        own: dict[str, Any] = those[rank]
        os.chdir(own["folder"])
        sys.path[:] = [own["plugins"], *path]
        said = io.StringIO()
        code: Any = 0
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                main(["train", *own["arguments"]])
            except SystemExit as stop:
                code = stop.code
        answer = {"code": code, "lines": said.getvalue().splitlines()}
        plan.with_name(f"{name}-{rank}.json").write_text(json.dumps(answer))
    leave()
