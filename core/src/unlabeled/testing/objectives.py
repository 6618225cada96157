"""Promises of objectives: each is one small function in `PROMISES`, by its id."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn

from unlabeled.interfaces.batch import View
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.objective import Context, Objective
from unlabeled.testing.promises import close, copies, difference, finite, in_dtype, promise, same, tensors_of, unchanged
from unlabeled.testing.steps import Cut, Step, take_step
from unlabeled.testing.views import rows_of_view

GROUP_SETTINGS = {"scale", "constant", "weight_decay"}


@dataclass(frozen=True)
class ObjectiveCase:
    """An objective with its encoders, in float64 and without dropout, and the views of one step."""

    objective: Objective
    encoders: Mapping[str, Encoder]
    views: Sequence[View]
    cut: Cut
    tolerance: float = 1e-9
    whole_batches: bool = False
    """True where an encoder normalises over the batch, so that micro-batches are refused."""

    def step(self, micro_batches: int = 1, processes: int = 1) -> Step:
        return take_step(
            self.objective, self.views, self.encoders, micro_batches=micro_batches, processes=processes, cut=self.cut
        )

    def after(self, step: Step) -> None:
        """Let the objective change its state as after a step that was taken."""
        gathered = {name: step.outputs[name].detach() for name in self.objective.gathers}
        with torch.no_grad():
            self.objective.after_step(gathered, step.statistics, self.encoders, self.context())

    def context(self) -> Context:
        ids = self.views[0].ids
        return Context(step=0, steps=100, epoch=0, seed=0, ids=ids, encoders=self.encoders)

    @property
    def modules(self) -> nn.ModuleDict:
        encoders = {f"encoder {name}": encoder for name, encoder in self.encoders.items()}
        return nn.ModuleDict({"objective": self.objective, **encoders})


Check = Callable[[ObjectiveCase], None]


def check_objective(
    objective: Objective, views: Sequence[View], encoders: Mapping[str, Encoder], *, tolerance: float = 1e-9
) -> None:
    """An objective has the same loss and gradient in any number of micro-batches and processes, and changes no state.

    Works on float64 copies in training mode. `views` stand in the order `represent` expects, at least four rows;
    the encoders have no dropout and no BatchNorm (which would see other rows in each micro-batch).
    """
    doubled = {name: copy.deepcopy(encoder).double().train() for name, encoder in encoders.items()}
    views = [in_dtype(view, torch.float64) for view in views]

    def cut(rows: slice) -> list[View]:
        return [rows_of_view(view, rows) for view in views]

    case = ObjectiveCase(copy.deepcopy(objective).double().train(), doubled, views, cut, tolerance)
    for name in ("in-place", "state", "outputs", "deterministic", "micro-batches", "processes", "after-step"):
        PROMISES[name](case)


def _in_place(case: ObjectiveCase) -> None:
    inputs = [copies(tensors_of(view)) for view in case.views]
    case.step()
    kept = all(unchanged(tensors_of(view), before) for view, before in zip(case.views, inputs, strict=True))
    promise(kept, case.objective, "changes a view in place")


def _state(case: ObjectiveCase) -> None:
    state = copies(case.modules.state_dict())
    case.step()
    promise(unchanged(case.modules.state_dict(), state), case.objective, "changes its state before after_step")


def _outputs(case: ObjectiveCase) -> None:
    objective, step, rows = case.objective, case.step(), case.views[0].rows
    promise(bool(step.sums), objective, "loss returns no terms")
    for name in (*objective.gathers, *objective.constants):
        text = f"names the output {name} in gathers or constants but never returns it"
        promise(name in step.outputs, objective, text)
    for name, value in step.outputs.items():
        promise(value.is_floating_point(), objective, f"output {name} is {value.dtype}, not float")
        promise(value.ndim > 0, objective, f"output {name} has no dimensions; give it the shape (1,)")
        if name not in objective.constants:
            promise(len(value) == rows, objective, f"output {name} has {len(value)} rows where the batch has {rows}")
    for kind, values in (("term", step.sums), ("monitor", step.monitors)):
        for name, value in values.items():
            promise(value.ndim == 0, objective, f"{kind} {name} is not a scalar")
            promise(finite(value), objective, f"{kind} {name} is not finite")
    for name, value in step.statistics.items():
        promise(not value.requires_grad, objective, f"statistic {name} is not detached")
    unknown = sorted(set(objective.weights) - set(step.sums))
    promise(not unknown, objective, f"weights name {', '.join(unknown)}, which loss does not return")
    promise(bool(step.gradients), objective, "loss depends on no parameter")
    for name, value in step.gradients.items():
        promise(finite(value), objective, f"gradient of {name} is not finite")


def _deterministic(case: ObjectiveCase) -> None:
    first = case.step()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)  # a draw from it would be another
        _equal(case, first, case.step(), "when repeated")


def _micro_batches(case: ObjectiveCase) -> None:
    whole = case.step()
    for count in (2, 3):
        if not case.whole_batches:
            _equal(case, whole, case.step(micro_batches=count), f"in {count} micro-batches")


def _processes(case: ObjectiveCase) -> None:
    whole = case.step()
    for count in (2, 3):
        _equal(case, whole, case.step(processes=count), f"on {count} processes")


def _equal(case: ObjectiveCase, whole: Step, other: Step, how: str) -> None:
    for kind in ("sums", "counts", "statistics", "gradients"):
        ones, others = getattr(whole, kind), getattr(other, kind)
        promise(ones.keys() == others.keys(), case.objective, f"has other {kind} {how}")
        for name, value in ones.items():
            text = f"{kind} differ {how}: {name}, {difference(value, others[name])}"
            promise(close(value, others[name], case.tolerance), case.objective, text)


def _after_step(case: ObjectiveCase) -> None:
    step, trained = case.step(), _trained(case)
    before = copies(trained)
    case.after(step)
    kept = all(finite(value) for value in case.objective.state_dict().values())
    promise(kept, case.objective, "after_step leaves a state that is not finite")
    changed = [name for name, value in before.items() if not same(trained[name], value)]
    text = f"after_step changes {(changed or [''])[0]}, which the optimizer trains"
    promise(not changed, case.objective, text)


def _trained(case: ObjectiveCase) -> dict[str, Tensor]:
    return {name: value for name, value in case.modules.named_parameters() if value.requires_grad}


def _saved_state(case: ObjectiveCase) -> None:
    """What goes on, and a copy from before the step that loads its parameters and buffers, go on alike."""
    fresh = copy.deepcopy(case)
    case.after(case.step())
    fresh.modules.load_state_dict(case.modules.state_dict())
    _equal(case, case.step(), fresh.step(), "after its parameters and buffers were saved and loaded")
    mine = {id(value) for value in case.objective.parameters()}
    kept = not any(id(value) in mine for encoder in case.encoders.values() for value in encoder.parameters())
    promise(kept, case.objective, "keeps an encoder; a teacher is a deep copy")


def _counts(case: ObjectiveCase) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError(
            f"{type(case.objective).__name__}: counts runs the encoder; they are known from views alone"
        )

    views = list(case.views)
    with patch.object(Encoder, "forward", refused):
        counts = case.objective.counts(views, case.context())
    sums = case.step().sums
    unknown = sorted(set(counts) - set(sums))
    promise(
        not unknown, case.objective, f"counts {', '.join(unknown)}, which is no term of the loss ({', '.join(sums)})"
    )
    for name, value in counts.items():
        kept = torch.as_tensor(value).ndim == 0 and float(value) >= 0
        promise(kept, case.objective, f"the count of {name} is no number of items")
    if not case.objective.coupled:
        _counts_what_it_scores(case, {term: counts.get(term, case.views[0].present.numel()) for term in sums})


def _counts_what_it_scores(case: ObjectiveCase, whole: Mapping[str, Tensor | int]) -> None:
    """Row by row, where a row's loss is its own: what adds nothing counts nothing, and the counts add up."""
    totals = dict.fromkeys(whole, 0.0)
    for row in range(case.views[0].rows):
        alone = replace(case, views=case.cut(slice(row, row + 1)))
        counts = case.objective.counts(alone.views, alone.context())
        step = alone.step()
        for term in whole:
            count = float(counts.get(term, 1))
            totals[term] += count
            scored = float(step.sums[term].detach().abs()) > 0
            text = f"counts {count:g} of {term} where loss scores {'some' if scored else 'none'} (row {row})"
            promise(scored == (count > 0), case.objective, text)
    for term, value in whole.items():
        text = f"counts {float(value):g} of {term} in a batch whose rows count {totals[term]:g}"
        promise(abs(totals[term] - float(value)) < 1e-6, case.objective, text)


