"""The proof of each capability of an encoder: one small function in `PROVED`, by the capability's name."""

import math
from collections.abc import Mapping

import torch

from unlabeled.testing.encoders import Check, EncoderCase
from unlabeled.testing.promises import close, difference, finite, promise, same


def _tokens(case: EncoderCase) -> None:
    encoder, tokens, encoded = case.encoder, case.tokens, case.encoded
    count = tokens.values.shape[1]
    promise(encoded.values.shape[1] == count, encoder, "encode changes the number of tokens")
    layout = encoder.layout(case.batch)
    promise(math.prod(layout.grid) == count, encoder, f"layout's grid {layout.grid} does not hold its {count} tokens")
    promise(layout.maskable.shape == (case.batch.rows, count), encoder, "layout.maskable is not (B, N)")
    promise(layout.lengths.shape == (case.batch.rows,), encoder, "layout.lengths is not (B,)")
    if encoded.padding is not None:
        promise(same(encoded.padding.sum(dim=1), layout.lengths), encoder, "layout.lengths do not agree with padding")
        promise(not bool((layout.maskable & ~encoded.padding).any()), encoder, "layout lets padding be masked")


def _class_token(case: EncoderCase) -> None:
    prefix = case.encoded.prefix
    promise(prefix is not None and prefix.shape[1] > 0, case.encoder, "has no encoded class token")


def _mask_token(case: EncoderCase) -> None:
    encoder, tokens = case.encoder, case.tokens
    mask = torch.zeros(tokens.values.shape[:2], dtype=torch.bool, device=tokens.values.device)
    mask[:, ::2] = True
    before = tokens.values.clone()
    replaced = encoder.replace(tokens, mask).values
    promise(same(tokens.values, before), encoder, "replace changes its tokens in place")
    promise(same(replaced[~mask], before[~mask]), encoder, "replace changes tokens that are not masked")
    noisy = tokens.with_values(torch.where(mask.unsqueeze(-1), before + 3.0, before))
    promise(same(encoder.replace(noisy, mask).values, replaced), encoder, "replaced tokens still show what they were")


def _drop_tokens(case: EncoderCase) -> None:
    encoder, tokens, encoded = case.encoder, case.tokens, case.encoded
    count = tokens.values.shape[1]
    every = torch.arange(count, device=tokens.values.device).expand(case.batch.rows, -1)
    whole = encoder.encode(tokens, keep=every)
    real = slice(None) if encoded.padding is None else encoded.padding
    kept = close(whole.values[real], encoded.values[real], case.tolerance)
    promise(kept, encoder, f"keeping every token is not the plain forward: {difference(whole.values, encoded.values)}")
    half = max(count // 2, 1)
    some = encoder.encode(tokens, keep=every[:, :half])
    promise(some.values.shape[1] == half, encoder, "encode with keep does not return the kept tokens")
    if "causal" not in encoder.provides:  # which sees the order in which tokens are kept
        turned = encoder.encode(tokens, keep=every.flip(1)).values.flip(1)
        kept = close(turned[real], encoded.values[real], case.tolerance)
        promise(kept, encoder, f"the kept tokens are not those of keep: {difference(turned, encoded.values)}")


def _patches(case: EncoderCase) -> None:
    encoder, batch = case.encoder, case.batch
    patches = encoder.patches(batch)
    kept = patches.shape[:2] == case.tokens.values.shape[:2]
    promise(kept, encoder, f"patches are {tuple(patches.shape)} and not (B, N, P) with the N of its tokens")
    again = encoder.patches(batch.with_inputs(**{encoder.modality.input_name: encoder.unpatch(patches, batch)}))
    text = f"unpatch is not the inverse of patches: {difference(again, patches)}"
    promise(close(again, patches, case.tolerance), encoder, text)


def _layers(case: EncoderCase) -> None:
    _each_layer(case, "hidden")


def _branches(case: EncoderCase) -> None:
    _each_layer(case, "branch")


def _each_layer(case: EncoderCase, which: str) -> None:
    encoder, encoded = case.encoder, case.encoded
    result = encoder.encode(case.tokens, layers=which)
    promise(len(result.layers) > 0, encoder, f"encode returns no layers when asked for {which}")
    for layer in result.layers:
        text = f"a {which} layer is {tuple(layer.shape)}, not (B, N, width)"
        promise(layer.shape == encoded.values.shape, encoder, text)
    promise(same(result.values, encoded.values), encoder, f"asking for {which} layers changes the result")


def _local_features(case: EncoderCase) -> None:
    encoder, tokens = case.encoder, case.tokens
    promise("local" in tokens.features, encoder, "embed returns no local features")
    shape = tuple(tokens.features["local"].shape)
    promise(shape[:2] == tokens.values.shape[:2], encoder, "local features are not (B, N, L)")
    width = getattr(encoder, "local_width", None)
    promise(shape[2:] == (width,), encoder, f"local_width is {width}, and its local features are {shape}")


def _causal(case: EncoderCase) -> None:
    encoder, tokens, encoded = case.encoder, case.tokens, case.encoded
    half = tokens.values.shape[1] // 2
    later = tokens.values.clone()
    later[:, half:] += 3.0
    other = encoder.encode(tokens.with_values(later)).values
    kept = close(other[:, :half], encoded.values[:, :half], case.tolerance)
    promise(kept, encoder, "a token sees later tokens")


def _vocabulary(case: EncoderCase) -> None:
    encoder, encoded = case.encoder, case.encoded
    logits = encoder.vocabulary_logits(encoded.values.flatten(0, 1))
    kept = logits.ndim == 2 and len(logits) == encoded.values.shape[0] * encoded.values.shape[1]
    promise(kept, encoder, f"vocabulary_logits returns {tuple(logits.shape)} and not (M, V)")


def _multi_resolution(case: EncoderCase) -> None:
    encoder, larger = case.encoder, case.larger
    if larger is None:
        raise AssertionError(
            f"{type(encoder).__name__}: samples of this modality cannot be resized, so it has one size"
        )
    encoded = encoder(larger)
    pooled = encoder.pool(encoded)
    promise(pooled.shape == case.pooled.shape, encoder, f"pool returns {tuple(pooled.shape)} for a larger sample")
    promise(finite(pooled), encoder, "features of a larger sample are not finite")
    if "tokens" in encoder.provides:
        count = encoder.layout(larger).tokens
        promise(encoded.values.shape[1] == count, encoder, f"layout says {count} tokens of a larger sample")


def _without_gradient(check: Check) -> Check:
    return torch.no_grad()(check)


PROVED: Mapping[str, Check] = {
    "tokens": _without_gradient(_tokens),
    "class-token": _without_gradient(_class_token),
    "mask-token": _without_gradient(_mask_token),
    "drop-tokens": _without_gradient(_drop_tokens),
    "patches": _without_gradient(_patches),
    "layers": _without_gradient(_layers),
    "branches": _without_gradient(_branches),
    "local-features": _without_gradient(_local_features),
    "causal": _without_gradient(_causal),
    "vocabulary": _without_gradient(_vocabulary),
    "multi-resolution": _without_gradient(_multi_resolution),
}
