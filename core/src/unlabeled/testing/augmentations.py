"""Promises of transforms and maskings: each is one small function in `PROMISES`, by its id."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from unlabeled.interfaces.augmentation import Masking, Transform
from unlabeled.interfaces.batch import Layout, View
from unlabeled.interfaces.draws import Draws
from unlabeled.testing.promises import copies, equal_but_padding, finite, in_dtype, promise, same, tensors_of, unchanged
from unlabeled.testing.views import make_draws, make_view, rows_of_layout, rows_of_view


@dataclass(frozen=True)
class TransformCase:
    """A transform, and a view to try it with."""

    augmentation: Transform
    view: View
    rows: Callable[[slice], View]
    """Some rows of the view, as they are when nothing else is in theirs."""
    seed: int = 0
    tolerance: float = 1e-6

    @property
    def dense(self) -> bool:
        """Whether every input has one row a sample; the nodes of graphs have not."""
        return all(len(value) == self.view.rows for value in self.view.inputs.values())

    def draws(self, view: View | None = None) -> Draws:
        return make_draws(view or self.view, seed=self.seed)

    def result(self) -> View:
        return self.augmentation(self.view, self.draws())


@dataclass(frozen=True)
class MaskingCase:
    """A masking, and a layout to try it with; `ids` are those of its rows."""

    augmentation: Masking
    layout: Layout
    ids: Tensor
    seed: int = 0

    def draws(self, rows: slice = slice(None)) -> Draws:
        return Draws(self.seed, 0, self.ids[rows])

    def result(self) -> Tensor:
        return self.augmentation(self.layout, self.draws())


Case = TransformCase | MaskingCase
Check = Callable[[Case], None]


def check_transform(transform: Transform, view: View, *, seed: int = 0, tolerance: float = 1e-6) -> None:
    """A transform is a pure function of (seed, sample): repeatable, row by row, with nothing changed in place."""
    case = TransformCase(transform, view, lambda rows: rows_of_view(view, rows), seed, tolerance)
    for name in ("in-place", "valid", "deterministic", "dtype", "rows"):
        PROMISES[name](case)


def check_masking(masking: Masking, layout: Layout, *, seed: int = 0) -> None:
    """A masking chooses maskable tokens only, by (seed, sample), each row by its own length."""
    ids = layout.lengths.new_tensor(range(len(layout.lengths))) * 7919 + 11
    case = MaskingCase(masking, layout, ids, seed)
    for name in ("in-place", "valid", "deterministic", "rows", "padding"):
        PROMISES[name](case)


def _in_place(case: Case) -> None:
    if isinstance(case, MaskingCase):
        before = copies({"lengths": case.layout.lengths, "maskable": case.layout.maskable})
        case.result()
        promise(unchanged(vars(case.layout), before), case.augmentation, "changes the layout in place")
        return
    before = copies(tensors_of(case.view))
    case.result()
    promise(unchanged(tensors_of(case.view), before), case.augmentation, "changes its input in place")


def _valid(case: Case) -> None:
    if isinstance(case, MaskingCase):
        _valid_mask(case)
        return
    view, result = case.view, case.result()
    kept = same(result.ids, view.ids) and same(result.present, view.present)
    promise(kept, case.augmentation, "changes ids or present")
    lost = [name for name in view.inputs if name not in result.inputs]
    promise(not lost, case.augmentation, f"loses the input {(lost or [''])[0]}")
    for name, value in result.inputs.items():
        kept = not case.dense or len(value) == view.rows
        promise(kept, case.augmentation, f"gives {len(value)} rows of {name}, not {view.rows}")
        kept = not value.is_floating_point() or finite(value)
        promise(kept, case.augmentation, f"gives {name} that is not finite")


def _valid_mask(case: MaskingCase) -> None:
    layout, mask = case.layout, case.result()
    promise(mask.shape == layout.maskable.shape, case.augmentation, f"returns shape {tuple(mask.shape)} and not (B, N)")
    promise(mask.dtype == layout.maskable.dtype, case.augmentation, f"returns {mask.dtype} and not bool")
    promise(mask.device == layout.maskable.device, case.augmentation, "returns a mask on another device")
    promise(not bool((mask & ~layout.maskable).any()), case.augmentation, "chooses tokens that are not maskable")


def _deterministic(case: Case) -> None:
    if isinstance(case, MaskingCase):
        promise(same(case.result(), case.result()), case.augmentation, "gives another mask for the same draws")
        return
    again = case.result().inputs
    for name, value in case.result().inputs.items():
        promise(same(value, again[name]), case.augmentation, f"gives another {name} for the same draws")


def _seed(case: Case) -> None:
    """Rows that differ in their ids alone: what makes them differ must be the seed's too."""
    if isinstance(case, TransformCase) and not case.dense:
        return  # no sample can be repeated without knowing how its batch is made
    twins = _twins(case)
    first, other = (_results(replace(twins, seed=seed)) for seed in (case.seed, case.seed + 1))
    by_id = any(not same(value[row], value[0]) for value in first.values() for row in range(1, len(value)))
    by_seed = any(not same(value, other[name]) for name, value in first.items())
    promise(by_seed or not by_id, case.augmentation, "draws the same for every seed; take all randomness from `draws`")


