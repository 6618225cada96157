"""Supervised workers: jobs in order, whatever their decoders do."""

import faulthandler
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unlabeled import UnlabeledError
from unlabeled.data.workers import Supervision, Watch, in_order

BAD = {13: "hangs", 22: "crashes", 31: "exits", 40: "leaves"}


def decode(cell: int) -> int:
    match BAD.get(cell):
        case "hangs":
            re.match(r"(a+)+$", "a" * 200 + "b")  # years, and no other thread of the process can run
        case "crashes":
            faulthandler.disable()  # pytest turned it on
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exits":
            os._exit(3)
        case "leaves":
            sys.exit(0)
    return cell


class Blame:
    """Remembers what was cut off, and gives jobs that leave it out from then on."""

    def __init__(self) -> None:
        self.found: dict[int, tuple[int, str]] = {}
        self.jobs: list[int] = []

    def add(self, job: int, position: int, encoder: int, reason: str) -> None:
        assert encoder == 1
        assert position not in self.found
        self.found[position] = job, reason

    def work(self, job: int, watch: Watch) -> dict[str, Any]:
        cells = []
        for cell in range(job * 4, job * 4 + 4):
            if cell not in self.found:
                watch.begin(cell, 1)
                cells.append(decode(cell))
                watch.end()
        return {"cells": cells, "tensor": torch.tensor(cells, dtype=torch.bfloat16), "knows": set(self.found)}

    def supervision(self, workers: int, timeout: float = 0.5) -> Supervision[int]:
        return Supervision(workers, timeout, self.add, lambda: len(self.found))


@pytest.mark.parametrize("workers", [1, 3])
def test_cells_that_hang_or_end_the_process_are_cut_off_and_nothing_else(workers: int) -> None:
    blame = Blame()
    results = list(in_order(blame.work, range(12), blame.supervision(workers)))
    assert [cell for result in results for cell in result["cells"]] == [cell for cell in range(48) if cell not in BAD]
    assert blame.found == {
        13: (3, "decoding took longer than 0.5 s (data.decode_timeout)"),
        22: (5, "the decoder ended its process (signal SIGSEGV)"),
        31: (7, "the decoder ended its process (exit code 3)"),
        40: (10, "the decoder ended its process (exit code 0)"),
    }
    for job, result in enumerate(results):
        known = {cell for cell, (found, _) in blame.found.items() if found <= job}
        assert known <= result["knows"], "a job after a verdict is done in the knowledge of it"


def test_what_another_finds_is_known_to_every_job_that_is_not_taken_yet() -> None:
    blame = Blame()
    results = in_order(blame.work, range(3), blame.supervision(2))
    assert next(results)["knows"] == set()
    blame.found[9] = 0, "found elsewhere"  # the workers are ahead by now
    assert [result["cells"] for result in results] == [[4, 5, 6, 7], [8, 10, 11]]


def test_a_worker_that_is_asked_to_end_blames_no_cell() -> None:
    def work(job: int, watch: Watch) -> int:
        watch.begin(job, 1)
        if job == 2 and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGHUP)
        watch.end()
        return job

    flag = f"{os.environ.get('TMPDIR', '/tmp')}/asked-to-end-{os.getpid()}"
    blame = Blame()
    try:
        assert list(in_order(work, range(6), blame.supervision(2, 60.0))) == list(range(6))
    finally:
        os.unlink(flag)
    assert blame.found == {}


def test_workers_that_die_again_and_again_stop_with_one_line() -> None:
    def work(job: int, watch: Watch) -> int:
        if job == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    found: list[int] = []
    with pytest.raises(UnlabeledError) as error:
        found.extend(in_order(work, range(9), Blame().supervision(2)))
    assert found == [0, 1]
    (problem,) = error.value.problems
    assert "5 times in a row a worker ended while it decoded no cell (signal SIGKILL)" in problem
    assert "set data.workers=0 to see its error" in problem


@pytest.mark.parametrize(
    ("raised", "expected"), [(UnlabeledError("a line"), "^a line$"), (KeyError("x"), "^KeyError in a worker: 'x'")]
)
def test_what_a_job_raises_is_raised_in_its_turn(raised: Exception, expected: str) -> None:
    def work(job: int, watch: Watch) -> int:
        if job == 3:
            raise raised
        return job

    found: list[int] = []
    with pytest.raises((UnlabeledError, RuntimeError), match=expected):
        found.extend(in_order(work, range(9), Blame().supervision(2)))
    assert found == [0, 1, 2]


def test_arrays_and_tensors_of_all_kinds_arrive_as_they_were() -> None:
    shared = torch.arange(7)
    sent: dict[str, Any] = {
        "half": torch.randn(3, 5).to(torch.bfloat16),
        "turned": torch.arange(12.0).reshape(3, 4).T,
        "scalar": torch.tensor(True),
        "empty": torch.zeros(0, 3),
        "array": np.arange(20, dtype=np.int16)[::3],
        "twice": [shared, shared],
        "more": {"text": "a", 3: (None, b"b")},
    }

    def work(job: int, watch: Watch) -> dict[str, Any]:
        return sent

    (found,) = in_order(work, range(1), Blame().supervision(1))
    for name in ("half", "turned", "scalar", "empty"):
        assert found[name].equal(sent[name]) and found[name].dtype == sent[name].dtype
    assert np.array_equal(found["array"], sent["array"]) and found["more"] == sent["more"]
    assert found["twice"][0] is found["twice"][1]
    found["twice"][0].add_(1)  # it can be written to


def children() -> set[int]:
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return {int(number) for number in file.read().split()}


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
def test_workers_end_with_the_iterator() -> None:
    before = children()
    steps = in_order(Blame().work, range(100), Blame().supervision(3))
    next(steps)
    assert len(children() - before) == 3
    steps.close()  # type: ignore[attr-defined]
    assert children() <= before, "neither running nor left as a zombie"


PARENT = """
import faulthandler
import os
from unlabeled.data.workers import Supervision, in_order

def work(job, watch):
    if job:
        watch.begin(0, 0)
        import re
        re.match(r"(a+)+$", "a" * 200 + "b")
    return os.getpid()

steps = in_order(work, range(2), Supervision(1, 600.0, print, lambda: 0))
print(next(steps), flush=True)
next(steps)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd_open")
def test_a_worker_that_hangs_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([worker], [], [], 60)
        os.close(worker)
    assert ended


def test_without_workers_jobs_are_done_here() -> None:
    def here(job: int, watch: Watch) -> tuple[int, int]:
        return job, os.getpid()

    work: Callable[[int, Watch], tuple[int, int]] = here
    assert list(in_order(work, range(2), Blame().supervision(0))) == [(0, os.getpid()), (1, os.getpid())]
