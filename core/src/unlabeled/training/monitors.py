"""Monitors for collapse: how spread out and how many-dimensional what a loss compares is."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def feature_spread(features: Tensor) -> float:
    """Standard deviation of L2-normalised features (R, D), averaged over dimensions, times sqrt(D).

    1 where directions are spread evenly, 0 where all are the same (Chen and He, 2021, SimSiam, section 4.1).
    """
    normalised = functional.normalize(features.to(torch.float32), dim=1)
    return float(normalised.std(dim=0, unbiased=False).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor, eps: float = 1e-7) -> float:
    """Exponential of the entropy of the singular values of (R, D) (Garrido et al., 2023, RankMe, equation 1)."""
    values = torch.linalg.svdvals(features.to(torch.float32))
    shares = values / (values.sum() + eps) + eps
    return float(torch.exp(-(shares * shares.log()).sum()))


def monitor_features(gathered: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    """Spread and effective rank of every gathered (R, D) output, by `objective/output/monitor`."""
    monitors = {}
    for name, outputs in gathered.items():
        for key, value in outputs.items():
            if value.ndim == 2 and value.is_floating_point() and min(value.shape) > 1:
                monitors[f"{name}/{key}/spread"] = feature_spread(value)
                monitors[f"{name}/{key}/effective_rank"] = effective_rank(value)
    return monitors
