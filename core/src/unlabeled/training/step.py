"""One step: counts, represent, head, gather, loss, backward. One path for one and many micro-batches and processes.

The graph is always cut at the outputs of `represent`: the loss runs on detached float32 leaves, and one backward goes on
from the outputs with the gradients of the leaves. Where a loss is coupled and there are several micro-batches, `represent`
runs twice, first without gradient, with the same draws (Gao et al., 2021, Scaling Deep Contrastive Learning Batch Size
under Memory Limited Setup), so the loss sees the whole batch at the memory of one micro-batch.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.batch import View
from unlabeled.interfaces.draws import hash_key
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.objective import Context, Objective
from unlabeled.training.learner import Learner, Views
from unlabeled.training.processes.distributed import gather_rows, process_count, process_index, total
from unlabeled.training.processes.sharding import like

Outputs = dict[str, dict[str, Tensor]]


@dataclass
class StepResult:
    """What a step found, the same on every process."""

    loss: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    monitors: dict[str, float] = field(default_factory=dict)
    gathered: Outputs = field(default_factory=dict)
    statistics: Outputs = field(default_factory=dict)
    stop: bool = False
    """Whether some process wants to stop after this step."""


@dataclass(frozen=True)
class StepEngine:
    """Computes losses and gradients of steps. `model` is the learner as wrapped for several processes."""

    model: nn.Module
    learner: Learner
    weights: Mapping[str, float]
    no_sync: Callable[[], AbstractContextManager[None]] = nullcontext
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    stop: Callable[[], bool] = lambda: False
    """Whether this process wants to stop; asked once a step, and summed with the losses."""

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of the learner; of a sharded one this process's shards."""
        return dict(self.learner.named_parameters())

    @property
    def coupled(self) -> bool:
        """Whether some objective's loss needs the whole batch."""
        return any(objective.coupled for _, objective in self.learner.named())

    def gradients(
        self, parts: Sequence[Views], context: Context, rows: Sequence[int], *, scale: float = 1.0
    ) -> StepResult:
        """Put the gradient of the step into every parameter's `.grad`, which was None.

        parts: the views of each micro-batch; rows: the rows of each process, in order; `context.ids`: ids of all rows; scale:
        what gradients are multiplied by while they pass through the network, and divided by at its end.
        """
        counts = self._counts(parts, context)
        groups = [list(enumerate(parts))] if self.coupled else [[part] for part in enumerate(parts)]
        result = StepResult()
        head_gradients: dict[str, Tensor] = {}
        start = sum(rows[: process_index()])
        for group in groups:
            last = group is groups[-1]
            outputs, sizes = self._represent_group(group, context, sync=last)
            leaves = _leaves(outputs[0] if len(outputs) == 1 else _join(outputs, self.learner))
            own = slice(start, start + sum(next(iter(size.values())) for size in sizes))
            gradients = self._loss_gradients(leaves, counts, replace(context, rows=own), rows, result, head_gradients)
            self._backward_group(group, outputs, sizes, gradients, context, scale, sync=last)
            start = own.stop
        _divide_gradients(self.learner, scale)
        _add_head_gradients(head_gradients, self.parameters)
        return _summed(result, counts, sum(rows), self.stop())

    def evaluate(self, views: Views, context: Context) -> dict[str, tuple[float, float]]:
        """Term or monitor -> (sum, count) on one batch of one process, without gradient; monitors count rows."""
        found: dict[str, tuple[float, float]] = {}
        with torch.no_grad():
            outputs = _leaves(self._represent(views, context, 0), requires_grad=False)
            for name, objective in self.learner.named():
                counts = _local_counts(objective, views[name], context)
                rows = _rows(views[name])
                own = objective.head(dict(outputs[name]), context)
                everyone = {key: own[key] for key in objective.gathers}
                loss = objective.loss(own, everyone, replace(context, rows=slice(0, rows)))
                found |= {f"{name}/{term}": (float(value), _scored(counts, term)) for term, value in loss.sums.items()}
                found |= {f"{name}/{key}": (float(value) * rows, rows) for key, value in loss.monitors.items()}
        return found

    def _counts(self, parts: Sequence[Views], context: Context) -> dict[str, dict[str, Tensor]]:
        """Objective -> term -> global count; `` is the count of rows."""
        found: dict[tuple[str, str], Tensor] = {}
        for name, objective in self.learner.named():
            inner = replace(context, total=no_total(f"counts of {name}"))
            for part in parts:
                for key, value in _local_counts(objective, part[name], inner).items():
                    found[name, key] = found[name, key] + value if (name, key) in found else value
        counts: dict[str, dict[str, Tensor]] = {name: {} for name, _ in self.learner.named()}
        for (name, key), value in zip(found, total(torch.stack(list(found.values()))), strict=True):
            counts[name][key] = value
        return counts

    def _represent(self, views: Views, context: Context, micro: int) -> Outputs:
        # Dropout belongs to (seed, step, process, micro-batch), so a second pass repeats it.
        _seed_dropout(hash_key(context.seed, context.step, process_index(), micro) % 2**63, _device(views))
        encoders: dict[str, Encoder] = dict(self.learner.encoders.items())  # type: ignore[arg-type]
        fresh = replace(context, encoders=encoders, cache={}, total=no_total("represent"))
        with self.autocast():
            outputs: Outputs = self.model(views, fresh)
        return outputs

    def _represent_group(
        self, group: Sequence[tuple[int, Views]], context: Context, *, sync: bool
    ) -> tuple[list[Outputs], list[dict[str, int]]]:
        sizes = [{name: _rows(views[name]) for name in views} for _, views in group]
        if len(group) == 1:
            micro, views = group[0]
            with nullcontext() if sync else self.no_sync():
                return [self._represent(views, context, micro)], sizes
        with torch.no_grad():
            return [self._represent(views, context, micro) for micro, views in group], sizes

    def _loss_gradients(
        self,
        leaves: Outputs,
        counts: Mapping[str, Mapping[str, Tensor]],
        context: Context,
        rows: Sequence[int],
        result: StepResult,
        head_gradients: dict[str, Tensor],
    ) -> Outputs:
        """The gradient of the whole loss, times the number of processes, at each leaf; `context.rows` are the leaves' own."""
        gradients: Outputs = {}
        for name, objective in self.learner.named():
            own = objective.head(dict(leaves[name]), context)
            heads = {key: own[key] for key in objective.gathers}
            everyone = {key: gather_rows(value, list(rows)).requires_grad_() for key, value in heads.items()}
            inner = context if objective.coupled else replace(context, total=no_total(f"the loss of {name}"))
            mine = {**own, **{key: value[context.rows] for key, value in everyone.items()}}
            loss = objective.loss(mine, everyone, inner)
            scaled = sum(
                value * (objective.weights.get(term, 1.0) * self.weights[name] / _count(counts[name], term))
                for term, value in loss.sums.items()
            )
            assert isinstance(scaled, Tensor)
            gradients[name] = _leaf_gradients(
                scaled * process_count(), leaves[name], heads, everyone, context.rows, name, objective, head_gradients
            )
            own_rows = context.rows.stop - context.rows.start
            _collect(result, name, loss.sums, loss.statistics, loss.monitors, own_rows, everyone)
            result.loss += float(scaled.detach())
        return gradients

    def _backward_group(
        self,
        group: Sequence[tuple[int, Views]],
        outputs: Sequence[Outputs],
        sizes: Sequence[Mapping[str, int]],
        gradients: Outputs,
        context: Context,
        scale: float,
        *,
        sync: bool,
    ) -> None:
        starts = dict.fromkeys(gradients, 0)
        for number, ((micro, views), size) in enumerate(zip(group, sizes, strict=True)):
            final = number == len(group) - 1
            with nullcontext() if sync and final else self.no_sync():
                graph = outputs[0] if len(group) == 1 else self._represent(views, context, micro)
                tensors, upstream = [], []
                for name, objective in self.learner.named():
                    for key, value in graph[name].items():
                        if not value.requires_grad:
                            continue
                        gradient = gradients[name][key]
                        if key in objective.constants:
                            gradient = gradient if final else torch.zeros_like(gradient)
                        else:
                            gradient = gradient[starts[name] : starts[name] + size[name]]
                        tensors.append(value)
                        upstream.append((gradient * scale).to(value.dtype))
                    starts[name] += size[name]
                torch.autograd.backward(tensors, upstream)


