"""Parameter groups and the optimizer."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from unlabeled.recipes.schema import TrainingConfig

# Positions, class, mask and register tokens; biases and norms are found by their number of dimensions.
_UNDECAYED = re.compile(r"position|pos_embed|(class|cls|mask|register|distillation)_tokens?$|masked_spec_embed")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to biases, norms, scalars, positions and tokens."""
    return parameter.ndim > 1 and max(parameter.shape) < parameter.numel() and not _UNDECAYED.search(name)


def parameter_groups(
    module: nn.Module, overrides: Mapping[str, Mapping[str, Any]], weight_decay: float
) -> list[dict[str, Any]]:
    """Groups of the trainable parameters of `module`, equal settings together.

    overrides: prefix of parameter names -> {"scale", "constant", "weight_decay"}; the longest prefix wins.
    """
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        prefix = max((key for key in overrides if name.startswith(key)), key=len, default=None)
        own = overrides[prefix] if prefix is not None else {}
        decay = float(own.get("weight_decay", weight_decay)) if decays(name, parameter) else 0.0
        key = (float(own.get("scale", 1.0)), decay, bool(own.get("constant", False)))
        group = groups.setdefault(
            key, {"params": [], "names": [], "scale": key[0], "weight_decay": decay, "constant": key[2]}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def build_optimizer(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) or SGD with momentum."""
    plain = [{key: value for key, value in group.items() if key != "names"} for group in groups]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(plain, lr=config.learning_rate, betas=config.betas, eps=config.eps, fused=True)
    return torch.optim.SGD(plain, lr=config.learning_rate, momentum=config.betas[0], fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, peak: float, factor: float) -> float:
    """Set every group's learning rate for this step; returns that of an ordinary group."""
    for group in optimizer.param_groups:
        group["lr"] = peak * group["scale"] * (1.0 if group["constant"] else factor)
    return peak * factor
