"""Promises of encoders: each is one small function in `PROMISES`, by its id."""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from unlabeled.interfaces.batch import Batch, Encoded, Tokens, View
from unlabeled.interfaces.capabilities import CAPABILITIES
from unlabeled.interfaces.encoder import Encoder
from unlabeled.testing.promises import (
    close,
    copies,
    difference,
    finite,
    in_dtype,
    promise,
    same,
    tensors_of,
    unchanged,
)
from unlabeled.testing.views import rows_of_view


@dataclass(frozen=True)
class EncoderCase:
    """An encoder in evaluation mode, and a batch to try it with."""

    encoder: Encoder
    batch: Batch
    rows: Callable[[slice], Batch]
    """Some rows of the batch, as they are when nothing else is in theirs."""
    tolerance: float = 1e-5
    larger: Batch | None = None
    """The same samples in another size, where the modality can be resized."""

    @cached_property
    def tokens(self) -> Tokens:
        with torch.no_grad():
            return self.encoder.embed(self.batch)

    @cached_property
    def encoded(self) -> Encoded:
        with torch.no_grad():
            return self.encoder.encode(self.tokens)

    @cached_property
    def pooled(self) -> Tensor:
        with torch.no_grad():
            return self.encoder.pool(self.encoded)


Check = Callable[[EncoderCase], None]


def case_of(encoder: Encoder, batch: Batch, tolerance: float = 1e-5) -> EncoderCase:
    """A case of a dense batch, on a copy of the encoder."""
    view = View(batch.inputs, batch.ids, batch.present, batch.extra)
    return EncoderCase(copy.deepcopy(encoder).eval(), batch, lambda rows: rows_of_view(view, rows), tolerance)


def check_encoder(
    encoder: Encoder, batch: Batch, reference: Callable[[Batch], Tensor] | None = None, *, tolerance: float = 1e-5
) -> None:
    """An encoder has what it says in `provides`, treats rows alone and ignores padding; run in evaluation mode.

    reference: the architecture's own forward, (B, S + N, D) prefix and content tokens, or (B, N, D) content tokens
    alone; equal to embed and encode at every real token, with a maximum difference of 0.0.
    """
    from unlabeled.testing.capabilities import PROVED

    case = case_of(encoder, batch, tolerance)
    for name in ("provides", "in-place", "shapes", "forward"):
        PROMISES[name](case)
    if reference is not None:
        _check_reference(case.encoder, case.encoded, reference(batch))
    for name in ("rows", "padding"):
        PROMISES[name](case)
    for capability, check in PROVED.items():
        if capability in case.encoder.provides and (case.larger or capability != "multi-resolution"):
            check(case)
    _some_gradient(case)


def check_export(encoder: Encoder, batch: Batch, folder: Path) -> None:
    """`restore` brings back exactly what `export` wrote."""
    _restores(case_of(encoder, batch), folder)


def _provides(case: EncoderCase) -> None:
    unknown = sorted(set(case.encoder.provides) - set(CAPABILITIES))
    promise(not unknown, case.encoder, f"provides unknown capabilities {', '.join(unknown)}")


def _in_place(case: EncoderCase) -> None:
    before = copies(tensors_of(case.batch))
    tokens = case.tokens
    promise(unchanged(tensors_of(case.batch), before), case.encoder, "changes its input in place")
    values = tokens.values.clone()
    assert case.pooled is not None
    promise(unchanged(tensors_of(case.batch), before), case.encoder, "changes its input in place")
    promise(same(tokens.values, values), case.encoder, "encode changes its tokens in place")


