"""Continuation: what a run needs to go on exactly, saved at a step and put back at the next start."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from unlabeled.recipes.schema import TrainingConfig
from unlabeled.training.checkpoints.checkpoint import (
    MODEL,
    OPTIMIZER,
    clean_checkpoints,
    find_newest,
    optimizer_state,
    restore_module,
    restore_optimizer,
    write_part,
)
from unlabeled.training.checkpoints.retention import Retention, check_metric, choose_best, collect_scores
from unlabeled.training.checkpoints.saving import CheckpointWriter
from unlabeled.training.checkpoints.state import TrainerState
from unlabeled.training.learner import Learner
from unlabeled.training.processes.agreement import together
from unlabeled.training.processes.distributed import wait_for_all
from unlabeled.training.processes.sharding import cut_parts
from unlabeled.training.record import Record


class Continuation:
    """The checkpoints of one run: its learner, optimizer and state."""

    def __init__(
        self,
        learner: Learner,
        optimizer: torch.optim.Optimizer,
        run: Record,
        config: TrainingConfig,
        announce: Callable[[Path], None],
        evaluates: bool,
    ) -> None:
        """announce: hears of each checkpoint that is written; evaluates: whether the run has evaluators."""
        self.learner, self.optimizer, self.run, self.config, self.evaluates = learner, optimizer, run, config, evaluates
        self.writer = CheckpointWriter(run.checkpoints, Retention(config.keep_checkpoints, config.keep_every), announce)

    def save(
        self,
        state: TrainerState,
        metrics: Mapping[str, float],
        evaluations: Sequence[Mapping[str, Any]] | None,
        *,
        writes: bool,
        last: bool,
    ) -> None:
        """Have a checkpoint written in the background.

        Every process must come here, as each has its part of what is sharded; the one that `writes` has the rest.
        evaluations: those of this step, None where none were due; last: no step follows.
        """
        tensors, shards = cut_parts(
            {MODEL: self.learner.state_dict(), OPTIMIZER: optimizer_state(self.optimizer, self.learner)}
        )
        if shards:
            together(lambda: write_part(self.run.checkpoints, state.step, tensors))
        if not writes:
            return
        wanted = self.config.keep_best
        scores = collect_scores(metrics, evaluations or ())
        state.best = choose_best(state.best, wanted, state.step, scores)
        self.writer.save(tensors, {**state.dump(), **shards}, state.best["step"] if state.best else None)
        measured = state.step % self.config.log_every == 0 and (evaluations is not None or not self.evaluates)
        if wanted is not None and state.best is None and (measured or last):
            check_metric(wanted, state.step, scores)

    def restore(self, *, writes: bool) -> tuple[TrainerState, str | None, tuple[str, ...]]:
        """Go on from the newest sound checkpoint: its state, its name, and what is wrong with newer ones.

        The process that `writes` drops what lies after it.
        """
        found = find_newest(self.run.checkpoints)
        state = TrainerState.begin(self.config)
        if found is not None:
            restore_module(self.learner, found)
            restore_optimizer(self.optimizer, self.learner, found)
            state = TrainerState.restore(found.checkpoint.trainer)
        wait_for_all()
        if writes:
            clean_checkpoints(self.run.checkpoints)
            self.run.cut(state.step)
        return (state, found.path.name, found.passed_over) if found else (state, None, ())
