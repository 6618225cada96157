"""Promises of modalities: each is one small function in `PROMISES`, by its id."""

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.loader import collate
from unlabeled.interfaces.batch import Batch
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.modality import Modality, Sample
from unlabeled.testing.child import in_child
from unlabeled.testing.promises import close, equal_but_padding, finite, promise, same

SECONDS = 10.0
"""Within which a cell must be decoded or refused."""
_ROLES = ("plain", "weak", "strong", "global", "local")


@dataclass(frozen=True)
class ModalityCase:
    """A fitted modality, an unfitted one, and cells of a column that it reads."""

    modality: Modality
    unfitted: Callable[[], Modality]
    cells: Sequence[Any]
    dense: bool = True
    """Whether its main input has one row a sample, as the manifest says."""

    def samples(self, role: str = "plain", seed: int = 0) -> list[Sample]:
        return [self.taken(row, role, seed) for row in range(len(self.cells))]

    def taken(self, row: int, role: str, seed: int = 0, index: int = 0) -> Sample:
        ids = torch.tensor([row * 7919 + 11])
        draws = Draws(seed, 0, ids, "encoder", role, index, path="/take")
        return self.modality.take(self.modality.decode(self.cells[row]), draws, role)

    def batch(self, samples: Sequence[Sample]) -> Batch:
        ids = torch.arange(len(samples)) * 7919 + 11
        return collate(self.modality, samples, ids, torch.ones(len(samples), dtype=torch.bool))


Check = Callable[[ModalityCase], None]


def _decode(case: ModalityCase) -> None:
    for row, cell in enumerate(case.cells):
        sample = case.modality.decode(cell)
        promise(isinstance(sample, dict) and bool(sample), case.modality, "decode gives no named arrays")
        for name, value in sample.items():
            text = f"decode gives {type(value).__name__} for {name}, not an array"
            promise(isinstance(value, np.ndarray), case.modality, text)
            promise(_is_finite(value), case.modality, f"decode gives {name} that is not finite (row {row})")


def _deterministic(case: ModalityCase) -> None:
    for cell in case.cells:
        text = "decode gives another sample for the same cell"
        promise(_equal(case.modality.decode(cell), case.modality.decode(cell)), case.modality, text)


def _in_place(case: ModalityCase) -> None:
    cell = copy.deepcopy(case.cells[0])
    sample = case.modality.decode(cell)
    promise(_equal_cells(cell, case.cells[0]), case.modality, "decode changes its cell in place")
    kept = copy.deepcopy(sample)
    for role in _ROLES:
        taken = case.modality.take(sample, Draws(0, 0, torch.tensor([11]), "encoder", role), role)
        promise(_equal(sample, kept), case.modality, "take changes its sample in place")
        before = copy.deepcopy(taken)
        batch = case.batch([taken, taken])
        for value in batch.inputs.values():
            if value.is_floating_point():
                value.add_(1)
        promise(_equal(taken, before), case.modality, "a change of a batch changes the samples that it was made from")


def _garbage(case: ModalityCase) -> None:
    """In a process of its own, as a decoder may hang or take its process with it."""
    with closing(in_child(lambda: _decode_garbage(case), SECONDS)) as answers:
        for name, _ in _garbage_for(case):
            try:
                problem = next(answers)
            except TimeoutError:
                problem = f"takes longer than {SECONDS:g} s"
            except ChildProcessError:
                problem = "ends its process"
            promise(not problem, case.modality, f"decode of {name} {problem}")


_GARBAGE: Sequence[tuple[str, Any]] = (
    ("no bytes", b""),
    ("random bytes", bytes(range(256)) * 8),
    ("random bytes of a file", {"bytes": bytes(range(256)) * 8, "path": None}),
    ("a file that is not there", {"bytes": None, "path": "/no/such/file.bin"}),
    ("a path that is not there", "/no/such/file.bin"),
    ("an empty list", []),
    ("an empty mapping", {}),
    ("numbers that are no numbers", np.full((8, 8), np.nan, dtype=np.float32)),
    ("infinite numbers", np.full(8, np.inf)),
    ("an empty array", np.zeros((0, 3))),
    ("lists of unequal length", [[1.0], [2.0, 3.0]]),
    ("a number", -1),
    ("an object", object()),
)


