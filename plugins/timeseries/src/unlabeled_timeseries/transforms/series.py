"""What the transforms share: the length of each row, resampling and smooth curves.

Shapes: B rows, T steps with padding, C channels.
"""

import torch
from torch import Tensor

from unlabeled import View


def lengths(view: View) -> Tensor:
    """(B,) int64: steps of each row without the padding on the right."""
    values, observed = view.inputs["past_values"], view.inputs.get("past_observed_mask")
    if observed is None:
        return torch.full((values.shape[0],), values.shape[1], dtype=torch.int64, device=values.device)
    return observed.any(dim=2).sum(dim=1)


def inside(values: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, 1) bool: True where `values` (B, T, C) are not padding."""
    places = torch.arange(values.shape[1], device=values.device)
    return (places < lengths.unsqueeze(1)).unsqueeze(2)


def resample(values: Tensor, positions: Tensor) -> Tensor:
    """(B, P, C): `values` (B, T, C) at `positions` (B, P) in steps, on the line between the two nearest steps."""
    last = values.shape[1] - 1
    positions = positions.clamp(0, last)
    lower = positions.floor().to(torch.int64)
    weight = (positions - lower).unsqueeze(2).to(values.dtype)
    return torch.lerp(_at(values, lower), _at(values, (lower + 1).clamp(max=last)), weight)


def smooth_curve(knots: Tensor, size: int, lengths: Tensor) -> Tensor:
    """(B, size, C): the natural cubic spline through `knots` (B, K, C), which lie evenly over the first `lengths` steps.

    Beyond a row's own length the curve stays at its last value.
    """
    intervals = knots.shape[1] - 1
    steps = torch.arange(size, device=knots.device, dtype=knots.dtype)
    last = (lengths - 1).clamp(min=1).to(knots.dtype).unsqueeze(1)
    places = (steps * (intervals / last)).clamp(max=intervals)
    left = places.floor().clamp(max=intervals - 1)
    ahead = (places - left).unsqueeze(2)
    behind, left = 1 - ahead, left.to(torch.int64)
    bends = torch.einsum("jk,bkc->bjc", _bends(knots.shape[1]).to(knots), knots)
    line = behind * _at(knots, left) + ahead * _at(knots, left + 1)
    return line + ((behind**3 - behind) * _at(bends, left) + (ahead**3 - ahead) * _at(bends, left + 1)) / 6


def _bends(count: int) -> Tensor:
    """(K, K) float64: the map from K evenly spaced values to the second derivatives of their natural cubic spline.

    These solve m[i-1] + 4 m[i] + m[i+1] = 6 (y[i-1] - 2 y[i] + y[i+1]) with none at both ends.
    """
    result = torch.zeros(count, count, dtype=torch.float64)
    if count > 2:
        eye = torch.eye(count, dtype=torch.float64)
        neighbours = torch.eye(count - 3, dtype=torch.float64)
        system = 4 * eye[1:-1, 1:-1]
        system[:-1, 1:] += neighbours
        system[1:, :-1] += neighbours
        result[1:-1] = torch.linalg.solve(system, 6 * (eye[:-2] - 2 * eye[1:-1] + eye[2:]))
    return result


def _at(values: Tensor, places: Tensor) -> Tensor:
    """(B, P, C): `values` (B, T, C) at the steps `places` (B, P) int64."""
    return values.gather(1, places.unsqueeze(2).expand(-1, -1, values.shape[2]))
