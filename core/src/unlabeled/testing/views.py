"""Views to test with, made and cut."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.interfaces.batch import Layout, View
from unlabeled.interfaces.draws import Draws


def make_view(
    inputs: Mapping[str, Tensor],
    *,
    encoder: str = "encoder",
    role: str = "plain",
    index: int = 0,
    ids: Tensor | None = None,
    present: Tensor | None = None,
    masks: Mapping[str, Tensor] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> View:
    """A view of `inputs` (name -> (B, ...)); ids default to scattered numbers, `present` to True everywhere."""
    first = next(iter(inputs.values()))
    rows, device = len(first), first.device
    return View(
        inputs=dict(inputs),
        ids=torch.arange(rows, device=device) * 7919 + 11 if ids is None else ids,
        present=torch.ones(rows, dtype=torch.bool, device=device) if present is None else present,
        extra=dict(extra or {}),
        encoder=encoder,
        role=role,
        index=index,
        masks=dict(masks or {}),
    )


def make_draws(view: View, *, seed: int = 0, epoch: int = 0) -> Draws:
    """The randomness of the rows of `view`."""
    return Draws(seed, epoch, view.ids, view.encoder, view.role, view.index)


def rows_of_view(view: View, rows: slice) -> View:
    """Some rows of a view whose tensors are dense: everything with as many rows as the view is cut."""

    def cut(value: Any) -> Any:
        return value[rows] if isinstance(value, Tensor) and value.ndim and len(value) == view.rows else value

    return replace(
        view,
        inputs={name: cut(value) for name, value in view.inputs.items()},
        ids=view.ids[rows],
        present=view.present[rows],
        extra={name: cut(value) for name, value in view.extra.items()},
        masks={name: cut(value) for name, value in view.masks.items()},
        window=cut(view.window),
    )


def rows_of_layout(layout: Layout, rows: slice) -> Layout:
    """Some rows of a layout, with the same padding."""
    groups = None if layout.groups is None else layout.groups[rows]
    return Layout(layout.grid, layout.lengths[rows], layout.maskable[rows], groups)