def _garbage_for(case: ModalityCase) -> list[tuple[str, Any]]:
    """Cells that hold nothing, something else, or what a real cell holds with its numbers spoilt."""
    spoilt = [
        ("a cell whose numbers are no numbers", _spoilt(case.cells[0], math.nan)),
        ("a cell whose numbers are infinite", _spoilt(case.cells[0], math.inf)),
    ]
    return [*_GARBAGE, *spoilt]


def _spoilt(cell: Any, number: float) -> Any:
    """A cell with `number` for every number of floating point."""
    if isinstance(cell, np.ndarray):
        return np.full_like(cell, number) if cell.dtype.kind == "f" else cell
    if isinstance(cell, dict):
        return {name: _spoilt(value, number) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_spoilt(value, number) for value in cell]
    return number if isinstance(cell, float) else cell


def _decode_garbage(case: ModalityCase) -> Iterator[str]:
    """Of each cell, what is wrong with the answer; nothing where it is refused with a reason, or read as a sound sample."""
    torch.set_num_threads(1)
    for _, cell in _garbage_for(case):
        try:
            sample = case.modality.decode(cell)
        except Exception as error:
            yield "" if str(error).strip() else f"raises {type(error).__name__} without a reason"
            continue
        except BaseException as error:
            yield f"raises {type(error).__name__}, which ends the run; raise ValueError"
            continue
        yield _wrong(case, sample)


def _wrong(case: ModalityCase, sample: Sample) -> str:
    if not all(isinstance(value, np.ndarray) and _is_finite(value) for value in sample.values()):
        return "gives numbers that are not finite; raise ValueError"
    try:
        taken = case.modality.take(sample, Draws(0, 0, torch.tensor([11]), "encoder", "plain"), "plain")
        batch = case.batch([taken, case.taken(0, "plain")])
    except Exception as error:
        return f"is accepted, and cannot be collated ({type(error).__name__}); raise ValueError"
    kept = all(finite(value) for value in batch.inputs.values() if value.is_floating_point())
    return "" if kept else "gives a batch that is not finite; raise ValueError"


def _take(case: ModalityCase) -> None:
    for role in _ROLES:
        for row in range(len(case.cells)):
            again = case.taken(row, role)
            promise(
                _equal(case.taken(row, role), again), case.modality, f"take of {role} is another for the same draws"
            )
    for row in range(len(case.cells)):
        kept = all(_equal(case.taken(row, "plain"), case.taken(row, "plain", seed, seed)) for seed in (1, 2))
        promise(kept, case.modality, "take of plain depends on the draws; evaluation would see another sample")


def _collate(case: ModalityCase) -> None:
    modality = case.modality
    for role in _ROLES:
        samples = case.samples(role)
        batch = case.batch(samples)
        promise(
            modality.input_name in batch.inputs, modality, f"collate gives no {modality.input_name}, its input_name"
        )
        for name, value in {**batch.inputs, **batch.extra}.items():
            promise(isinstance(value, Tensor), modality, f"collate gives {type(value).__name__} for {name}, no tensor")
            promise(value.device.type == "cpu", modality, f"collate puts {name} on {value.device}")
            kept = not value.is_floating_point() or finite(value)
            promise(kept, modality, f"collate gives {name} that is not finite")
        rows = len(batch.inputs[modality.input_name])
        promise(
            rows == len(samples) or not case.dense, modality, f"collate gives {rows} rows of {len(samples)} samples"
        )
    missing = [name for name in modality.extras if name not in batch.extra]
    promise(not missing, modality, f"extras names {', '.join(missing)}, which collate does not give")


def _rows(case: ModalityCase) -> None:
    samples = case.samples("weak")
    batch = case.batch(samples)
    for row, sample in enumerate(samples):
        alone = case.batch([sample])
        for name, value in batch.inputs.items():
            if len(value) != len(samples) or name not in alone.inputs:
                continue
            text = f"{name} of a sample depends on the other samples of its batch (row {row})"
            promise(equal_but_padding(value[row], alone.inputs[name][0], 1e-6), case.modality, text)


