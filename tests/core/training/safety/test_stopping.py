"""SIGTERM, SIGINT and the time limit stop a run after the step under way, and nothing is lost."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

import unlabeled
from unlabeled.recipes.schema import TrainingConfig
from unlabeled.training.safety.stopping import StopRequest

PAUSED = Path(__file__).with_name("paused.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
Send = Callable[[subprocess.Popen[str]], None]


@pytest.fixture
def files(tmp_path: Path, rows_recipe: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """The small recipe, whose checkpoints are due at no step that a test stops at, and its file."""
    path = tmp_path / "rows.yaml"
    path.write_text(yaml.safe_dump(rows_recipe))
    return rows_recipe, path


def run_and_signal(
    recipe: Path, run: Path, plugin: Path, *sends: Send, at: int = 5, launcher: list[str] | None = None
) -> tuple[int, str]:
    """The command in a process group of its own; the first of `sends` once step `at` is shown, the others in its checkpoint."""
    command = ["train", str(recipe), "data.workers=1", "--run-folder", str(run)]
    line = [sys.executable, *(launcher or []), str(PAUSED), str(at), str(len(sends) - 1), *command]
    environment = {**os.environ, "PYTHONPATH": str(plugin)}
    waiting = list(sends)
    with subprocess.Popen(
        line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stderr is not None
        said = ""
        for text in process.stderr:
            said += text
            if waiting and (re.match(rf"step {at}/", text) or text == "saving\n"):
                waiting.pop(0)(process)
    assert not waiting, said
    return process.returncode, said


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, optimizer, trainer state and metrics, bit for bit."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        first, second = (load_file(max((run / "checkpoints").iterdir()) / name) for run in (one, other))
        assert first.keys() == second.keys()
        assert not [key for key, value in first.items() if not value.equal(second[key])]
    states = [max((run / "checkpoints").iterdir()) / "trainer.json" for run in (one, other)]
    assert states[0].read_text() == states[1].read_text()
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()


def term(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


def interrupt_all(process: subprocess.Popen[str]) -> None:
    """What Ctrl-C does: every process of the group gets it, data workers too."""
    os.killpg(process.pid, signal.SIGINT)


def term_all(process: subprocess.Popen[str]) -> None:
    """What a scheduler does, and torchrun with each of its processes."""
    os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.parametrize("send", [term, pytest.param(term_all, marks=pytest.mark.slow), interrupt_all])
def test_a_signal_stops_after_the_step_and_the_same_command_continues(
    files: tuple[dict[str, Any], Path], rows_plugin: Path, tmp_path: Path, send: Send
) -> None:
    recipe, path = files
    code, said = run_and_signal(path, tmp_path / "run", rows_plugin, send)
    assert code == unlabeled.Stopped.code == 75, said
    name = "SIGINT" if send is interrupt_all else "SIGTERM"
    assert f"stopped after step 6 ({name}); the same command continues" in said
    assert ("Ctrl-C again stops at once" in said) == (name == "SIGINT")
    assert "Traceback" not in said
    assert max(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == "step-00000006"
    unlabeled.train(recipe, run=tmp_path / "run", quiet=True)
    whole = unlabeled.train(recipe, run=tmp_path / "whole", quiet=True)
    assert_same_run(whole.folder, tmp_path / "run")


@pytest.mark.slow
def test_a_second_interrupt_stops_at_once(
    files: tuple[dict[str, Any], Path], rows_plugin: Path, tmp_path: Path
) -> None:
    recipe, path = files
    code, said = run_and_signal(path, tmp_path / "run", rows_plugin, interrupt_all, interrupt_all)
    assert code == 130, said
    assert "error: interrupted" in said
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    unlabeled.train(recipe, run=tmp_path / "run", quiet=True)
    whole = unlabeled.train(recipe, run=tmp_path / "whole", quiet=True)
    assert_same_run(whole.folder, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("send", [term, interrupt_all])
def test_two_processes_stop_at_the_same_step(
    files: tuple[dict[str, Any], Path], rows_plugin: Path, tmp_path: Path, send: Send
) -> None:
    """torchrun hands the signal on to both; each is paused in the same step."""
    _, path = files
    _, said = run_and_signal(path, tmp_path / "run", rows_plugin, send, launcher=TORCHRUN)
    assert said.count("stopped after step 6") == 1, said
    assert "unexpected" not in said
    line = [sys.executable, *TORCHRUN, "-m", "unlabeled", "train", str(path), "--run-folder"]
    environment = {**os.environ, "PYTHONPATH": str(rows_plugin)}
    for name in ("run", "whole"):
        subprocess.run([*line, str(tmp_path / name)], env=environment, capture_output=True, check=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_the_time_limit_stops_each_start_after_a_step(rows_recipe: dict[str, Any], tmp_path: Path) -> None:
    rows_recipe["training"].update(steps=3, evaluate_every=2)
    rows_recipe["evaluation"] = [{"id": "standard/knn"}]
    whole = unlabeled.train(rows_recipe, run=tmp_path / "whole", quiet=True)
    for step in (1, 2, 3):
        with pytest.raises(
            unlabeled.Stopped, match=rf"stopped after step {step} \(training.max_time\); the same command"
        ):
            unlabeled.train(rows_recipe, ["training.max_time=0"], run=tmp_path / "run", quiet=True)
    run = unlabeled.train(rows_recipe, ["training.max_time=0"], run=tmp_path / "run", quiet=True)
    assert_same_run(whole.folder, run.folder)
    # No evaluation was made while there was no time; each was made up for.
    assert run.read("evaluations.jsonl") == whole.read("evaluations.jsonl")
    assert [line["step"] for line in whole.read("evaluations.jsonl")] == [2, 3]


def test_a_stop_is_asked_for_by_time_or_signal() -> None:
    now = [100.0]
    request = StopRequest(timedelta(seconds=5), quiet=True, clock=lambda: now[0])
    assert request.reason is None
    now[0] += 5
    assert request.reason == "training.max_time"
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopRequest(quiet=True) as request:
        assert request.reason is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.reason == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_another_thread_trains_without_handlers() -> None:
    found = []

    def work() -> None:
        with StopRequest(quiet=True) as request:
            found.append((signal.getsignal(signal.SIGTERM), request.reason))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(signal.getsignal(signal.SIGTERM), None)]


@pytest.mark.parametrize(
    ("given", "seconds", "shown"),
    [
        (90, 90, "0:01:30"),
        ("90", 90, "0:01:30"),
        ("1:30:00", 5400, "1:30:00"),
        ("100:00:07", 360007, "100:00:07"),
        (0.5, 0.5, "0:00:0.5"),
    ],
)
def test_a_duration_is_read_and_shown_plainly(given: object, seconds: float, shown: str) -> None:
    config = TrainingConfig(steps=1, max_time=given)  # type: ignore[arg-type]
    assert config.max_time == timedelta(seconds=seconds)
    assert config.model_dump(mode="json")["max_time"] == shown
    assert TrainingConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize("wrong", ["an hour", "1:75:00", -5, "nan"])
def test_what_is_no_duration_is_told(rows_recipe: dict[str, Any], tmp_path: Path, wrong: object) -> None:
    rows_recipe["training"]["max_time"] = wrong
    with pytest.raises(unlabeled.UnlabeledError) as error:
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    (problem,) = error.value.problems
    assert problem == f"training.max_time: should be hours:minutes:seconds or seconds, not {wrong!r}"
