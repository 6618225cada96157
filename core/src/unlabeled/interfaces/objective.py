"""Objective: what is learnt from data without labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from unlabeled.interfaces.batch import Encoded, View
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.modality import ComponentSpec, Config
from unlabeled.interfaces.module import Module


@dataclass(frozen=True)
class ViewSpec:
    """Views an objective asks for, of each encoder it works on.

    role: the augmentation pipeline: `plain` (none), `weak`, `strong`, `global`, `local`, or a name the recipe defines.
    count: how many views of this role, which differ in what they draw.
    masks: name -> masking, e.g. {"mask": {"id": "standard/random-masking", "ratio": 0.75}}; a recipe may replace each.
    """

    role: str = "plain"
    count: int = 1
    masks: Mapping[str, ComponentSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known of the run when an objective is built.

    samples: rows of the training split.
    batch_size: rows of all processes and micro-batches of one optimizer step.
    steps, epochs: how long the run is.
    """

    samples: int
    batch_size: int
    steps: int
    epochs: float


@dataclass(frozen=True)
class Loss:
    """What `loss` returns: sums over the process's own rows.

    sums: term -> scalar, summed over own rows; the trainer divides it by the term's global count.
    statistics: detached; summed over micro-batches and processes, then handed to `after_step`.
    monitors: name -> scalar for the log, averaged over processes by rows. By these names the trainer sees a collapse:
        `TERM.chance_loss`, the mean of the contrastive term TERM where nothing can be told apart (ln of the number of
        candidates); `codebook_perplexity...`; `teacher_entropy`, the mean entropy of a teacher's distribution, beside
        `teacher_classes`, over how many.
    """

    sums: dict[str, Tensor]
    statistics: dict[str, Tensor] = field(default_factory=dict)
    monitors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What an objective may know of the step it is in.

    step, steps, epoch, seed: where the run is, and its seed.
    rows: where this process's own rows lie in the gathered ones (`loss`).
    ids: (rows of all,) int64 sample ids, in the order of the gathered rows (`loss`, `after_step`).
    total: the sum of a tensor over all processes, without gradient; `head`, `after_step`, and `loss` where `coupled`,
        may call it.
    encoders: name -> encoder, as `represent` is given them.
    training: False where evaluation measures losses.
    cache: what `encoded` has computed.
    """

    step: int
    steps: int
    epoch: int
    seed: int
    rows: slice = field(default_factory=lambda: slice(None))
    ids: Tensor | None = None
    total: Callable[[Tensor], Tensor] = lambda value: value
    encoders: Mapping[str, Encoder] = field(default_factory=dict)
    training: bool = True
    cache: dict[tuple[str, str, int], Encoded] = field(default_factory=dict)

    def draws(self, view: View) -> Draws:
        """The randomness of a view's rows: the same in every pass over it."""
        return Draws(self.seed, self.epoch, view.ids, view.encoder, view.role, view.index, self.step)

    def encoded(self, view: View) -> Encoded:
        """The plain forward of a view, computed once a step for all objectives of a recipe."""
        if view.key not in self.cache:
            self.cache[view.key] = self.encoders[view.encoder](view)
        return self.cache[view.key]

    def pooled(self, view: View) -> Tensor:
        """(B, D) the pooled plain forward of a view."""
        return self.encoders[view.encoder].pool(self.encoded(view))


