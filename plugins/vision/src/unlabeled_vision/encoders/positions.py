"""Fixed positions on a grid."""

import torch
from torch import Tensor


def sine_cosine(grid: tuple[int, int], width: int, *, prefix: int = 0) -> Tensor:
    """(1, prefix + rows * columns, width): sines and cosines of the column in the first half, of the row in the second.

    Wavelengths grow geometrically from 2 pi to 10,000 times that (Vaswani et al., 2017, section 3.5), on two axes as in
    masked autoencoders (He et al., 2022, appendix A.1). Prefix tokens have zeros.
    """
    rates = 10_000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    down, across = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in grid), indexing="ij")
    parts = []
    for places in (across, down):
        angles = places.flatten().unsqueeze(1) * rates
        parts += [angles.sin(), angles.cos()]
    table = torch.cat(parts, dim=1).to(torch.float32)
    return torch.cat([torch.zeros(prefix, width), table])[None]
