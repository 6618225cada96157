"""How the kit states and compares."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from unlabeled.interfaces.batch import Batch

Rows = TypeVar("Rows", bound=Batch)


def promise(kept: bool, owner: object, text: str) -> None:
    """AssertionError 'Name: text' unless the promise is kept."""
    if not kept:
        raise AssertionError(f"{type(owner).__name__}: {text}")


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Independent copies, to see later whether the originals were changed."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def unchanged(tensors: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> bool:
    """Whether the tensors still hold, bit for bit, what `copies` saw; NaN equals NaN."""
    return all(name in tensors and same(tensors[name], value) for name, value in before.items())


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


def finite(value: Tensor) -> bool:
    """Whether every number is finite."""
    return bool(torch.isfinite(value).all())


def equal_but_padding(batched: Tensor, alone: Tensor, tolerance: float) -> bool:
    """Whether two results of one sample agree; what one has beyond the other must be one value (zeros, or a padding id)."""
    if batched.ndim != alone.ndim:
        return False
    common = tuple(slice(min(sizes)) for sizes in zip(batched.shape, alone.shape, strict=True))
    for value in (batched, alone):
        beyond = torch.ones(value.shape, dtype=torch.bool, device=value.device)
        beyond[common] = False
        if value[beyond].unique().numel() > 1:
            return False
    return close(batched[common], alone[common], tolerance)


def tensors_of(batch: Batch) -> dict[str, Tensor]:
    """Every tensor of a batch by a name of its own."""
    extra = {f"extra {name}": value for name, value in batch.extra.items() if isinstance(value, Tensor)}
    return {**batch.inputs, **extra, "ids": batch.ids, "present": batch.present}


def in_dtype(batch: Rows, dtype: torch.dtype) -> Rows:
    """The batch with its inputs of floating point in `dtype`."""
    wide = {name: value.to(dtype) for name, value in batch.inputs.items() if value.is_floating_point()}
    return replace(batch, inputs={**batch.inputs, **wide})