def _gradient(case: ObjectiveCase) -> None:
    objective, step = case.objective, case.step()
    frozen = tuple(objective.frozen(case.context()))
    own = [name for name, value in objective.named_parameters() if value.requires_grad]
    without = [
        name for name in own if f"objective.{name}" not in step.gradients and not (frozen and name.startswith(frozen))
    ]
    text = f"parameter {(without or [''])[0]} receives no gradient; freeze it (requires_grad_(False)) or use it"
    promise(not without, objective, text)
    for name in case.encoders:
        reached = [key for key in step.gradients if key.startswith(f"encoders.{name}.")]
        text = f"no gradient reaches the encoder {name}"
        promise(any(bool(step.gradients[key].any()) for key in reached), objective, text)


def _groups(case: ObjectiveCase) -> None:
    objective, names = case.objective, [name for name, _ in case.objective.named_parameters()]
    for prefix, settings in objective.parameter_groups().items():
        kept = any(name.startswith(prefix) for name in names)
        promise(kept, objective, f"parameter_groups names {prefix}, which begins no parameter")
        unknown = sorted(set(settings) - GROUP_SETTINGS)
        promise(not unknown, objective, f"parameter_groups has the unknown setting {', '.join(unknown)}")
    for prefix in objective.frozen(case.context()):
        kept = any(name.startswith(prefix) for name in names)
        promise(kept, objective, f"frozen names {prefix}, which begins no parameter")


