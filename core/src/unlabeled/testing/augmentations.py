"""Promises of transforms and maskings."""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import pad

from unlabeled.interfaces.augmentation import Masking, Transform
from unlabeled.interfaces.batch import Layout, View
from unlabeled.interfaces.draws import Draws
from unlabeled.testing.promises import copies, promise, same, unchanged
from unlabeled.testing.views import make_draws, rows_of_layout, rows_of_view


def check_transform(transform: Transform, view: View, *, seed: int = 0, tolerance: float = 1e-6) -> None:
    """A transform is a pure function of (seed, sample): repeatable, row by row, with nothing changed in place."""
    draws = make_draws(view, seed=seed)
    before = copies(view.inputs)
    result = transform(view, draws)
    promise(unchanged(view.inputs, before), transform, "changes its input in place")
    promise(same(result.ids, view.ids) and same(result.present, view.present), transform, "changes ids or present")
    again = transform(view, make_draws(view, seed=seed))
    for name, value in result.inputs.items():
        promise(same(value, again.inputs[name]), transform, f"gives another {name} for the same draws")
        if name in view.inputs:
            kept = value.dtype == view.inputs[name].dtype and value.device == view.inputs[name].device
            promise(kept, transform, f"changes the dtype or device of {name}")
    for row in range(view.rows):
        single = rows_of_view(view, slice(row, row + 1))
        alone = transform(single, make_draws(single, seed=seed))
        for name, value in result.inputs.items():
            text = f"{name} of a sample depends on the other samples of its batch (row {row})"
            promise(_equal_but_padding(value[row], alone.inputs[name][0], tolerance), transform, text)


def check_masking(masking: Masking, layout: Layout, *, seed: int = 0) -> None:
    """A masking chooses maskable tokens only, by (seed, sample), each row by its own length."""
    view_ids = layout.lengths.new_tensor(range(len(layout.lengths))) * 7919 + 11
    draws = Draws(seed, 0, view_ids)
    before = copies({"lengths": layout.lengths, "maskable": layout.maskable})
    mask = masking(layout, draws)
    promise(unchanged(vars(layout), before), masking, "changes the layout in place")
    promise(mask.shape == layout.maskable.shape, masking, f"returns shape {tuple(mask.shape)} and not (B, N)")
    promise(mask.dtype == layout.maskable.dtype, masking, f"returns {mask.dtype} and not bool")
    promise(mask.device == layout.maskable.device, masking, "returns a mask on another device")
    promise(not bool((mask & ~layout.maskable).any()), masking, "chooses tokens that are not maskable")
    promise(same(mask, masking(layout, Draws(seed, 0, view_ids))), masking, "gives another mask for the same draws")
    for row in range(len(mask)):
        part = slice(row, row + 1)
        alone = masking(rows_of_layout(layout, part), Draws(seed, 0, view_ids[part]))
        text = f"mask of a sample depends on the other samples of its batch (row {row})"
        promise(same(mask[part], alone), masking, text)
    if len(layout.grid) == 1:
        longer = masking(_padded(layout, 5), Draws(seed, 0, view_ids))
        promise(same(longer, pad(mask, (0, 5))), masking, "mask of a sample depends on its padding")


def _padded(layout: Layout, count: int) -> Layout:
    """The same one-dimensional layout with `count` more padding tokens."""
    groups = None if layout.groups is None else pad(layout.groups, (0, count), value=-1)
    return replace(layout, grid=(layout.grid[0] + count,), maskable=pad(layout.maskable, (0, count)), groups=groups)


def _equal_but_padding(batched: Tensor, alone: Tensor, tolerance: float) -> bool:
    """Whether two results of one sample agree; what one has beyond the other must be zeros."""
    if batched.ndim != alone.ndim:
        return False
    common = tuple(slice(min(sizes)) for sizes in zip(batched.shape, alone.shape, strict=True))
    for value in (batched, alone):
        if value.count_nonzero() != value[common].count_nonzero():
            return False
    return bool(((batched[common].double() - alone[common].double()).abs() <= tolerance).all())
