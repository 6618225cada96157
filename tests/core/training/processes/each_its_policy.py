"""Run by torchrun: trains, with a policy that only the ranks have which are named.

    each_its_policy.py POLICY RANKS ARGUMENTS...

writes IMPORTED-RANK.json: how the command ended, and whether the plugin's package was imported.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

from unlabeled.cli.main import main
from unlabeled.training.processes.distributed import leave

if __name__ == "__main__":
    policy, ranks, *arguments = sys.argv[1:]
    rank = os.environ["RANK"]
    if rank in ranks.split(","):
        os.environ["UNLABELED_POLICY"] = policy
    said, code = io.StringIO(), None
    with contextlib.redirect_stderr(said):
        try:
            main(["train", *arguments])
        except SystemExit as stop:
            code = stop.code
    answer = {"code": code, "lines": said.getvalue().splitlines(), "imported": "unlabeled_rows" in sys.modules}
    Path(policy).with_name(f"answer-{rank}.json").write_text(json.dumps(answer))
    if code == 0:
        leave()
    sys.exit(code)