def _bfloat16(case: ObjectiveCase) -> None:
    objective, encoders = case.objective.float(), {name: each.float() for name, each in case.encoders.items()}
    views = [in_dtype(view, torch.float32) for view in case.views]
    context = replace(case.context(), encoders=encoders)
    with torch.autocast(views[0].device.type, dtype=torch.bfloat16):
        outputs = objective.represent(views, encoders, context)
    own = objective.head({name: value.float() for name, value in outputs.items()}, context)
    loss = objective.loss(own, {name: own[name] for name in objective.gathers}, context)
    for name, value in loss.sums.items():
        promise(finite(value), objective, f"term {name} is not finite in bfloat16")
    parameters = [value for value in case.modules.parameters() if value.requires_grad]
    found = torch.autograd.grad(torch.stack(list(loss.sums.values())).sum(), parameters, allow_unused=True)
    kept = all(value is None or finite(value) for value in found)
    promise(kept, objective, "gradients are not finite in bfloat16")


@torch.no_grad()
def _leaves(case: ObjectiveCase) -> None:
    objective, view = case.objective, case.views[0]
    for name, encoder in objective.exports(case.encoders).items():
        promise(
            isinstance(encoder, Encoder), objective, f"exports gives {type(encoder).__name__} for {name}, no encoder"
        )
        promise(name in case.encoders, objective, f"exports names {name}, which is none of its encoders")
    pooled = case.encoders[view.encoder].pool(case.encoders[view.encoder](view))
    space = objective.embed(view.encoder, pooled)
    kept = space.ndim == 2 and len(space) == len(pooled) and finite(space)
    promise(
        kept, objective, f"embed gives {tuple(space.shape)} of {tuple(pooled.shape)}, and not (B, E) finite numbers"
    )


PROMISES: Mapping[str, Check] = {
    "in-place": _in_place,
    "state": _state,
    "outputs": _outputs,
    "deterministic": _deterministic,
    "micro-batches": _micro_batches,
    "processes": _processes,
    "after-step": _after_step,
    "saved-state": _saved_state,
    "counts": _counts,
    "gradient": _gradient,
    "groups": _groups,
    "bfloat16": _bfloat16,
    "leaves": _leaves,
}
