"""The learning rate as a pure function of the step; nothing to save, nothing that counts processes."""

import math

from unlabeled.recipes.schema import TrainingConfig


def schedule_factor(step: int, steps: int, config: TrainingConfig) -> float:
    """Factor of the peak learning rate at `step` of `steps`: linear warm-up, then cosine, linear or constant."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    if config.schedule == "cosine":
        decay = 0.5 * (1.0 + math.cos(math.pi * progress))
    else:
        decay = 1.0 - progress
    return config.final_learning_rate + (1.0 - config.final_learning_rate) * decay