def _results(case: Case) -> Mapping[str, Tensor]:
    if isinstance(case, MaskingCase):
        return {"mask": case.result()}
    return {name: value for name, value in case.result().inputs.items() if len(value) == case.view.rows}


def _twins(case: Case) -> Case:
    """The first row as often as there are rows, under the ids of all."""
    if isinstance(case, MaskingCase):
        layout, row = case.layout, slice(0, 1)
        count = len(layout.lengths)
        groups = None if layout.groups is None else layout.groups[row].expand(count, -1)
        lengths, maskable = layout.lengths[row].expand(count), layout.maskable[row].expand(count, -1)
        return replace(case, layout=Layout(layout.grid, lengths.clone(), maskable.clone(), groups))
    first = case.rows(slice(0, 1))

    def repeated(value: Tensor) -> Tensor:
        return torch.cat([value] * case.view.rows)

    inputs = {name: repeated(value) for name, value in first.inputs.items()}
    extra = {name: repeated(value) for name, value in first.extra.items() if isinstance(value, Tensor)}
    view = make_view(inputs, encoder=case.view.encoder, role=case.view.role, ids=case.view.ids, extra=extra)
    return replace(case, view=view)


def _rows(case: Case) -> None:
    if isinstance(case, MaskingCase):
        _rows_of_mask(case)
        return
    result = case.result()
    for row in range(case.view.rows):
        single = case.rows(slice(row, row + 1))
        alone = case.augmentation(single, case.draws(single))
        for name, value in result.inputs.items():
            # What is no dense tensor is the encoder's to prove; a mask of padding is not there where nothing is padded.
            if len(value) != case.view.rows or name not in alone.inputs:
                continue
            text = f"{name} of a sample depends on the other samples of its batch (row {row})"
            kept = equal_but_padding(value[row], alone.inputs[name][0], case.tolerance)
            promise(kept, case.augmentation, text)


def _rows_of_mask(case: MaskingCase) -> None:
    mask = case.result()
    for row in range(len(mask)):
        part = slice(row, row + 1)
        alone = case.augmentation(rows_of_layout(case.layout, part), case.draws(part))
        text = f"mask of a sample depends on the other samples of its batch (row {row})"
        promise(same(mask[part], alone), case.augmentation, text)


def _dtype(case: Case) -> None:
    if isinstance(case, MaskingCase):
        _valid_mask(case)
        return
    for dtype in (torch.float32, torch.float64):
        view = in_dtype(case.view, dtype)
        result = case.augmentation(view, case.draws(view))
        for name, value in result.inputs.items():
            if name in view.inputs:
                kept = value.dtype == view.inputs[name].dtype and value.device == view.inputs[name].device
                promise(kept, case.augmentation, f"changes the dtype or device of {name}")


def _padding(case: Case) -> None:
    if isinstance(case, TransformCase) or len(case.layout.grid) != 1:
        return
    longer = case.augmentation(_padded(case.layout, 5), case.draws())
    kept = same(longer, pad(case.result(), (0, 5)))
    promise(kept, case.augmentation, "mask of a sample depends on its padding")


def _padded(layout: Layout, count: int) -> Layout:
    """The same one-dimensional layout with `count` more padding tokens."""
    groups = None if layout.groups is None else pad(layout.groups, (0, count), value=-1)
    return replace(layout, grid=(layout.grid[0] + count,), maskable=pad(layout.maskable, (0, count)), groups=groups)


PROMISES: Mapping[str, Check] = {
    "in-place": _in_place,
    "valid": _valid,
    "deterministic": _deterministic,
    "seed": _seed,
    "rows": _rows,
    "padding": _padding,
    "dtype": _dtype,
}
