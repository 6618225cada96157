"""Promises of objectives."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from unlabeled.interfaces.batch import View
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.objective import Context, Objective
from unlabeled.testing.promises import close, copies, difference, promise, unchanged
from unlabeled.testing.steps import Step, take_step


def check_objective(
    objective: Objective, views: Sequence[View], encoders: Mapping[str, Encoder], *, tolerance: float = 1e-9
) -> None:
    """An objective has the same loss and gradient in any number of micro-batches and processes, and changes no state.

    Works on float64 copies in training mode. `views` stand in the order `represent` expects, at least four rows;
    the encoders have no dropout and no BatchNorm (which would see other rows in each micro-batch).
    """
    objective, encoders = copy.deepcopy(objective).double().train(), _doubled(encoders)
    views = [_double_view(view) for view in views]
    inputs = [copies(view.inputs) for view in views]
    modules = nn.ModuleDict({"objective": objective, **{f"encoder {name}": each for name, each in encoders.items()}})
    state = copies(modules.state_dict())

    whole = take_step(objective, views, encoders)
    kept = all(unchanged(view.inputs, before) for view, before in zip(views, inputs, strict=True))
    promise(kept, objective, "changes a view in place")
    promise(unchanged(modules.state_dict(), state), objective, "changes its state before after_step")
    _check_outputs(objective, whole, views[0].rows)
    _check_equal(objective, whole, take_step(objective, views, encoders), "when repeated", tolerance)
    for count in (2, 3):
        parts = take_step(objective, views, encoders, micro_batches=count)
        _check_equal(objective, whole, parts, f"in {count} micro-batches", tolerance)
        parts = take_step(objective, views, encoders, processes=count)
        _check_equal(objective, whole, parts, f"on {count} processes", tolerance)
    _check_after_step(objective, whole, views, encoders)


def _check_outputs(objective: Objective, step: Step, rows: int) -> None:
    promise(bool(step.sums), objective, "loss returns no terms")
    for name in (*objective.gathers, *objective.constants):
        promise(
            name in step.outputs, objective, f"names the output {name} in gathers or constants but never returns it"
        )
    for name, value in step.outputs.items():
        promise(value.is_floating_point(), objective, f"output {name} is {value.dtype}, not float")
        promise(value.ndim > 0, objective, f"output {name} has no dimensions; give it the shape (1,)")
        if name not in objective.constants:
            promise(len(value) == rows, objective, f"output {name} has {len(value)} rows where the batch has {rows}")
    for kind, values in (("term", step.sums), ("monitor", step.monitors)):
        for name, value in values.items():
            promise(value.ndim == 0, objective, f"{kind} {name} is not a scalar")
            promise(bool(torch.isfinite(value)), objective, f"{kind} {name} is not finite")
    for name, value in step.statistics.items():
        promise(not value.requires_grad, objective, f"statistic {name} is not detached")
    promise(bool(step.gradients), objective, "loss depends on no parameter")
    for name, value in step.gradients.items():
        promise(bool(torch.isfinite(value).all()), objective, f"gradient of {name} is not finite")


def _check_equal(objective: Objective, whole: Step, other: Step, how: str, tolerance: float) -> None:
    for kind in ("sums", "counts", "statistics", "gradients"):
        ones, others = getattr(whole, kind), getattr(other, kind)
        promise(ones.keys() == others.keys(), objective, f"has other {kind} {how}")
        for name, value in ones.items():
            text = f"{kind} differ {how}: {name}, {difference(value, others[name])}"
            promise(close(value, others[name], tolerance), objective, text)


def _check_after_step(objective: Objective, step: Step, views: Sequence[View], encoders: Mapping[str, Encoder]) -> None:
    context = Context(step=0, steps=100, epoch=0, seed=0, ids=views[0].ids, encoders=encoders)
    gathered = {name: step.outputs[name].detach() for name in objective.gathers}
    with torch.no_grad():
        objective.after_step(gathered, step.statistics, encoders, context)
    finite = all(bool(torch.isfinite(value).all()) for value in objective.state_dict().values())
    promise(finite, objective, "after_step leaves a state that is not finite")


def _doubled(encoders: Mapping[str, Encoder]) -> dict[str, Encoder]:
    return {name: copy.deepcopy(encoder).double().train() for name, encoder in encoders.items()}


def _double_view(view: View) -> View:
    inputs = {name: value.double() if value.is_floating_point() else value for name, value in view.inputs.items()}
    return replace(view, inputs=inputs)
