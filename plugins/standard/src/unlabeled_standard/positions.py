"""Fixed positions."""

import torch
from torch import Tensor


def sincos_positions(grid: tuple[int, ...], width: int, device: torch.device | None = None) -> Tensor:
    """(N, width) float32 sine-cosine positions of a grid of any dimension, N the product of `grid`, last axis fastest.

    Each axis has an equal, even share of the width: sines, then cosines of place * 10000^(-2k / share) (Vaswani et al.,
    2017, section 3.5; for two axes He et al., 2022, MAE). What of the width cannot be shared is zero.

    Raises ValueError where the width is less than two for each axis.
    """
    share = width // (2 * len(grid)) * 2
    if share == 0:
        raise ValueError(f"width {width} is too small for positions on {len(grid)} axes; use at least {2 * len(grid)}")
    frequencies = 10000.0 ** -(torch.arange(share // 2, dtype=torch.float64, device=device) / (share // 2))
    axes = [torch.arange(size, dtype=torch.float64, device=device) for size in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    angles = places.unsqueeze(2) * frequencies
    parts = torch.cat([angles.sin(), angles.cos()], dim=2)
    positions = parts.movedim(0, 1).flatten(1).to(torch.float32)
    return torch.nn.functional.pad(positions, (0, width - positions.shape[1]))
