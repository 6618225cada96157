"""The trainer: one loop for every objective, on accelerate."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from unlabeled.data.loader import Plan, StepBatches, load_steps
from unlabeled.data.order import step_positions, steps_per_epoch
from unlabeled.data.quarantine import Quarantine
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.objective import Context
from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.training.agreement import agree, together
from unlabeled.training.checkpoint import (
    MODEL,
    OPTIMIZER,
    checkpoint_step,
    clean_checkpoints,
    find_newest,
    optimizer_state,
    restore_module,
    restore_optimizer,
    write_part,
)
from unlabeled.training.distributed import gather_lines, gather_rows, process_count, process_index, total, wait_for_all
from unlabeled.training.embedding import survey_features
from unlabeled.training.layers import checkpoint_layers, compile_layers
from unlabeled.training.learner import Learner
from unlabeled.training.monitors import find_collapse, monitor_features
from unlabeled.training.normalization import BatchNorm, check_normalization, settle
from unlabeled.training.optimizers import build_optimizer, parameter_groups, set_learning_rate
from unlabeled.training.precision import LossScale, autocast
from unlabeled.training.progress import TrainingProgress
from unlabeled.training.record import Record
from unlabeled.training.retention import Retention, check_metric, choose_best, collect_scores
from unlabeled.training.saving import CheckpointWriter
from unlabeled.training.schedule import schedule_factor
from unlabeled.training.setup import Setup
from unlabeled.training.sharding import (
    cut_parts,
    is_sharded,
    no_sync,
    shard_learner,
    sharding_plan,
    whole,
    whole_state,
)
from unlabeled.training.step import StepEngine, StepResult
from unlabeled.training.trackers import Trackers
from unlabeled.training.views import ViewBuilder
from unlabeled_registry.hooks import Hooks

Evaluate = Callable[[Setup, Learner, int], list[dict[str, Any]]]
"""(setup, learner, step) -> the lines for evaluations.jsonl; the trainer itself knows no evaluator."""


@dataclass
class _State:
    """What a run counts besides weights."""

    step: int = 0
    bad_steps: int = 0
    bad_steps_in_a_row: int = 0
    bad_cells: int = 0
    samples: int = 0
    best: dict[str, Any] | None = None


def start_accelerator(recipe: ResolvedRecipe) -> Accelerator:
    """The accelerator of this process, as `accelerate launch` or torchrun set it up."""
    training = recipe.recipe.training
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    if training.device == "cuda" and not torch.cuda.is_available():
        raise UnlabeledError(
            "training.device: cuda, but torch sees no GPU; `unlabeled env` shows why, or set training.device=cpu"
        )
    if (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
        and "MASTER_ADDR" in os.environ
        and "WORLD_SIZE" not in os.environ
    ):
        raise UnlabeledError(
            "accelerate launch --cpu starts one process, however many were asked for; write "
            "accelerate launch --multi_gpu --num_processes N (works on CPU too), or torchrun --nproc-per-node N"
        )
    # accelerate keeps the first precision of a Python process for all later runs, and refuses another.
    AcceleratorState._reset_state()
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
    return Accelerator(
        mixed_precision="no",  # the step engine casts, so that losses stay outside
        cpu=training.device == "cpu" or not torch.cuda.is_available(),
        kwargs_handlers=[ddp],
    )


class Trainer:
    """Trains a prepared run from its newest checkpoint to its last step."""

    def __init__(
        self, setup: Setup, run: Record, accelerator: Accelerator, evaluate: Evaluate, *, quiet: bool = False
    ) -> None:
        self.setup, self.run, self.accelerator, self.evaluate = setup, run, accelerator, evaluate
        self.config = setup.recipe.recipe.training
        self.main = accelerator.is_main_process
        self.reader = setup.reader(setup.data.splits["train"])
        self.facts = setup.facts(len(self.reader))
        self.learner = setup.learner(self.facts).to(accelerator.device)
        check_normalization(self.learner, self.config.micro_batches)
        if self.config.gradient_checkpointing:
            checkpoint_layers(self.learner)
        if self.config.compile:
            compile_layers(self.learner, accelerator.device)
        sharding = sharding_plan()
        if sharding is not None:
            shard_learner(self.learner, accelerator.device, sharding)
        groups = parameter_groups(self.learner, self.learner.group_overrides(), self.config.weight_decay)
        self.optimizer = build_optimizer(groups, self.config)
        self.views = ViewBuilder.of(setup.recipe)
        self.plan = Plan(
            self.config.seed,
            self.facts.steps,
            self.config.batch_size,
            self.config.drop_last,
            self.config.micro_batches,
            process_index(),
            process_count(),
        )
        self._check_shares()
        self.state, self.scale = _State(), LossScale.of(self.config.precision)
        self.restored_from, self.passed_over = self._restore()
        agree({"the checkpoints": {"the newest": self.restored_from or "none"}})
        self.model = self.learner if sharding is not None else accelerator.prepare_model(self.learner)
        # Found once: walking all modules at every step costs as much as a small model's layers.
        self.parameters = list(self.learner.parameters())
        self.normalizations = [each for each in self.learner.modules() if isinstance(each, BatchNorm)]
        weights = {entry.name: entry.weight for entry in setup.recipe.objectives}
        self.engine = StepEngine(
            self.model,
            self.learner,
            weights,
            lambda: no_sync(self.model, accelerator),
            lambda: autocast(self.config.precision, accelerator.device),
        )
        self.progress = TrainingProgress(
            self.facts.steps, self.state.step, self.config.batch_size, quiet=quiet or not self.main
        )
        self.hooks = Hooks(self.progress.say)
        for name, package in setup.registry.packages().items():
            self.hooks.register(name, package)
        self.trackers = Trackers(run.folder) if self.main else None
        retention = Retention(self.config.keep_checkpoints, self.config.keep_every)
        self.writer = CheckpointWriter(run.checkpoints, retention, self._announce)
        self.quarantine = Quarantine(
            run.folder,
            setup.data.config.max_bad,
            setup.cut_off,
            gather_lines,
            run.append if self.main else None,
        )

    def fit(self) -> None:
        """Train to the last step. Steps that are not finite change nothing."""
        for problem in self.passed_over:
            self.progress.say(f"{problem}; passed over")
        if self.restored_from is not None:
            self.progress.say(f"continuing {self.run.folder} after step {self.state.step}")
        self._hook("run_started", run=self.run.folder, recipe=self.setup.recipe.dump(), step=self.state.step)
        metrics: dict[str, float] = {}
        self.learner.train()
        try:
            steps = load_steps(
                self.reader, self.views.all_keys(), self.plan, self.state.step, self.setup.data.config.workers
            )
            began, logged = time.perf_counter(), self.state.step
            for batches in steps:
                self._quarantine(batches)
                metrics = self._step(batches)
                done = self.state.step
                if self.main and (done % self.config.log_every == 0 or done == self.facts.steps):
                    self._log(metrics, (time.perf_counter() - began) / (done - logged))
                    began, logged = time.perf_counter(), done
                self.progress.step(done, metrics)
                self._hook("step_ended", run=self.run.folder, step=done, metrics=metrics)
                self.writer.poll()
                last = done == self.facts.steps
                evaluations = None
                if last or (self.config.evaluate_every and done % self.config.evaluate_every == 0):
                    evaluations = self._evaluate(done)
                if last or done % self.config.checkpoint_every == 0:
                    self._save(metrics, evaluations)
            self.writer.wait()
            wait_for_all()
        finally:
            self.writer.close()
            self.progress.stop()
            if self.trackers is not None:
                self.trackers.close()
        self._hook("run_ended", run=self.run.folder, step=self.state.step, metrics=metrics)

    def _step(self, batches: StepBatches) -> dict[str, float]:
        """One optimizer step: the line of metrics.jsonl it gives."""
        step = batches.step
        rows = self.plan.step_rows(step, len(self.reader))
        device = self.accelerator.device
        parts = [
            self.views.build(micro, self.learner, seed=self.config.seed, step=step, device=device)
            for micro in batches.micro_batches
        ]
        self._survey(batches)
        ids = gather_rows(torch.cat([micro.ids for micro in batches.micro_batches]).to(device), rows)
        context = Context(step, self.facts.steps, batches.epoch, self.config.seed, ids=ids, total=total)
        result = self.engine.gradients(parts, context, rows, scale=self.scale.value)
        self._drop_frozen(context)
        norm = self._gradient_norm()
        rate = set_learning_rate(
            self.optimizer, self.config.learning_rate, schedule_factor(step, self.facts.steps, self.config)
        )
        taken = math.isfinite(result.loss) and math.isfinite(norm)
        if taken:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        settle(self.normalizations, taken=taken)
        if taken:
            self._after_step(result, context)
        self._count(taken, result, norm)
        metrics = {"step": self.state.step, "loss": result.loss, "learning_rate": rate, "gradient_norm": norm}
        metrics |= result.terms | result.monitors
        if self.scale.dynamic:
            metrics["loss_scale"] = self.scale.value
        if taken and self.main and self.state.step % self.config.log_every == 0:
            metrics |= monitor_features(result.gathered)
        return metrics

    def _survey(self, batches: StepBatches) -> None:
        """Before the first step of an epoch: show the whole training set to the objectives that ask for it."""
        if batches.step % steps_per_epoch(len(self.reader), self.config.batch_size, self.config.drop_last):
            return
        due = [
            (name, objective)
            for name, objective in self.learner.named()
            if objective.survey_every and batches.epoch % objective.survey_every == 0
        ]
        if due:
            features = survey_features(self.whole_learner(), self.reader)
            context = Context(batches.step, self.facts.steps, batches.epoch, self.config.seed, total=total)
            with torch.no_grad():
                for name, objective in due:
                    objective.survey({key: features[key] for key in self.learner.on[name]}, context)
            self.learner.train()

    def _after_step(self, result: StepResult, context: Context) -> None:
        with torch.no_grad():
            for name, objective in self.learner.named():
                objective.after_step(
                    result.gathered.get(name, {}),
                    result.statistics.get(name, {}),
                    self.learner.encoders_of(name),
                    context,
                )

    def _count(self, taken: bool, result: StepResult, norm: float) -> None:
        state = self.state
        state.step += 1
        if taken:
            state.bad_steps_in_a_row = 0
            self.scale.count()
            return
        if self.scale.overflows(result.loss, norm):
            self.progress.say(
                f"step {state.step}: a gradient overflows float16; the step was skipped, gradients are now scaled by "
                f"{self.scale.value:g}"
            )
            return
        state.bad_steps += 1
        state.bad_steps_in_a_row += 1
        self.progress.say(
            f"step {state.step}: the loss or gradient is not finite ({result.loss}); the step was skipped"
        )
        if state.bad_steps_in_a_row >= self.config.max_bad_steps:
            raise UnlabeledError(
                f"training: {state.bad_steps_in_a_row} steps in a row were not finite (the last: step {state.step}); "
                "lower training.learning_rate, set training.clip_norm, or look for NaN in the data"
            )

    def _drop_frozen(self, context: Context) -> None:
        for _, objective in self.learner.named():
            prefixes = tuple(objective.frozen(context))
            if prefixes:
                for parameter_name, parameter in objective.named_parameters():
                    if parameter_name.startswith(prefixes):
                        parameter.grad = None

    def _gradient_norm(self) -> float:
        """The norm of the gradient before it is clipped."""
        parameters = [parameter for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.clip_norm, norm)
        return float(whole(norm))

    def _log(self, metrics: Mapping[str, float], seconds: float) -> None:
        self.run.append("metrics.jsonl", [metrics])
        step = int(metrics["step"])
        timing = {"step": step, "seconds_per_step": round(seconds, 6)}
        timing["samples_per_second"] = round(self.config.batch_size / seconds, 3)
        self.run.append("timings.jsonl", [timing])
        if self.trackers is not None:
            self.trackers.log(step, metrics)
        for sign in find_collapse(metrics):
            self.progress.say(f"warning: step {step}: {sign}")

    def whole_learner(self) -> Learner:
        """The learner with all its weights on every process, which must ask for it together."""
        if not is_sharded(self.learner):
            return self.learner
        learner = self.setup.learner(self.facts).to(self.accelerator.device)
        learner.load_state_dict(whole_state(self.learner))
        return learner

    def _evaluate(self, step: int) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        learner = self.whole_learner()
        if self.main:
            lines = self.evaluate(self.setup, learner, step)
            self.run.append("evaluations.jsonl", lines)
            for line in lines:
                self._hook("evaluation_ended", run=self.run.folder, step=step, evaluation=line)
        wait_for_all()
        return lines

    def _save(self, metrics: Mapping[str, float], evaluations: Sequence[Mapping[str, Any]] | None) -> None:
        """Have a checkpoint written, by the first process; evaluations: those of this step, None where none were due."""
        step, wanted = self.state.step, self.config.keep_best
        tensors, shards = cut_parts(
            {MODEL: self.learner.state_dict(), OPTIMIZER: optimizer_state(self.optimizer, self.learner)}
        )
        if shards:
            together(lambda: write_part(self.run.checkpoints, step, tensors))
        if not self.main:
            return
        scores = collect_scores(metrics, evaluations or ())
        self.state.best = choose_best(self.state.best, wanted, step, scores)
        trainer = {**asdict(self.state), "loss_scale": asdict(self.scale), **shards}
        self.writer.save(tensors, trainer, self.state.best["step"] if self.state.best else None)
        measured = step % self.config.log_every == 0 and (evaluations is not None or not self.setup.recipe.evaluators)
        if wanted is not None and self.state.best is None and (measured or step == self.facts.steps):
            check_metric(wanted, step, scores)

    def _announce(self, checkpoint: Path) -> None:
        step = checkpoint_step(checkpoint)
        self._hook("checkpoint_written", run=self.run.folder, step=step, checkpoint=checkpoint)

    def _restore(self) -> tuple[str | None, tuple[str, ...]]:
        """Go on from the newest sound checkpoint: its name, and what is wrong with newer ones."""
        found = find_newest(self.run.checkpoints)
        if found is not None:
            restore_module(self.learner, found)
            restore_optimizer(self.optimizer, self.learner, found)
            counted = dict(found.checkpoint.trainer)
            self.scale = LossScale(**counted.pop("loss_scale"))
            self.state = _State(**counted)
        wait_for_all()
        if self.main:
            clean_checkpoints(self.run.checkpoints)
            self.run.cut(self.state.step)
        return (found.path.name, found.passed_over) if found else (None, ())

    def _quarantine(self, batches: StepBatches) -> None:
        bad = self.quarantine.share(batches.bad)
        self.setup.cut_off.step = batches.step + 1
        self.state.samples += batches.cells
        self.state.bad_cells += len(bad)
        if bad:
            self.quarantine.check(self.state.bad_cells, self.state.samples, bad[-1])

    def _check_shares(self) -> None:
        """Every process needs a row in every step."""
        size = len(self.reader)
        last = min(self.facts.steps, math.ceil(self.facts.samples / self.config.batch_size)) - 1
        _, positions = step_positions(last, size, self.config.batch_size, self.config.drop_last)
        if len(positions) < process_count():
            raise UnlabeledError(
                f"training.batch_size: a batch of {len(positions)} rows cannot be shared by {process_count()} processes; "
                "make it larger, or set training.drop_last=true"
            )

    def _hook(self, name: str, **arguments: Any) -> None:
        if self.main:
            self.hooks.call(name, **arguments)
