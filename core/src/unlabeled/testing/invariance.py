"""Invariance: the number of processes and micro-batches changes nothing.

    @pytest.fixture(scope="session")
    def processes():
        with Processes() as processes:
            yield processes

    def test_invariance(processes):
        check_invariance(
            {
                "modalities": {"row": {"id": "rows/row", "width": 32}},
                "data": {"source": "rows.parquet"},
                "objectives": [{"id": "rows/align-uniform"}],
                "training": {"batch_size": 14},
            },
            processes,
        )

Give it some sixty rows, a few cells missing: with a batch of 14 the shares are uneven and the fifth step is a small one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.testing.processes import Processes
from unlabeled.testing.trial import Outcome, Trial

Precision = Literal["float64", "float32", "bfloat16"]
TOLERANCE: Mapping[Precision, float] = {"float64": 1e-9, "float32": 1e-5, "bfloat16": 2e-2}
# What is zero but for rounding is compared with the size of its kind, and not with itself.
FLOOR: Mapping[Precision, float] = {"float64": 1e-3, "float32": 1e-1, "bfloat16": 1e-1}


@dataclass(frozen=True)
class Difference:
    """Something that should agree and does not."""

    what: str
    size: float
    """Norm of the difference over the norm of what one process found."""

    def __str__(self) -> str:
        return f"{self.what} by {self.size:.2g} of its size"


def check_invariance(
    recipe: Mapping[str, Any],
    processes: Processes,
    *,
    on: Sequence[int] = (1, 2, 4),
    micro_batches: Sequence[int] = (1, 2, 4),
    precision: Precision = "float64",
    settings: Mapping[str, Any] | None = None,
    sharded: bool = False,
    around: str | None = None,
) -> None:
    """Five steps of a recipe come to the same on any number of processes and micro-batches as on one with whole batches.

    They are steps of the trainer itself, on real gloo processes. Compared with one process and one micro-batch are, on every
    process: in float64 the loss of each step, the gradient of every parameter in the first and the last one, and afterwards all
    parameters, buffers and optimizer state, each to 1e-9; in float32 loss and gradient of one step, to 1e-5, as rounding
    decides which ReLUs open and later steps amplify that; in bfloat16 likewise, to 2e-2, five of its units of rounding (float16
    skips other steps where another number of processes overflows). Two tensors agree where the norm of their difference is at
    most that share of the norm of the one process's tensor (or of the norm of all tensors of its kind times 1e-3, but 1e-1 in
    float32 and bfloat16, where that is more: what is zero but for rounding has no size of its own).

    recipe: without dropout; its small networks, data and batch decide how long this takes. `steps`, precision, workers and
    evaluation are set here. on: numbers of processes; `settings`, `sharded` and `around`: see `Trial`; the first two are
    left out of the run on one process that all are compared with. AssertionError: one line that names the
    objectives, the combination, what differs and by how much.
    """
    name = " + ".join(str(entry["id"]) for entry in recipe["objectives"])
    trial = Trial(recipe, precision=precision, steps=5 if precision == "float64" else 1, around=around)
    whole = _run(processes, trial, name)
    for count in on:
        for parts in micro_batches:
            tried = replace(trial, processes=count, micro_batches=parts, settings=settings or {}, sharded=sharded)
            found = _run(processes, tried, name)
            differences = list(_differences(whole, found, precision))
            if differences:
                raise AssertionError(f"{name}: {_where(count, parts, precision)} {_told(differences)}")


def _run(processes: Processes, trial: Trial, name: str) -> Outcome:
    try:
        return processes.run(trial)
    except RuntimeError as error:
        where = _where(trial.processes, trial.micro_batches, trial.precision)
        raise AssertionError(f"{name}: {where} the run failed: {error}") from None


def _where(count: int, parts: int, precision: str) -> str:
    processes = "1 process" if count == 1 else f"{count} processes"
    batches = "1 micro-batch" if parts == 1 else f"{parts} micro-batches"
    return f"on {processes} with {batches} in {precision},"


def _told(differences: Sequence[Difference]) -> str:
    """The first difference of each kind, and how many there are."""
    firsts: dict[str, Difference] = {}
    for difference in differences:
        firsts.setdefault(difference.what.split()[0], difference)
    more = len(differences) - len(firsts)
    rest = f" (and {more} more)" if more else ""
    return "; ".join(str(difference) for difference in firsts.values()) + rest


def _differences(whole: Outcome, found: Outcome, precision: Precision) -> Iterator[Difference]:
    """What differs: losses, then gradients, then state, in that order; each tensor on the first process where it does."""
    tolerance, floor = TOLERANCE[precision], FLOOR[precision]
    for number, (loss, other) in enumerate(zip(whole.losses, found.losses, strict=True), start=1):
        if not math.isclose(loss, other, rel_tol=tolerance, abs_tol=0.0):
            yield Difference(f"loss of step {number} differs", abs(loss - other) / max(abs(loss), 1e-300))
    (reference,) = whole.tensors
    sizes = _sizes(reference)
    for full in sorted(reference.keys() | set().union(*found.tensors), key=_rank):
        kind, _, name = full.partition("/")
        if precision != "float64" and not kind.startswith("gradient"):
            continue
        for number, tensors in enumerate(found.tensors):
            where = f" on process {number}" if number else ""
            if (full in reference) != (full in tensors):
                there = "one process alone has" if full in reference else "one process lacks"
                yield Difference(f"{kind} of {name} differs{where} ({there} it)", 1.0)
                break
            size = _difference(reference[full], tensors[full])
            expected = float(reference[full].double().norm())
            if not size <= tolerance * max(expected, floor * sizes[kind]):
                yield Difference(f"{kind} of {name} differs{where}", size / max(expected, 1e-300))
                break


def _rank(full: str) -> tuple[int, str]:
    order = ("gradient", "state", "optimizer")
    return order.index(full.split()[0].partition("/")[0]), full


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Kind -> the norm of all its tensors but those of integers, which must be equal."""
    squares: dict[str, float] = {}
    for full, value in tensors.items():
        kind = full.partition("/")[0]
        square = float(value.double().square().sum()) if value.is_floating_point() else 0.0
        squares[kind] = squares.get(kind, 0.0) + square
    return {kind: math.sqrt(square) for kind, square in squares.items()}


def _difference(one: Tensor, other: Tensor) -> float:
    """The norm of the difference; infinite where the shapes differ, NaN where a value is not a number."""
    if one.shape != other.shape:
        return math.inf
    if torch.equal(one, other):
        return 0.0
    return float((one.double() - other.double()).norm())