class Objective(Module, ABC):
    """A self-supervised method. The least one needs: `views`, `represent` and `loss`; SimCLR is thirty lines.

    No objective communicates: `represent` sees one micro-batch, `loss` sees own rows and, of the outputs named in
    `gathers`, the rows of all processes. Losses are sums with counts, so that the number of processes and micro-batches
    changes nothing. All state is in parameters and buffers; `represent`, `head` and `loss` change none of it.

    views: what it asks for of each encoder it works on.
    requires: capabilities that every encoder it works on must provide.
    gathers: outputs that `loss` sees from all processes, with gradient.
    constants: outputs that are not per sample (a temperature (1,), prototypes); not gathered, handed to `loss` as they
        are.
    weights: term -> weight in the sum; 1 where absent.
    survey_every: epochs between calls of `survey`; None: never.
    """

    Config: ClassVar[type[BaseModel]] = Config
    views: tuple[ViewSpec, ...] = (ViewSpec(),)
    requires: frozenset[str] = frozenset()
    gathers: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    weights: Mapping[str, float] = {}
    survey_every: int | None = None

    def __init__(self, config: BaseModel, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        """Build heads and buffers. A teacher is a deep copy of an encoder; `encoders` themselves are not kept."""
        super().__init__()
        self.config = config

    @classmethod
    def view_specs(cls, config: BaseModel) -> tuple[ViewSpec, ...]:
        """The views this objective asks for; override where their number depends on the config. Default: `views`."""
        return cls.views

    @abstractmethod
    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """Outputs of one micro-batch: name -> (B, ...), rows are samples, float. `views` are ordered by encoder, spec, index.

        What concerns one sample alone is finished here: return per-sample sums (B,), not tokens.
        """

    @abstractmethod
    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        """Sums of each term over own rows.

        own: every output of this process (R, ...) in float32, and the constants; all: the outputs in `gathers`, rows of all
        processes in order, own rows at `context.rows`. Reads buffers, uses no parameters (return those from `represent`
        as constants). A loss of the whole batch returns its value times its own rows.
        """

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """Term -> scalar: how many items of this micro-batch the term scores, known from the views alone. Default: rows."""
        return {}

    def head(self, outputs: dict[str, Tensor], context: Context) -> dict[str, Tensor]:
        """Once a step on the process's whole batch, after `represent`: what normalises over the batch (`unlabeled.BatchNorm`)."""
        return outputs

    def after_step(
        self,
        all: Mapping[str, Tensor],
        statistics: Mapping[str, Tensor],
        encoders: Mapping[str, Encoder],
        context: Context,
    ) -> None:
        """Change teachers, queues, centres; only after an optimizer step that was taken. Everything is detached."""

    def frozen(self, context: Context) -> Sequence[str]:
        """Prefixes of own parameters whose gradient is dropped in this step."""
        return ()

    def parameter_groups(self) -> dict[str, dict[str, float | bool]]:
        """Prefix of own parameters -> {"scale": factor of the learning rate, "constant": no schedule, "weight_decay": value}."""
        return {}

    def survey(self, features: Mapping[str, Tensor], context: Context) -> None:
        """Before every `survey_every`-th epoch, the first included: pooled features of the whole training set, encoder ->
        (samples, D), row i being position i of the split. May change buffers.
        """

    def embed(self, encoder: str, pooled: Tensor) -> Tensor:
        """(B, E): pooled features (B, D) in the space to compare in (CLIP's projections). Default: as they are."""
        return pooled

    def exports(self, encoders: Mapping[str, Encoder]) -> Mapping[str, Encoder]:
        """Which encoders leave (a teacher instead of the student). Default: the trained ones."""
        return encoders

    def export(self, folder: Path, encoders: Mapping[str, Encoder]) -> Sequence[str]:
        """Write what this objective adds to an export (a joint model of several encoders); names of what was written."""
        return ()

    @property
    def coupled(self) -> bool:
        """True where the loss needs the whole batch, so that micro-batches are represented twice.

        An objective with neither `gathers` nor a `head` whose loss calls `context.total` says `coupled = True` itself.
        """
        return bool(self.gathers) or type(self).head is not Objective.head


def own_rows(values: Tensor, context: Context) -> Tensor:
    """The process's own rows of gathered `values`."""
    return values[context.rows]


def present_rows(views: Sequence[View]) -> Tensor:
    """(B,) bool: rows whose cell is there in every one of `views`."""
    return torch.stack([view.present for view in views]).all(dim=0)