def _shapes(case: EncoderCase) -> None:
    encoder, rows, tokens, encoded, pooled = case.encoder, case.batch.rows, case.tokens, case.encoded, case.pooled
    kept = tokens.values.ndim == 3 and len(tokens.values) == rows
    promise(kept, encoder, f"embed returns {tuple(tokens.values.shape)} and not (B, N, D)")
    kept = encoded.values.ndim == 3 and encoded.values.shape[::2] == (rows, encoder.width)
    promise(kept, encoder, f"encode returns {tuple(encoded.values.shape)} and not (B, N, width)")
    kept = pooled.shape == (rows, encoder.pooled_width)
    promise(kept, encoder, f"pool returns {tuple(pooled.shape)} and not (B, pooled_width)")
    promise(finite(pooled), encoder, "pooled features are not finite")
    if encoded.prefix is not None:
        kept = encoded.prefix.ndim == 3 and encoded.prefix.shape[2] == encoder.width
        promise(kept, encoder, f"prefix is {tuple(encoded.prefix.shape)} and not (B, S, width)")


def _forward(case: EncoderCase) -> None:
    with torch.no_grad():
        whole = case.encoder(case.batch)
    text = "forward is not embed then encode"
    promise(same(case.pooled, case.encoder.pool(whole)) and same(case.encoded.values, whole.values), case.encoder, text)


def _deterministic(case: EncoderCase) -> None:
    with torch.no_grad():
        again = case.encoder.pool(case.encoder(case.batch))
    text = f"gives other features for the same samples: {difference(case.pooled, again)}"
    promise(same(case.pooled, again), case.encoder, text)


def _rows(case: EncoderCase) -> None:
    for row in range(case.batch.rows):
        part = slice(row, row + 1)
        with torch.no_grad():
            alone = case.encoder.pool(case.encoder(case.rows(part)))
        text = f"features of a sample depend on the other samples: row {row}, {difference(case.pooled[part], alone)}"
        promise(close(case.pooled[part], alone, case.tolerance), case.encoder, text)


@torch.no_grad()
def _padding(case: EncoderCase) -> None:
    encoder, tokens, encoded = case.encoder, case.tokens, case.encoded
    padding = encoded.padding
    if padding is None or padding.shape != tokens.values.shape[:2]:
        return
    noisy = tokens.with_values(torch.where(padding.unsqueeze(-1), tokens.values, tokens.values + 3.0))
    other = encoder.encode(noisy)
    text = f"real tokens depend on padding: {difference(encoded.values[padding], other.values[padding])}"
    promise(close(encoded.values[padding], other.values[padding], case.tolerance), encoder, text)
    kept = close(encoder.pool(encoded), encoder.pool(other), case.tolerance)
    promise(kept, encoder, "pooled features depend on padding")


def _state(case: EncoderCase) -> None:
    before = copies(case.encoder.state_dict())
    assert case.pooled is not None
    case.encoder.train()
    case.encoder.pool(case.encoder(case.batch)).sum().backward()
    parameters = dict(case.encoder.named_parameters())
    kept = unchanged(parameters, {name: value for name, value in before.items() if name in parameters})
    promise(kept, case.encoder, "encoding changes a parameter")
    case.encoder.eval()
    before = copies(case.encoder.state_dict())
    case.encoder(case.batch)
    promise(unchanged(case.encoder.state_dict(), before), case.encoder, "encoding for evaluation changes its state")


def _some_gradient(case: EncoderCase) -> None:
    loss = case.encoder.pool(case.encoder(case.batch)).square().mean()
    found = _gradients(case.encoder, loss)
    gradients = [value for value in found.values() if value is not None]
    promise(bool(gradients), case.encoder, "no parameter receives a gradient")
    promise(all(finite(value) for value in gradients), case.encoder, "gradients are not finite")


def _gradient(case: EncoderCase) -> None:
    _some_gradient(case)
    found = _gradients(case.encoder, _everything(case.encoder, case.batch))
    without = [name for name, value in found.items() if value is None]
    text = f"parameter {(without or [''])[0]} receives no gradient from anything it provides; remove or freeze it"
    promise(not without, case.encoder, text + (f" ({len(without)} such)" if len(without) > 1 else ""))


