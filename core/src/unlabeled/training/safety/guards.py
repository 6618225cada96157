"""Guards: steps that are not finite, loss spikes and collapse, counted, told, and written to incidents.jsonl."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.errors import UnlabeledError
from unlabeled.recipes.schema import TrainingConfig
from unlabeled.training.checkpoints.state import TrainerState
from unlabeled.training.record import Record
from unlabeled.training.safety.collapse import PATIENCE, find_collapse
from unlabeled.training.step import StepResult

_NAMES = 5
# What a healthy run shows while it starts is no sign: CLIP's features lie close together until they are told apart.
_GRACE, _LONGEST_GRACE = 0.1, 1000
INCIDENTS = "incidents.jsonl"


def taken(loss: float, norm: float) -> bool:
    """Whether a step with this loss and gradient norm changes anything: both are finite. Equal on all processes."""
    return math.isfinite(loss) and math.isfinite(norm)


def not_finite(module: nn.Module) -> list[str]:
    """The first few parameters whose gradient is not finite; looked for only where a step is bad."""
    named = ((name, parameter.grad) for name, parameter in module.named_parameters() if parameter.grad is not None)
    return [name for name, gradient in named if not bool(torch.isfinite(gradient).all())][:_NAMES]


def incident(kind: str, step: int, ids: Tensor | None = None, **found: Any) -> dict[str, Any]:
    """A line of incidents.jsonl; what is not finite is written as text, which every reader of JSON takes."""
    line = {"step": step, "kind": kind, **found}
    if ids is not None:
        line["ids"] = ids.tolist()
    return {key: _plain(value) for key, value in line.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Guards:
    """Watches over the steps of a run; what it counts is in the trainer's state, so that continuing is exact."""

    config: TrainingConfig
    steps: int
    run: Record
    say: Callable[[str], None]
    main: bool
    """Whether this process writes."""

    def taken(self, state: TrainerState, result: StepResult, norm: float, ids: Tensor | None) -> None:
        """After a step that was taken: tell of a loss that rose suddenly."""
        state.bad_steps_in_a_row = 0
        spike = state.losses.observe(result.loss, self.config.spike_window, self.config.spike_threshold)
        if spike is not None and state.step > self.config.warmup_steps:
            found = {"mean": spike.mean, "deviation": spike.deviation, "threshold": self.config.spike_threshold}
            line = incident("spike", state.step, **_found(result, norm), **found, ids=ids)
            self._report(line, f"{spike}; its samples are in {INCIDENTS}")

    def not_taken(
        self, state: TrainerState, result: StepResult, norm: float, ids: Tensor | None, parameters: list[str]
    ) -> None:
        """After a step that changed nothing: count it; `UnlabeledError` after `max_bad_steps` in a row."""
        state.bad_steps += 1
        state.bad_steps_in_a_row += 1
        line = incident("not finite", state.step, **_found(result, norm), parameters=parameters, ids=ids)
        where = f", first in {parameters[0]}" if parameters else ""
        self._report(line, f"the loss ({result.loss}) or gradient{where} is not finite; the step was skipped")
        if state.bad_steps_in_a_row >= self.config.max_bad_steps:
            raise UnlabeledError(
                f"training: {state.bad_steps_in_a_row} steps in a row were not finite (the last: step {state.step}); "
                "lower training.learning_rate, set training.clip_norm, or look for NaN in the samples whose ids are in "
                f"{self.run.folder / INCIDENTS}"
            )

    def logged(self, state: TrainerState, metrics: Mapping[str, float]) -> None:
        """Tell of a sign of collapse when it first shows; `state.collapse` counts how long it lasts."""
        if "loss" not in metrics or state.step <= max(
            self.config.warmup_steps, min(_GRACE * self.steps, _LONGEST_GRACE)
        ):
            return
        signs = find_collapse(metrics, state.step / self.steps)
        state.collapse = {sign.key: state.collapse.get(sign.key, 0) + 1 for sign in signs}
        for sign in signs:
            if state.collapse[sign.key] == 1:
                self._report(incident("collapse", state.step, **asdict(sign)), f"warning: {sign}")

    def collapsed(self, state: TrainerState) -> str | None:
        """What has been collapsed for so many logged steps in a row that the run should stop, if anything."""
        return next((key for key, count in state.collapse.items() if count >= PATIENCE), None)

    def collapse_error(self, step: int, sign: str | None) -> UnlabeledError:
        """Why the run stops; `sign` as the first process knows it."""
        return UnlabeledError(
            f"training: collapsed for {PATIENCE} logged steps in a row ({sign or 'the first process says of what'}), at step "
            f"{step}; see {self.run.folder / INCIDENTS}, or set training.stop_on_collapse=false"
        )

    def skips(self, step: int) -> bool:
        """Whether the recipe leaves out the batch of a step, counted from 1."""
        return any(first <= step <= last for first, last in self.config.skip_steps)

    def say_late_skips(self, step: int) -> None:
        """Tell of steps that are to be skipped but lie before those of this start, which goes on after `step`."""
        for first, last in self.config.skip_steps:
            if first <= step:
                self.say(
                    f"training.skip_steps: [{first}, {last}] begins before step {step + 1}, with which this start goes on; to "
                    f"leave out all of it, remove the checkpoints after step {first - 1} from {self.run.checkpoints}"
                )

    def _report(self, line: Mapping[str, Any], message: str) -> None:
        self.say(f"step {line['step']}: {message}")
        if self.main:
            self.run.append(INCIDENTS, [line])


def _found(result: StepResult, norm: float) -> dict[str, Any]:
    return {"loss": result.loss, "terms": result.terms, "gradient_norm": norm}
