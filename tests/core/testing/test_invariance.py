"""The check of invariance catches every error of METHODS' kinds and says what differs, where and by how much."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unlabeled.testing import Processes, Trial, check_invariance

PLANTS = Path(__file__).with_name("plants.py")
Recipe = dict[str, Any]

SERIES = {
    "id": "timeseries/series",
    "encoder": {"id": "standard/patch", "patch": [4], "width": 8, "layers": 1, "heads": 2},
}
TEXT = {
    "id": "text/text",
    "vocabulary_size": 64,
    "max_length": 16,
    "encoder": {"id": "text/bert", "hidden_size": 8, "layers": 1, "heads": 2},
}


def recipe(objective: str, source: str = "sample:memory/gaps", **modalities: Recipe) -> Recipe:
    options = {"items": {"train": 30, "validation": 1, "test": 1}, "steps": 16}
    columns = {name: "text" if name == "text" else "series" for name in modalities}
    return {
        "modalities": modalities,
        "data": {"source": source, "options": options, "columns": columns},
        "objectives": [{"id": objective}],
        "training": {"batch_size": 7},
    }


ALIGN = recipe("rows/align-uniform", "sample:world", row={"id": "rows/row", "width": 80})
MOMENTUM = recipe("memory/momentum-contrast", series=SERIES)
MASKED = recipe("text/masked-language-modelling", text=TEXT)
SIMCLR = recipe("standard/simclr", series=SERIES)


def caught(plant: str, recipe: Recipe, processes: Processes, on: int, micro_batches: int) -> str:
    """What the check says of a planted error in one combination; without it there is nothing to say."""
    check_invariance(recipe, processes, on=(on,), micro_batches=(micro_batches,))
    with pytest.raises(AssertionError) as failure:
        check_invariance(recipe, processes, on=(on,), micro_batches=(micro_batches,), around=f"{PLANTS}:{plant}")
    return str(failure.value)


def test_a_gather_without_gradient_is_caught(processes: Processes) -> None:
    said = caught("gather_without_gradient", ALIGN, processes, 2, 1)
    assert "rows/align-uniform: on 2 processes with 1 micro-batch in float64, loss of step 2 differs by" in said
    assert "gradient of step 1 of encoders.row.layers.0.bias differs by 0." in said


@pytest.mark.parametrize(("on", "micro_batches"), [(2, 1), (1, 2)])
def test_a_mean_of_means_is_caught(on: int, micro_batches: int, processes: Processes) -> None:
    said = caught("mean_of_means", MASKED, processes, on, micro_batches)
    where = "2 processes with 1 micro-batch" if on == 2 else "1 process with 2 micro-batches"
    assert f"text/masked-language-modelling: on {where} in float64, loss of step 1 differs by 0.0" in said


def test_a_wrong_rank_offset_is_caught(processes: Processes) -> None:
    said = caught("rank_offset", MOMENTUM, processes, 2, 1)
    assert "memory/momentum-contrast: on 2 processes with 1 micro-batch in float64, loss of step 1 differs by" in said


def test_a_loss_of_the_local_batch_is_caught(processes: Processes) -> None:
    said = caught("local_rows", ALIGN, processes, 2, 1)
    assert "rows/align-uniform: on 2 processes with 1 micro-batch in float64, loss of step 1 differs by" in said


def test_batch_normalisation_of_the_local_batch_is_caught(processes: Processes) -> None:
    said = caught("local_normalisation", SIMCLR, processes, 2, 1)
    assert "standard/simclr: on 2 processes with 1 micro-batch in float64, loss of step 1 differs by" in said
    assert "gradient of step 1 of" in said
    assert "state of" in said


def test_a_temperature_that_counts_for_each_micro_batch_is_caught(processes: Processes) -> None:
    said = caught("temperature_per_micro_batch", MOMENTUM, processes, 1, 3)
    # Every other gradient is as it should be, and this one is three times what it should be.
    assert "gradient of step 1 of objectives.momentum-contrast.log_scale differs by 2 of its size" in said
    assert "loss of step 1" not in said


def test_dropout_must_be_off(processes: Processes) -> None:
    wild = {**TEXT, "encoder": {**TEXT["encoder"], "dropout": 0.1}}
    with pytest.raises(AssertionError, match=r"on 1 process .* the run failed: .*drops out 0\.1 of its inputs"):
        check_invariance(recipe("text/masked-language-modelling", text=wild), processes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "said"), [("wait_for_nobody", "process 0 gave no answer within 30 s"), ("exit_at_once", "process 0 died")]
)
def test_processes_that_hang_or_die_are_told_and_replaced(
    plant: str, said: str, rows_plugin: Path, memory_plugin: Path
) -> None:
    with Processes(2, timeout=30.0) as few:
        with pytest.raises(RuntimeError, match=said):
            few.run(Trial(MOMENTUM, processes=2, steps=1, around=f"{PLANTS}:{plant}"))
        assert len(few.run(Trial(MOMENTUM, processes=2, steps=1)).losses) == 1


def test_its_processes_end_with_the_group_of_the_one_that_asked(tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    code = (
        "import os, signal, sys\n"
        "from unlabeled.testing import Processes\n"
        "processes = Processes(2)\n"
        "processes._start()\n"  # which waits until both have said who they are
        "numbers = [os.getpgid(number) for number in processes._workers]\n"
        "print(len(numbers), set(numbers) == {os.getpgid(0)}, file=open(sys.argv[1], 'w'), flush=True)\n"
        "signal.pause()\n"
    )
    line = [sys.executable, "-c", code, str(fifo)]
    with subprocess.Popen(line, start_new_session=True, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        try:
            assert select.select([reader], [], [], 100)[0], "its processes did not start"
            assert os.read(reader, 100) == b"2 True\n"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            os.close(reader)
