"""One step of an objective, taken plainly: without an optimizer, other processes or mixed precision."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlabeled.interfaces.batch import View
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.objective import Context, Loss, Objective
from unlabeled.testing.views import rows_of_view
from unlabeled.training.step import no_total

Cut = Callable[[slice], Sequence[View]]
"""Some rows of a batch -> its views of them."""


@dataclass(frozen=True)
class Step:
    """What a step came to."""

    loss: Tensor
    """Scalar: the weighted sum of each term's sum over its count."""
    sums: dict[str, Tensor]
    counts: dict[str, Tensor]
    statistics: dict[str, Tensor]
    monitors: dict[str, Tensor]
    outputs: dict[str, Tensor]
    """All rows of every output of `represent`, after `head`; and the constants."""
    gradients: dict[str, Tensor]
    """Of every parameter of objective and encoders that the loss depends on."""


def take_step(
    objective: Objective,
    views: Sequence[View],
    encoders: Mapping[str, Encoder],
    *,
    micro_batches: int = 1,
    processes: int = 1,
    step: int = 0,
    seed: int = 0,
    cut: Cut | None = None,
) -> Step:
    """Represent `micro_batches` shares of the rows, then compute the loss as `processes` processes would.

    The views hold the rows of all processes; `cut` gives the views of some rows, by default those of dense views. The head
    runs once, on all rows, because its BatchNorm is synchronised. Processes are threads that meet in `context.total`.
    """
    cut = cut or (lambda rows: [rows_of_view(view, rows) for view in views])
    context = Context(step=step, steps=100, epoch=0, seed=seed, ids=views[0].ids, encoders=encoders)
    parts = [list(views)] if micro_batches == 1 else [cut(part) for part in _shares(views[0].rows, micro_batches)]
    contexts = [replace(context, cache={}, total=no_total("represent")) for _ in parts]
    counts = _add([_counts(objective, part, own) for part, own in zip(parts, contexts, strict=True)])
    represented = [objective.represent(part, encoders, own) for part, own in zip(parts, contexts, strict=True)]
    outputs = {name: _join(name, represented, objective.constants) for name in represented[0]}
    outputs = objective.head(outputs, context)
    losses = _losses(objective, outputs, context, _shares(views[0].rows, processes))
    sums = _add([loss.sums for loss in losses])
    default = torch.tensor(views[0].rows)
    counts = {term: counts.get(term, default) for term in sums}
    terms = [objective.weights.get(term, 1.0) * sums[term] / counts[term].clamp(min=1) for term in sums]
    loss = torch.stack(terms).sum()
    return Step(
        loss=loss,
        sums=sums,
        counts=counts,
        statistics=_add([loss.statistics for loss in losses]),
        monitors=losses[0].monitors,
        outputs=outputs,
        gradients=_gradients(loss, objective, encoders),
    )


def _losses(
    objective: Objective, outputs: Mapping[str, Tensor], context: Context, shares: Sequence[slice]
) -> list[Loss]:
    gathered = {name: outputs[name] for name in objective.gathers}
    total = _Total(len(shares))
    results: list[Loss | BaseException] = [RuntimeError("did not run") for _ in shares]

    def run(number: int) -> None:
        rows = shares[number]
        own = {name: value if name in objective.constants else value[rows] for name, value in outputs.items()}
        try:
            sum_of_all = total.of(number) if objective.coupled else no_total("the loss")
            results[number] = objective.loss(own, gathered, replace(context, rows=rows, total=sum_of_all))
        except BaseException as error:
            results[number] = error
            total.barrier.abort()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(shares))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    losses = [result for result in results if isinstance(result, Loss)]
    causes = [result for result in results if isinstance(result, BaseException)]
    if causes:
        raise next((cause for cause in causes if not isinstance(cause, threading.BrokenBarrierError)), causes[0])
    return losses


class _Total:
    """`context.total` between threads: each brings its summand, all leave with the sum."""

    def __init__(self, processes: int) -> None:
        self.parts: dict[int, Tensor] = {}
        self.barrier = threading.Barrier(processes)

    def of(self, number: int) -> Callable[[Tensor], Tensor]:
        def total(value: Tensor) -> Tensor:
            self.parts[number] = value.detach()
            self.barrier.wait()
            result = torch.stack([self.parts[each] for each in sorted(self.parts)]).sum(dim=0)
            self.barrier.wait()
            return result

        return total


def _shares(rows: int, count: int) -> list[slice]:
    """`count` contiguous shares of the rows, the first ones larger by one where they cannot be equal."""
    edges = [0]
    for number in range(count):
        edges.append(edges[-1] + rows // count + (number < rows % count))
    return [slice(start, end) for start, end in zip(edges, edges[1:], strict=False)]


def _counts(objective: Objective, views: Sequence[View], context: Context) -> dict[str, Tensor]:
    return {term: torch.as_tensor(count) for term, count in objective.counts(views, context).items()}


def _add(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]).sum(dim=0) for name in parts[0]}


def _join(name: str, parts: Sequence[Mapping[str, Tensor]], constants: Sequence[str]) -> Tensor:
    return parts[0][name] if name in constants else torch.cat([part[name] for part in parts])


def _gradients(loss: Tensor, objective: Objective, encoders: Mapping[str, Encoder]) -> dict[str, Tensor]:
    modules = {"objective": objective, **{f"encoders.{name}": encoder for name, encoder in encoders.items()}}
    parameters = {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, retain_graph=True)
    return {name: value for name, value in zip(parameters, found, strict=True) if value is not None}
