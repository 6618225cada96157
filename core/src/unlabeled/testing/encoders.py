"""Promises of encoders."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from unlabeled.interfaces.batch import Batch, Encoded, Tokens, View
from unlabeled.interfaces.capabilities import CAPABILITIES
from unlabeled.interfaces.encoder import Encoder
from unlabeled.testing.promises import close, copies, difference, promise, same, unchanged
from unlabeled.testing.views import rows_of_view


def check_encoder(
    encoder: Encoder, batch: Batch, reference: Callable[[Batch], Tensor] | None = None, *, tolerance: float = 1e-5
) -> None:
    """An encoder has what it says in `provides`, treats rows alone and ignores padding; run in evaluation mode.

    reference: the architecture's own forward, (B, S + N, D) prefix and content tokens, or (B, N, D) content tokens
    alone; equal to embed and encode at every real token, with a maximum difference of 0.0.
    """
    encoder = copy.deepcopy(encoder).eval()
    unknown = sorted(set(encoder.provides) - set(CAPABILITIES))
    promise(not unknown, encoder, f"provides unknown capabilities {', '.join(unknown)}")
    before = copies(batch.inputs)
    with torch.no_grad():
        tokens = encoder.embed(batch)
        encoded = encoder.encode(tokens)
        pooled = encoder.pool(encoded)
        promise(unchanged(batch.inputs, before), encoder, "changes its input in place")
        _check_shapes(encoder, batch, tokens, encoded, pooled)
        promise(same(pooled, encoder.pool(encoder(batch))), encoder, "forward is not embed then encode")
        if reference is not None:
            _check_reference(encoder, encoded, reference(batch))
        _check_rows(encoder, batch, pooled, tolerance)
        if encoded.padding is not None:
            _check_padding(encoder, tokens, encoded, encoded.padding, tolerance)
        for capability, check in _CHECKS.items():
            if capability in encoder.provides:
                check(encoder, batch, tokens, encoded, tolerance)
    _check_gradients(encoder, batch)


def check_export(encoder: Encoder, batch: Batch, folder: Path) -> None:
    """`restore` brings back exactly what `export` wrote."""
    encoder = copy.deepcopy(encoder).eval()
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.5)
        encoder.export(folder)
        other.restore(folder)
        promise(
            same(encoder.pool(encoder(batch)), other.pool(other(batch))),
            encoder,
            "restore is not the inverse of export",
        )


def _check_shapes(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, pooled: Tensor) -> None:
    rows, width = batch.rows, encoder.width
    kept = tokens.values.ndim == 3 and len(tokens.values) == rows
    promise(kept, encoder, f"embed returns {tuple(tokens.values.shape)} and not (B, N, D)")
    kept = encoded.values.shape[:1] + encoded.values.shape[2:] == (rows, width)
    promise(kept, encoder, f"encode returns {tuple(encoded.values.shape)} and not (B, N, width)")
    kept = pooled.shape == (rows, encoder.pooled_width)
    promise(kept, encoder, f"pool returns {tuple(pooled.shape)} and not (B, pooled_width)")
    promise(bool(torch.isfinite(pooled).all()), encoder, "pooled features are not finite")
    if encoded.prefix is not None:
        kept = encoded.prefix.ndim == 3 and encoded.prefix.shape[2] == width
        promise(kept, encoder, f"prefix is {tuple(encoded.prefix.shape)} and not (B, S, width)")


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


def _check_rows(encoder: Encoder, batch: Batch, pooled: Tensor, tolerance: float) -> None:
    view = View(batch.inputs, batch.ids, batch.present, batch.extra)
    for row in range(batch.rows):
        alone = encoder.pool(encoder(rows_of_view(view, slice(row, row + 1))))
        text = (
            f"features of a sample depend on the other samples: row {row}, {difference(pooled[row : row + 1], alone)}"
        )
        promise(close(pooled[row : row + 1], alone, tolerance), encoder, text)


def _check_padding(encoder: Encoder, tokens: Tokens, encoded: Encoded, padding: Tensor, tolerance: float) -> None:
    if padding.shape != tokens.values.shape[:2]:
        return
    noisy = tokens.with_values(torch.where(padding.unsqueeze(-1), tokens.values, tokens.values + 3.0))
    other = encoder.encode(noisy)
    text = f"real tokens depend on padding: {difference(encoded.values[padding], other.values[padding])}"
    promise(close(encoded.values[padding], other.values[padding], tolerance), encoder, text)
    promise(close(encoder.pool(encoded), encoder.pool(other), tolerance), encoder, "pooled features depend on padding")


def _check_gradients(encoder: Encoder, batch: Batch) -> None:
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        loss = encoder.pool(encoder(batch)).square().mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradients = [value for value in found if value is not None]
    promise(bool(gradients), encoder, "no parameter receives a gradient")
    promise(all(bool(torch.isfinite(value).all()) for value in gradients), encoder, "gradients are not finite")


def _check_tokens(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    count = tokens.values.shape[1]
    promise(encoded.values.shape[1] == count, encoder, "encode changes the number of tokens")
    layout = encoder.layout(batch)
    product = 1
    for size in layout.grid:
        product *= size
    promise(product == count, encoder, f"layout's grid {layout.grid} does not hold its {count} tokens")
    promise(layout.maskable.shape == (batch.rows, count), encoder, "layout.maskable is not (B, N)")
    promise(layout.lengths.shape == (batch.rows,), encoder, "layout.lengths is not (B,)")
    if encoded.padding is not None:
        promise(same(encoded.padding.sum(dim=1), layout.lengths), encoder, "layout.lengths do not agree with padding")
        promise(not bool((layout.maskable & ~encoded.padding).any()), encoder, "layout lets padding be masked")


def _check_class_token(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    promise(encoded.prefix is not None and encoded.prefix.shape[1] > 0, encoder, "has no encoded class token")


def _check_mask_token(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    mask = torch.zeros(tokens.values.shape[:2], dtype=torch.bool, device=tokens.values.device)
    mask[:, ::2] = True
    before = tokens.values.clone()
    replaced = encoder.replace(tokens, mask).values
    promise(same(tokens.values, before), encoder, "replace changes its tokens in place")
    promise(same(replaced[~mask], before[~mask]), encoder, "replace changes tokens that are not masked")
    noisy = tokens.with_values(torch.where(mask.unsqueeze(-1), before + 3.0, before))
    promise(same(encoder.replace(noisy, mask).values, replaced), encoder, "replaced tokens still show what they were")


def _check_drop_tokens(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    count = tokens.values.shape[1]
    every = torch.arange(count, device=tokens.values.device).expand(batch.rows, -1)
    whole = encoder.encode(tokens, keep=every)
    real = slice(None) if encoded.padding is None else encoded.padding
    kept = close(whole.values[real], encoded.values[real], tolerance)
    promise(kept, encoder, f"keeping every token is not the plain forward: {difference(whole.values, encoded.values)}")
    some = encoder.encode(tokens, keep=every[:, : max(count // 2, 1)])
    promise(some.values.shape[1] == max(count // 2, 1), encoder, "encode with keep does not return the kept tokens")


def _check_patches(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    patches = encoder.patches(batch)
    kept = patches.shape[:2] == tokens.values.shape[:2]
    promise(kept, encoder, f"patches are {tuple(patches.shape)} and not (B, N, P) with the N of its tokens")
    again = encoder.patches(batch.with_inputs(**{encoder.modality.input_name: encoder.unpatch(patches, batch)}))
    promise(
        close(again, patches, tolerance),
        encoder,
        f"unpatch is not the inverse of patches: {difference(again, patches)}",
    )


def _check_layers(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    _check_each_layer(encoder, tokens, encoded, "hidden")


def _check_branches(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    _check_each_layer(encoder, tokens, encoded, "branch")


def _check_each_layer(encoder: Encoder, tokens: Tokens, encoded: Encoded, which: str) -> None:
    result = encoder.encode(tokens, layers=which)
    promise(len(result.layers) > 0, encoder, f"encode returns no layers when asked for {which}")
    for layer in result.layers:
        promise(
            layer.shape == encoded.values.shape, encoder, f"a {which} layer is {tuple(layer.shape)}, not (B, N, width)"
        )
    promise(same(result.values, encoded.values), encoder, f"asking for {which} layers changes the result")


def _check_local_features(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    promise("local" in tokens.features, encoder, "embed returns no local features")
    promise(tokens.features["local"].shape[:2] == tokens.values.shape[:2], encoder, "local features are not (B, N, L)")


def _check_causal(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    half = tokens.values.shape[1] // 2
    later = tokens.values.clone()
    later[:, half:] += 3.0
    other = encoder.encode(tokens.with_values(later)).values
    promise(close(other[:, :half], encoded.values[:, :half], tolerance), encoder, "a token sees later tokens")


def _check_vocabulary(encoder: Encoder, batch: Batch, tokens: Tokens, encoded: Encoded, tolerance: float) -> None:
    logits = encoder.vocabulary_logits(encoded.values.flatten(0, 1))
    kept = logits.ndim == 2 and len(logits) == encoded.values.shape[0] * encoded.values.shape[1]
    promise(kept, encoder, f"vocabulary_logits returns {tuple(logits.shape)} and not (M, V)")


_CHECKS = {
    "tokens": _check_tokens,
    "class-token": _check_class_token,
    "mask-token": _check_mask_token,
    "drop-tokens": _check_drop_tokens,
    "patches": _check_patches,
    "layers": _check_layers,
    "branches": _check_branches,
    "local-features": _check_local_features,
    "causal": _check_causal,
    "vocabulary": _check_vocabulary,
}
