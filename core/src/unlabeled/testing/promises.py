"""How the kit states and compares."""

from collections.abc import Mapping

import torch
from torch import Tensor


def promise(kept: bool, owner: object, text: str) -> None:
    """AssertionError 'Name: text' unless the promise is kept."""
    if not kept:
        raise AssertionError(f"{type(owner).__name__}: {text}")


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Independent copies, to see later whether the originals were changed."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def unchanged(tensors: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> bool:
    """Whether the tensors still hold, bit for bit, what `copies` saw; NaN equals NaN."""
    return all(same(tensors[name], value) for name, value in before.items())


def same(left: Tensor, right: Tensor) -> bool:
    """Equal shape, type, device and values; NaN equals NaN."""
    if left.shape != right.shape or left.dtype != right.dtype or left.device != right.device:
        return False
    return bool(((left == right) | ((left != left) & (right != right))).all())


def close(left: Tensor, right: Tensor, tolerance: float) -> bool:
    """Equal shape, and values within `tolerance`, absolute below one and relative above."""
    if left.shape != right.shape:
        return False
    return torch.allclose(left.detach().double(), right.detach().double(), rtol=tolerance, atol=tolerance)


def difference(left: Tensor, right: Tensor) -> str:
    """What to say of two tensors that should be equal."""
    if left.shape != right.shape:
        return f"shapes {tuple(left.shape)} and {tuple(right.shape)}"
    return f"maximum difference {float((left.detach().double() - right.detach().double()).abs().max()):.3g}"
