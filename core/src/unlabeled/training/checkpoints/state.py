"""What a run counts besides weights: trainer.json of a checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from unlabeled.recipes.schema import TrainingConfig
from unlabeled.training.precision import LossScale
from unlabeled.training.safety.spikes import LossStatistics


@dataclass
class TrainerState:
    """Everything that continuing needs besides weights, buffers and the optimizer's state."""

    step: int = 0
    bad_steps: int = 0
    bad_steps_in_a_row: int = 0
    bad_cells: int = 0
    samples: int = 0
    micro_batches: int = 1
    """Parts that a process cuts its rows into; more than the recipe asks for where memory ran out."""
    losses: LossStatistics = field(default_factory=LossStatistics)
    collapse: dict[str, int] = field(default_factory=dict)
    """Sign of collapse -> logged steps in a row that showed it."""

    best: dict[str, Any] | None = None
    """The best checkpoint so far: its metric, mode, step and value."""
    loss_scale: LossScale = field(default_factory=LossScale)

    @classmethod
    def begin(cls, config: TrainingConfig) -> "TrainerState":
        """That of a run before its first step."""
        return cls(loss_scale=LossScale.of(config.precision))

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> "TrainerState":
        """What `dump` gave."""
        nested = {"losses": LossStatistics(**data["losses"]), "loss_scale": LossScale(**data["loss_scale"])}
        return cls(**{**data, **nested})