def _input_shape(case: ModalityCase) -> None:
    try:
        shape = case.modality.input_shape
    except ValueError:
        return
    value = case.batch(case.samples()).inputs[case.modality.input_name]
    kept = value.ndim == len(shape) + 1 and all(
        size <= limit for size, limit in zip(value.shape[1:], shape, strict=True)
    )
    promise(kept, case.modality, f"input_shape is {tuple(shape)}, and collate gives {tuple(value.shape[1:])}")


def _raw(case: ModalityCase) -> None:
    samples = case.samples()
    raw = case.modality.raw(case.batch(samples))
    promise(raw.ndim >= 2 and len(raw) == len(samples), case.modality, f"raw gives {tuple(raw.shape)}, and not (B, F)")
    promise(raw.dtype == torch.float32, case.modality, f"raw gives {raw.dtype}, not float32")
    promise(finite(raw), case.modality, "raw is not finite")
    for row in range(len(samples)):
        alone = case.modality.raw(case.batch(samples[row : row + 1]))
        kept = alone.shape[1:] != raw.shape[1:] or close(alone[0], raw[row], 1e-5)
        promise(kept, case.modality, f"raw of a sample depends on the other samples of its batch (row {row})")


def _blank(case: ModalityCase) -> None:
    try:
        blank = case.modality.blank()
    except ValueError as error:
        promise(bool(str(error).strip()), case.modality, "has no blank and does not say so")
        return
    kept = all(isinstance(value, np.ndarray) and _is_finite(value) for value in blank.values())
    promise(kept, case.modality, "blank is not finite")
    taken = case.modality.take(blank, Draws(0, 0, torch.tensor([11]), "encoder", "plain"), "plain")
    batch = case.batch([case.taken(0, "plain"), taken])
    kept = all(finite(value) for value in batch.inputs.values() if value.is_floating_point())
    promise(kept, case.modality, "a batch with the blank is not finite")
    promise(finite(case.modality.raw(batch)), case.modality, "raw of the blank is not finite")


def _restore(case: ModalityCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        case.modality.save(Path(folder))
        other = case.unfitted()
        other.restore(Path(folder))
    for cell in case.cells:
        kept = _equal(case.modality.decode(cell), other.decode(cell))
        promise(kept, case.modality, "decodes otherwise once saved and restored")
    mine, theirs = (ModalityCase(each, case.unfitted, case.cells) for each in (case.modality, other))
    ones, others = mine.batch(mine.samples("weak")), theirs.batch(theirs.samples("weak"))
    for name, value in ones.inputs.items():
        kept = name in others.inputs and same(value, others.inputs[name])
        promise(kept, case.modality, f"collates another {name} once saved and restored")


def _fit(case: ModalityCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = []
        for number in range(2):
            modality, own = case.unfitted(), Path(folder) / str(number)
            own.mkdir()
            modality.fit(iter(case.cells))
            modality.save(own)
            files = (path for path in sorted(own.rglob("*")) if path.is_file())
            written.append({str(path.relative_to(own)): path.read_bytes() for path in files})
    promise(written[0] == written[1], case.modality, "learns something else from the same cells")


def _show(case: ModalityCase) -> None:
    for row in range(len(case.cells)):
        shown = case.modality.show(case.modality.decode(case.cells[row]))
        kept = isinstance(shown, str) or (shown.dtype == np.uint8 and shown.ndim == 3 and shown.shape[2] == 3)
        promise(kept, case.modality, "show gives neither text nor an image (H, W, 3) uint8")


def _equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype
        and value.shape == other[name].shape
        and np.array_equal(value, other[name], equal_nan=value.dtype.kind == "f")
        for name, value in one.items()
    )


def _equal_cells(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and _equal({"": one}, {"": other})
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal_cells(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal_cells, one, other))
    return bool(one == other)


def _is_finite(value: np.ndarray) -> bool:
    return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())


PROMISES: Mapping[str, Check] = {
    "decode": _decode,
    "deterministic": _deterministic,
    "in-place": _in_place,
    "garbage": _garbage,
    "take": _take,
    "collate": _collate,
    "rows": _rows,
    "input-shape": _input_shape,
    "raw": _raw,
    "blank": _blank,
    "fit": _fit,
    "restore": _restore,
    "show": _show,
}
