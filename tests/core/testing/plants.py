"""Errors of distributed losses that people make, each planted in a process by a context manager."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
import unlabeled_memory
import unlabeled_rows

from unlabeled import Loss
from unlabeled.training import normalization, step
from unlabeled.training.processes import distributed
from unlabeled_text.objectives.masked_language_modelling import MaskedLanguageModelling

Patch = AbstractContextManager[Any]


@contextmanager
def gather_without_gradient() -> Iterator[None]:
    """What other processes' losses say of own rows is lost, as all_gather has no backward."""
    real = step._leaf_gradients

    def alone(*arguments: Any) -> Any:
        with patch.object(step, "total", lambda value: value.detach().clone()):
            return real(*arguments)

    with patch.object(step, "_leaf_gradients", alone):
        yield


def mean_of_means() -> Patch:
    """Each process, and each micro-batch, divides by its own count of tokens."""

    def loss(self: Any, own: Any, all: Any, context: Any) -> Loss:
        return Loss({"masked": own["masked"].sum() / own["chosen"].sum().clamp(min=1) * len(own["masked"])})

    return patch.multiple(MaskedLanguageModelling, loss=loss, counts=lambda *_: {})


def rank_offset() -> Patch:
    """The positives of every process are taken to be the first of all rows."""
    real = unlabeled_memory.MomentumContrast.loss

    def loss(self: Any, own: Any, all: Any, context: Any) -> Loss:
        return real(self, own, all, replace(context, rows=slice(0, len(own["key"]))))

    return patch.object(unlabeled_memory.MomentumContrast, "loss", loss)


def local_rows() -> Patch:
    """A loss of the whole batch is computed on the rows of one process."""
    real = unlabeled_rows.AlignUniform.loss

    def loss(self: Any, own: Any, all: Any, context: Any) -> Loss:
        return real(self, own, {name: own[name] for name in all}, context)

    return patch.object(unlabeled_rows.AlignUniform, "loss", loss)


def local_normalisation() -> Patch:
    """Batch normalisation is not synchronised."""
    return patch.multiple(normalization, process_count=lambda: 1, sum_with_gradient=lambda value: value)


def temperature_per_micro_batch() -> Patch:
    """The gradient of what is no row reaches its parameter once for each micro-batch."""
    real = step.StepEngine._backward_group

    def each_alone(
        self: Any, group: Any, outputs: Any, sizes: Any, gradients: Any, context: Any, scale: float, *, sync: bool
    ) -> None:
        done = 0
        for (micro, views), size in zip(group, sizes, strict=True):
            last = micro == len(group) - 1
            rows = slice(done, done + next(iter(size.values())))
            share = {
                name: {
                    key: value if key in objective.constants else value[rows] for key, value in gradients[name].items()
                }
                for name, objective in self.learner.named()
            }
            done = rows.stop
            with nullcontext() if last else self.no_sync():
                graph = outputs if len(group) == 1 else [self._represent(views, context, micro)]
                real(self, [(micro, views)], graph, [size], share, context, scale, sync=last)

    return patch.object(step.StepEngine, "_backward_group", each_alone)


@contextmanager
def wait_for_nobody() -> Iterator[None]:
    """The first process waits for a sum to which the others bring nothing."""
    yield
    if distributed.process_index() == 0:
        distributed.total(torch.zeros(1))


@contextmanager
def exit_at_once() -> Iterator[None]:
    """The process ends without a word."""
    os._exit(3)
    yield