def no_total(where: str) -> Callable[[Tensor], Tensor]:
    """A `context.total` for what sees one micro-batch alone: `UnlabeledError`, as the sum of a part would be silently wrong."""

    def total(value: Tensor) -> Tensor:
        raise UnlabeledError(
            f"objectives: {where} works on one micro-batch and cannot call context.total; call it in head, in after_step, or in "
            "the loss of an objective with `gathers`, a `head` or `coupled = True`"
        )

    return total


def _leaves(outputs: Outputs, requires_grad: bool = True) -> Outputs:
    """Outputs cut from the graph, in float32 at least."""
    leaves: Outputs = {}
    for name, values in outputs.items():
        leaves[name] = {}
        for key, value in values.items():
            leaf = value.detach()
            if leaf.is_floating_point():
                leaf = leaf.to(torch.promote_types(leaf.dtype, torch.float32)).requires_grad_(requires_grad)
            leaves[name][key] = leaf
    return leaves


def _join(outputs: Sequence[Outputs], learner: Learner) -> Outputs:
    joined: Outputs = {}
    for name, objective in learner.named():
        joined[name] = {
            key: value if key in objective.constants else torch.cat([part[name][key] for part in outputs])
            for key, value in outputs[0][name].items()
        }
    return joined


def _leaf_gradients(
    scaled: Tensor,
    leaves: Mapping[str, Tensor],
    heads: Mapping[str, Tensor],
    everyone: Mapping[str, Tensor],
    own_rows: slice,
    name: str,
    objective: Objective,
    head_gradients: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Gradients at the leaves; those of parameters used in `head` are added to `head_gradients`, by name: while they are
    whole they are others than when they are sharded.
    """
    names = [key for key, leaf in leaves.items() if leaf.requires_grad]
    own_parameters = {key: value for key, value in objective.named_parameters() if value.requires_grad}
    targets: list[Tensor] = [*(leaves[key] for key in names), *own_parameters.values()]
    wanted = [*everyone.values(), *targets]
    found: Sequence[Tensor | None] = [None] * len(wanted)
    if scaled.requires_grad:
        found = torch.autograd.grad(scaled, wanted, allow_unused=True, retain_graph=bool(everyone))
    sums = list(found[len(everyone) :])
    if everyone:
        # Every process's loss depends on every process's rows: sum what all of them say of ours.
        shares = []
        for (key, head), upstream in zip(heads.items(), found[: len(everyone)], strict=True):
            whole = total(torch.zeros_like(everyone[key]) if upstream is None else upstream)
            shares.append(whole[own_rows].to(head.dtype))
        through = [(head, part) for head, part in zip(heads.values(), shares, strict=True) if head.requires_grad]
        more = torch.autograd.grad(
            [head for head, _ in through], targets, [part for _, part in through], allow_unused=True
        )
        sums = [b if a is None else a if b is None else a + b for a, b in zip(sums, more, strict=True)]
    for key, gradient in zip(own_parameters, sums[len(names) :], strict=True):
        if gradient is not None:
            full = f"objectives.{name}.{key}"
            known = head_gradients.get(full)
            head_gradients[full] = gradient if known is None else known + gradient
    return {
        key: torch.zeros_like(leaves[key]) if gradient is None else gradient
        for key, gradient in zip(names, sums[: len(names)], strict=True)
    }


def _divide_gradients(learner: Learner, scale: float) -> None:
    """Before those of `head` are added, which never were in half precision."""
    if scale != 1.0:
        for parameter in learner.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(scale)


def _add_head_gradients(gradients: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    """Average over processes, as DDP does for the rest, and add; DDP itself saw these parameters as unused."""
    for name, gradient in gradients.items():
        parameter = parameters[name]
        mean = like(total(gradient) / process_count() if process_count() > 1 else gradient, parameter)
        parameter.grad = mean if parameter.grad is None else parameter.grad + mean


def _seed_dropout(seed: int, device: torch.device) -> None:
    # torch.manual_seed seeds every kind of device; where one is absent, it formats a stack trace at each call.
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _rows(views: Sequence[View]) -> int:
    return views[0].rows


def _device(views: Views) -> torch.device:
    return next(iter(views.values()))[0].ids.device


def _local_counts(objective: Objective, views: Sequence[View], context: Context) -> dict[str, Tensor]:
    """Term -> count in this micro-batch; the empty name counts rows."""
    counts = {key: value.detach().to(torch.float64) for key, value in objective.counts(views, context).items()}
    return {"": torch.tensor(float(_rows(views)), dtype=torch.float64, device=views[0].ids.device), **counts}


def _scored(counts: Mapping[str, Tensor], term: str) -> float:
    """How many items a term scored: its own count, else rows."""
    return float(counts.get(term, counts[""]))


def _count(counts: Mapping[str, Tensor], term: str) -> float:
    """The count a term is divided by; a term nothing was scored for has the sum 0."""
    return max(_scored(counts, term), 1.0)


def _collect(
    result: StepResult,
    name: str,
    sums: Mapping[str, Tensor],
    statistics: Mapping[str, Tensor],
    monitors: Mapping[str, Tensor],
    rows: int,
    everyone: Mapping[str, Tensor],
) -> None:
    for term, value in sums.items():
        key = f"{name}/{term}"
        result.terms[key] = result.terms.get(key, 0.0) + float(value.detach())
    kept = result.statistics.setdefault(name, {})
    for key, value in statistics.items():
        kept[key] = kept[key] + value.detach() if key in kept else value.detach()
    for key, value in monitors.items():
        key = f"{name}/{key}"
        result.monitors[key] = result.monitors.get(key, 0.0) + float(value.detach()) * rows
    result.gathered[name] = {key: value.detach() for key, value in everyone.items()}


def _summed(result: StepResult, counts: Mapping[str, Mapping[str, Tensor]], rows: int, stop: bool) -> StepResult:
    """Sums over processes of what each found, in one message; means of terms and monitors."""
    names = [*result.terms, *result.monitors]
    found_here = [result.loss, float(stop), *result.terms.values(), *result.monitors.values()]
    values = torch.tensor(found_here, dtype=torch.float64)
    device = next(iter(counts.values()))[""].device
    means: list[float] = total(values.to(device)).tolist()
    found = dict(zip(names, means[2:], strict=True))
    for key in result.terms:
        name, _, term = key.partition("/")
        result.terms[key] = found[key] / _count(counts[name], term)
    result.monitors = {key: found[key] / rows for key in result.monitors}
    result.loss, result.stop = means[0], means[1] > 0
    result.statistics = {
        name: {key: total(value) for key, value in items.items()} for name, items in result.statistics.items()
    }
    return result
