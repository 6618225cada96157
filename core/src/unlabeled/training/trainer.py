"""The trainer: one loop for every objective, on accelerate."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from unlabeled.data.loader import Plan, StepBatches, load_steps
from unlabeled.data.order import step_positions, steps_per_epoch
from unlabeled.data.quarantine import Quarantine
from unlabeled.errors import Stopped, UnlabeledError
from unlabeled.interfaces.objective import Context
from unlabeled.training.checkpoints.checkpoint import checkpoint_step
from unlabeled.training.checkpoints.continuation import Continuation
from unlabeled.training.embedding import survey_features
from unlabeled.training.layers import checkpoint_layers, compile_layers
from unlabeled.training.learner import Learner
from unlabeled.training.monitors import monitor_features
from unlabeled.training.normalization import BatchNorm, check_normalization, settle
from unlabeled.training.optimizers import build_optimizer, parameter_groups, set_learning_rate
from unlabeled.training.precision import autocast
from unlabeled.training.processes.agreement import agree
from unlabeled.training.processes.distributed import (
    any_process,
    gather_lines,
    gather_rows,
    process_count,
    process_index,
    total,
    wait_for_all,
)
from unlabeled.training.processes.sharding import is_sharded, no_sync, shard_learner, sharding_plan, whole, whole_state
from unlabeled.training.progress import TrainingProgress
from unlabeled.training.record import Record
from unlabeled.training.safety.guards import Guards, not_finite, taken
from unlabeled.training.safety.memory import OutOfMemory, attempt, explain, halve, read_note, write_note
from unlabeled.training.safety.stopping import StopRequest
from unlabeled.training.schedule import schedule_factor
from unlabeled.training.setup import Setup
from unlabeled.training.step import StepEngine, StepResult
from unlabeled.training.trackers import Trackers
from unlabeled.training.views import ViewBuilder
from unlabeled_registry.hooks import Hooks

Evaluate = Callable[[Setup, Learner, int], list[dict[str, Any]]]
"""(setup, learner, step) -> the lines for evaluations.jsonl; the trainer itself knows no evaluator."""


class Trainer:
    """Trains a prepared run from its newest checkpoint to its last step."""

    def __init__(
        self, setup: Setup, run: Record, accelerator: Accelerator, evaluate: Evaluate, *, quiet: bool = False
    ) -> None:
        self.setup, self.run, self.accelerator, self.evaluate = setup, run, accelerator, evaluate
        self.config = setup.recipe.recipe.training
        self.main = accelerator.is_main_process
        self.stop = StopRequest(self.config.max_time, quiet=quiet or not self.main)
        self.reader = setup.reader(setup.data.splits["train"])
        self.facts = setup.facts(len(self.reader))
        self._check_shares()
        self.learner = setup.learner(self.facts).to(accelerator.device)
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
        self.continuation = Continuation(
            self.learner, self.optimizer, run, self.config, self._announce, bool(setup.recipe.evaluators)
        )
        self.writer = self.continuation.writer
        self.state, self.restored_from, self.passed_over = self.continuation.restore(writes=self.main)
        agree({"the checkpoints": {"the newest": self.restored_from or "none"}})
        needed = max(self.config.micro_batches, self.state.micro_batches, read_note(run.folder))
        self.state.micro_batches = needed
        check_normalization(self.learner, needed)
        self.plan = Plan(
            self.config.seed,
            self.facts.steps,
            self.config.batch_size,
            self.config.drop_last,
            needed,
            process_index(),
            process_count(),
        )
        self._surveyed: int | None = None
        self.model = self.learner if sharding is not None else accelerator.prepare_model(self.learner)
        # Found once: walking all modules at every step costs as much as a small model's layers.
        self.parameters = list(self.learner.parameters())
        self.normalizations = [each for each in self.learner.modules() if isinstance(each, BatchNorm)]
        self.engine = StepEngine(
            self.model,
            self.learner,
            {entry.name: entry.weight for entry in setup.recipe.objectives},
            lambda: no_sync(self.model, accelerator),
            lambda: autocast(self.config.precision, accelerator.device),
            lambda: self.stop.reason is not None,
        )
        self.progress = TrainingProgress(
            self.facts.steps, self.state.step, self.config.batch_size, quiet=quiet or not self.main
        )
        self.guards = Guards(self.config, self.facts.steps, run, self.progress.say, self.main)
        self.hooks = Hooks(self.progress.say)
        for name, package in setup.registry.packages().items():
            self.hooks.register(name, package)
        self.trackers = Trackers(run.folder) if self.main else None
        append = run.append if self.main else None
        self.quarantine = Quarantine(run.folder, setup.data.config.max_bad, setup.cut_off, gather_lines, append)

    def fit(self) -> None:
        """Train to the last step. Steps that are not finite change nothing. `Stopped` where it was asked to stop early."""
        for problem in self.passed_over:
            self.progress.say(f"{problem}; passed over")
        if self.restored_from is not None:
            self.progress.say(f"continuing {self.run.folder} after step {self.state.step}")
        self.guards.say_late_skips(self.state.step)
        self._hook("run_started", run=self.run.folder, recipe=self.setup.recipe.dump(), step=self.state.step)
        try:
            with self.stop:
                metrics = self._fit()
        except RuntimeError as error:
            raise explain(error, process_count() > 1 and read_note(self.run.folder) > self.plan.micro_batches) from None
        finally:
            self.writer.close()
            self.progress.stop()
            if self.trackers is not None:
                self.trackers.close()
        self._hook("run_ended", run=self.run.folder, step=self.state.step, metrics=metrics)

    def _fit(self) -> dict[str, float]:
        """All steps that are left; the metrics of the last."""
        self._make_up_evaluation()
        self.learner.train()
        metrics: dict[str, float] = {}
        began, logged = time.perf_counter(), self.state.step
        for batches in self._batches():
            found = self._step(batches)
            if found is None:
                continue  # the same step comes again, in smaller micro-batches
            metrics, stop = found
            self._quarantine(batches)
            done = self.state.step
            if self.main and self._logged(done):
                self._log(metrics, (time.perf_counter() - began) / (done - logged))
                began, logged = time.perf_counter(), done
            self._stop_on_collapse(done)
            self.progress.step(done, metrics)
            self._hook("step_ended", run=self.run.folder, step=done, metrics=metrics)
            self.writer.poll()
            evaluations = self._evaluate(done) if self._evaluation_due(done) and not stop else None
            if stop or done == self.facts.steps or done % self.config.checkpoint_every == 0:
                self._save(metrics, evaluations)
            if stop:
                self._end_early()
        self.writer.wait()
        wait_for_all()
        return metrics

    def _batches(self) -> Iterator[StepBatches]:
        """The steps to do; read anew from the step in which memory ran out, in the smaller micro-batches of a new plan."""
        while self.state.step < self.facts.steps:
            plan, workers = self.plan, self.setup.data.config.workers
            for batches in load_steps(self.reader, self.views.all_keys(), plan, self.state.step, workers):
                yield batches
                if self.plan is not plan:
                    break

    def _step(self, batches: StepBatches) -> tuple[dict[str, float], bool] | None:
        """One optimizer step: the line of metrics.jsonl it gives, and whether to stop; None where memory ran out."""
        step, state = batches.step, self.state
        self._survey(batches)
        if self.guards.skips(step + 1):
            state.step += 1
            stop = any_process(self.stop.reason is not None, self.accelerator.device)
            return {"step": state.step, "skipped": True}, stop
        computed = attempt(lambda: self._gradients(batches))
        if isinstance(computed, OutOfMemory):
            self._smaller_micro_batches(batches, computed)
            return None
        result, context = computed
        self._drop_frozen(context)
        norm = self._gradient_norm()
        rate = set_learning_rate(
            self.optimizer, self.config.learning_rate, schedule_factor(step, self.facts.steps, self.config)
        )
        sound = taken(result.loss, norm)
        state.step += 1
        if sound:
            self.optimizer.step()
        names = [] if sound else not_finite(self.learner)
        self.optimizer.zero_grad(set_to_none=True)
        settle(self.normalizations, taken=sound)
        if sound:
            self._after_step(result, context)
            state.loss_scale.count()
            self.guards.taken(state, result, norm, context.ids)
        elif state.loss_scale.overflows(result.loss, norm):
            self.progress.say(
                f"step {state.step}: a gradient overflows float16; the step was skipped, gradients are now scaled by "
                f"{state.loss_scale.value:g}"
            )
        else:
            self.guards.not_taken(state, result, norm, context.ids, names)
        metrics = {"step": state.step, "loss": result.loss, "learning_rate": rate, "gradient_norm": norm}
        metrics |= result.terms | result.monitors
        if state.loss_scale.dynamic:
            metrics["loss_scale"] = state.loss_scale.value
        if sound and self.main and state.step % self.config.log_every == 0:
            metrics |= monitor_features(result.gathered)
        return metrics, result.stop

    def _gradients(self, batches: StepBatches) -> tuple[StepResult, Context]:
        device = self.accelerator.device
        rows = self.plan.step_rows(batches.step, len(self.reader))
        parts = [
            self.views.build(micro, self.learner, seed=self.config.seed, step=batches.step, device=device)
            for micro in batches.micro_batches
        ]
        ids = gather_rows(torch.cat([micro.ids for micro in batches.micro_batches]).to(device), rows)
        context = Context(batches.step, self.facts.steps, batches.epoch, self.config.seed, ids=ids, total=total)
        return self.engine.gradients(parts, context, rows, scale=self.state.loss_scale.value), context

    def _smaller_micro_batches(self, batches: StepBatches, failure: OutOfMemory) -> None:
        """Forget the attempt and halve the micro-batches: of this start, or, among several processes, of the next."""
        self.optimizer.zero_grad(set_to_none=True)
        settle(self.normalizations, taken=False)
        sizes = [micro.rows for micro in batches.micro_batches]
        more, message = halve(self.plan.micro_batches, sizes, batches.step + 1, failure)
        try:
            check_normalization(self.learner, more)
        except UnlabeledError as error:
            raise UnlabeledError(
                f"step {batches.step + 1}: out of memory ({failure.reason})", *error.problems
            ) from None
        if process_count() > 1:
            write_note(self.run.folder, more, process_index())
            message += "; stopped, as the other processes wait within the step: the same command continues"
            self.progress.say(message, everywhere=True)
            raise Stopped(message)
        self.progress.say(message)
        self.state.micro_batches = more
        self.plan = replace(self.plan, micro_batches=more)

    def _survey(self, batches: StepBatches) -> None:
        """Before the first step of an epoch: show the whole training set to the objectives that ask for it."""
        if batches.step == self._surveyed or batches.step % steps_per_epoch(
            len(self.reader), self.config.batch_size, self.config.drop_last
        ):
            return
        self._surveyed = batches.step
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

    def _drop_frozen(self, context: Context) -> None:
        for _, objective in self.learner.named():
            prefixes = tuple(objective.frozen(context))
            if prefixes:
                for parameter_name, parameter in objective.named_parameters():
                    if parameter_name.startswith(prefixes):
                        parameter.grad = None

    def _gradient_norm(self) -> float:
        """The norm before clipping. What is not finite stays where it is, so that it can be named."""
        parameters = [parameter for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        value = float(whole(norm))
        if self.config.clip_norm is not None and math.isfinite(value):
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.clip_norm, norm)
        return value

    def _log(self, metrics: Mapping[str, float], seconds: float) -> None:
        self.run.append("metrics.jsonl", [metrics])
        step = int(metrics["step"])
        timing = {"step": step, "seconds_per_step": round(seconds, 6)}
        timing["samples_per_second"] = round(self.config.batch_size / seconds, 3)
        self.run.append("timings.jsonl", [timing])
        if self.trackers is not None:
            self.trackers.log(step, metrics)
        self.guards.logged(self.state, metrics)

    def _stop_on_collapse(self, step: int) -> None:
        """Only the first process watches, so all ask it; once a logged step, where the recipe wants it."""
        if self.config.stop_on_collapse and self._logged(step):
            sign = self.guards.collapsed(self.state)
            if any_process(sign is not None, self.accelerator.device):
                raise self.guards.collapse_error(step, sign)

    def _logged(self, step: int) -> bool:
        return step % self.config.log_every == 0 or step == self.facts.steps

    def _evaluation_due(self, step: int) -> bool:
        every = self.config.evaluate_every
        return step == self.facts.steps or bool(every and step and step % every == 0)

    def _make_up_evaluation(self) -> None:
        """Evaluate now where an early stop left no time for it."""
        step = self.state.step
        if self._evaluation_due(step):
            done = self.main and any(line["step"] == step for line in self.run.read("evaluations.jsonl"))
            if not any_process(done, self.accelerator.device):
                self._evaluate(step)

    def _end_early(self) -> None:
        step, reason = self.state.step, self.stop.reason or "another process was asked to"
        self.writer.wait()
        message = f"stopped after step {step} ({reason}); the same command continues"
        self.progress.say(message)
        wait_for_all()  # torchrun ends all processes when the first has gone: not before this line is out
        raise Stopped(message)

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

    def _save(self, metrics: Mapping[str, float], evaluations: list[dict[str, Any]] | None) -> None:
        self.continuation.save(
            self.state, metrics, evaluations, writes=self.main, last=self.state.step == self.facts.steps
        )

    def _announce(self, checkpoint: Path) -> None:
        step = checkpoint_step(checkpoint)
        self._hook("checkpoint_written", run=self.run.folder, step=step, checkpoint=checkpoint)

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