def _everything(encoder: Encoder, batch: Batch) -> Tensor:
    """A scalar that depends on all that the encoder gives to anyone."""
    tokens = encoder.embed(batch)
    encoded = encoder.encode(tokens, layers="hidden" if "layers" in encoder.provides else None)
    parts = [encoded.values, encoder.pool(encoded), *encoded.layers, *tokens.features.values()]
    parts += [] if encoded.prefix is None else [encoded.prefix]
    if "mask-token" in encoder.provides:
        mask = torch.zeros(tokens.values.shape[:2], dtype=torch.bool, device=tokens.values.device)
        mask[:, ::2] = True
        parts.append(encoder.encode(encoder.replace(tokens, mask)).values)
    if "vocabulary" in encoder.provides:
        parts.append(encoder.vocabulary_logits(encoded.values.flatten(0, 1)))
    return torch.stack([part.square().mean() for part in parts if part.requires_grad]).sum()


def _gradients(encoder: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    parameters = {name: value for name, value in encoder.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


def _dtype(case: EncoderCase) -> None:
    encoder = case.encoder.double()
    with torch.no_grad():
        pooled = encoder.pool(encoder(in_dtype(case.batch, torch.float64)))
    promise(pooled.dtype == torch.float64, encoder, f"gives {pooled.dtype} in float64")
    promise(pooled.device == case.batch.device, encoder, f"gives features on {pooled.device}, not {case.batch.device}")


def _bfloat16(case: EncoderCase) -> None:
    with torch.autocast(case.batch.device.type, dtype=torch.bfloat16):
        pooled = case.encoder.pool(case.encoder(case.batch))
    promise(finite(pooled), case.encoder, "features are not finite in bfloat16")
    found = _gradients(case.encoder, pooled.float().square().mean())
    kept = all(value is None or finite(value) for value in found.values())
    promise(kept, case.encoder, "gradients are not finite in bfloat16")


def _checkpointing(case: EncoderCase) -> None:
    other = copy.deepcopy(case.encoder)
    try:
        other.checkpoint_gradients()
    except NotImplementedError:
        return
    plain, recomputed = (
        _gradients(encoder, encoder.pool(encoder(case.batch)).square().mean())
        for encoder in (case.encoder.train(), other.train())
    )
    for name, value in plain.items():
        mine = recomputed[name]
        kept = mine is value if value is None or mine is None else close(value, mine, case.tolerance)
        promise(kept, case.encoder, f"the gradient of {name} is another where layers are recomputed")


def _restore(case: EncoderCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _restores(case, Path(folder) / "export")


@torch.no_grad()
def _restores(case: EncoderCase, folder: Path) -> None:
    other = copy.deepcopy(case.encoder)
    for parameter in other.parameters():
        parameter.add_(0.5)
    folder.mkdir(parents=True, exist_ok=True)
    case.encoder.export(folder)
    other.restore(folder)
    promise(
        same(case.pooled, other.pool(other(case.batch))),
        case.encoder,
        "restore is not the inverse of export",
    )


def _check_reference(encoder: Encoder, encoded: Encoded, expected: Tensor) -> None:
    own, padding = encoded.values, encoded.padding
    if encoded.prefix is not None and expected.shape[1] != own.shape[1]:
        own = torch.cat([encoded.prefix, own], dim=1)
        padding = (
            None
            if padding is None
            else torch.nn.functional.pad(padding, (own.shape[1] - padding.shape[1], 0), value=True)
        )
    promise(own.shape == expected.shape, encoder, f"differs from the reference: {difference(own, expected)}")
    if padding is not None:
        own, expected = own[padding], expected[padding]
    promise(torch.equal(own, expected), encoder, f"differs from the reference: {difference(own, expected)}")


PROMISES: Mapping[str, Check] = {
    "provides": _provides,
    "in-place": _in_place,
    "shapes": _shapes,
    "forward": _forward,
    "deterministic": _deterministic,
    "rows": _rows,
    "padding": _padding,
    "state": _state,
    "gradient": _gradient,
    "dtype": _dtype,
    "bfloat16": _bfloat16,
    "checkpointing": _checkpointing,
    "restore": _restore,
}
