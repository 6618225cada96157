"""SIGKILLs at random moments change nothing: a run that is killed again and again ends with the bytes of one that is not.

    python tests/benchmarks/chaos.py RECIPE [key=value ...] [--kills 50] [--processes 1] [--seed 0] [--folder DIR]

trains the recipe once undisturbed, then in other folders with kills until there were enough, starting each time with
another number of workers (0 to 3), and compares every file of the newest checkpoint (weights, teachers, queues, optimizer,
counters), metrics.jsonl and evaluations.jsonl, byte by byte. Moments are drawn over the whole life of the run, and again and
again aimed at a checkpoint that is being written. A run that ends before it is killed is compared, and another one begun.
With several processes torchrun starts them, and one of them or all are killed. Exit code 1: something differed, or a newest
checkpoint was unreadable after a kill. Small settings make many kills cheap:

    python tests/benchmarks/chaos.py text-mlm training.steps=16 training.batch_size=16 training.checkpoint_every=2 \\
        training.log_every=1 training.evaluate_every=6 'data.options={items: {train: 256, validation: 16, test: 16}}'
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch._dynamo  # noqa: F401  the first optimizer imports it: all is wanted before the forks

import unlabeled
import unlabeled.runs.api
from unlabeled.runs.dry_run import describe_recipe
from unlabeled.training.checkpoints.checkpoint import find_newest, list_checkpoints

WORKERS = 3
PATIENCE = 180.0
_pause = threading.Event().wait


@dataclass
class Start:
    """One start of the command, as one process or as torchrun with several."""

    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code

    def wait(self) -> int:
        """The exit code; what does not end is killed, and -9."""
        until = time.monotonic() + PATIENCE
        while self.poll() is None and time.monotonic() < until:
            _pause(0.01)
        if self.poll() is None:
            for pid in [self.pid, *children(self.pid)]:
                kill(pid)
            os.waitpid(self.pid, 0)
            self.code = -signal.SIGKILL
        assert self.code is not None
        return self.code


def kill(pid: int) -> None:
    """SIGKILL, unless it has ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def start(recipe: str, overrides: list[str], run: Path, processes: int) -> Start:
    """Start training; what it says goes to RUN.log."""
    log = open(run.with_suffix(".log"), "ab")  # noqa: SIM115
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = ["-m", "unlabeled", "train", recipe, *overrides, "--run-folder", str(run)]
        with log:
            return Start(subprocess.Popen([sys.executable, *launch, *command], stdout=log, stderr=log).pid)
    # A fork of this process, which has imported everything, is there in a tenth of the time.
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            unlabeled.train(recipe, overrides, run=run, quiet=True)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    log.close()
    return Start(pid)


def unfinished(run: Path) -> bool:
    """Whether a checkpoint is being written, or was when the run was killed."""
    folder = run / "checkpoints"
    return folder.is_dir() and any(name.endswith((".partial", ".removed")) for name in os.listdir(folder))


def choose_moment(run: Path, life: float, aim: bool, draws: random.Random) -> Callable[[], bool]:
    """Says when it is time to kill: at a moment of the life, or, aimed, when a checkpoint is being written after one."""
    moment = time.monotonic() + draws.uniform(0, life) * (draws.choice([0, 1]) if aim else 1)
    return lambda: time.monotonic() > moment and (not aim or unfinished(run))


def never() -> bool:
    """No kill any more."""
    return False


def run_until(training: Start, due: Callable[[], bool]) -> bool:
    """Let it run until it is time to kill it; False where it ended before."""
    while training.poll() is None:
        if due():
            return True
        _pause(0.0005)
    return False


def strike(training: Start, processes: int, draws: random.Random) -> str:
    """Kill one process or all; what was killed."""
    ranks = children(training.pid) if processes > 1 else []
    if ranks and draws.random() < 0.5:
        kill(draws.choice(ranks))
        training.wait()  # torchrun ends the others
        return "one"
    for pid in [training.pid, *ranks]:
        kill(pid)
    training.wait()
    return "all"


def contents(run: Path) -> dict[str, bytes]:
    """What has to be bit-identical."""
    newest = list_checkpoints(run / "checkpoints")[-1]
    paths = [*sorted(newest.iterdir()), run / "metrics.jsonl", run / "evaluations.jsonl"]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def fail(message: str, run: Path) -> None:
    """Say what went wrong with a run, and end."""
    log = run.with_suffix(".log")
    print(message, f"see {run}", *(log.read_text(errors="replace").splitlines()[-15:]), sep="\n")
    sys.exit(1)


def chaos(recipe: str, overrides: list[str], kills: int, processes: int, seed: int, folder: Path) -> None:
    """Train undisturbed, then with kills, and compare."""
    describe_recipe(recipe, overrides)
    began = time.monotonic()
    whole = folder / "whole"
    if start(recipe, overrides, whole, processes).wait() != 0:
        fail("the undisturbed run failed", whole)
    life = time.monotonic() - began
    expected = contents(whole)
    print(f"undisturbed: {life:.1f} s, {len(expected['metrics.jsonl'].splitlines())} lines of metrics", flush=True)
    draws = random.Random(seed)
    struck = in_save = ones = runs = 0
    while struck < kills:
        run, finished = folder / f"killed-{runs}", False
        while not finished:
            workers = draws.randint(0, WORKERS)
            training = start(recipe, [*overrides, f"data.workers={workers}"], run, processes)
            aim = in_save < 0.45 * (struck + 1)
            due = choose_moment(run, life, aim, draws) if struck < kills else never
            if run_until(training, due):
                ones += strike(training, processes, draws) == "one"
                struck += 1
                in_save += unfinished(run)
                check_newest(run)
            else:
                finished = True
                if training.wait() != 0:
                    fail(f"a start with {workers} workers after {struck} kills failed", run)
        found = contents(run)
        different = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        if different:
            fail(f"after {struck} kills these differ: {', '.join(different)}", run)
        runs += 1
        print(f"{struck} kills, {in_save} of them while a checkpoint was written, {runs} runs: identical", flush=True)
        shutil.rmtree(run)
    text = f", {ones} of one process alone" if processes > 1 else ""
    print(
        f"{recipe}, {processes} processes: {struck} kills ({in_save} during a save{text}) in {runs} runs, all bit-identical "
        f"({', '.join(expected)}); no newest checkpoint was unreadable"
    )


def check_newest(run: Path) -> None:
    """After a kill every checkpoint that is listed is whole."""
    try:
        found = find_newest(run / "checkpoints")
    except unlabeled.UnlabeledError as error:
        fail(str(error), run)
    else:
        if found is not None and found.passed_over:
            fail("\n".join(found.passed_over), run)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs lie; default: a temporary folder")
    given = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        chaos(given.recipe, given.overrides, given.kills, given.processes, given.seed, folder)


if __name__ == "__main__":
    main()
