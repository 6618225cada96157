"""The product quantiser of wav2vec 2.0."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Assignment:
    """Which entries of the G codebooks of V entries stand for each of (B, M) features."""

    soft: Tensor
    """(B, M, G, V) softmax of the logits, without noise and temperature: what the diversity loss is about."""
    hard: Tensor
    """(B, M, G, V) one-hot; its gradient is that of the softmax with noise at the temperature."""
    codes: Tensor
    """(B, M, G) int64: the chosen entries."""


class ProductQuantizer(nn.Module):
    """G codebooks of V entries each, chosen by a straight-through Gumbel softmax (Baevski et al., 2020, section 2).

    Parameters are named and shaped as transformers' Wav2Vec2GumbelVectorQuantizer has them: entries (1, G * V, D / G), uniform in
    [0, 1), and a projection to the logits, standard normal with zero bias.
    """

    def __init__(self, features: int, groups: int, entries: int, width: int) -> None:
        super().__init__()
        self.groups, self.entries = groups, entries
        self.codevectors = nn.Parameter(torch.rand(1, groups * entries, width // groups))
        self.weight_proj = nn.Linear(features, groups * entries)
        nn.init.normal_(self.weight_proj.weight)
        nn.init.zeros_(self.weight_proj.bias)

    def assign(self, features: Tensor, noise: Tensor | None, temperature: float) -> Assignment:
        """Choose entries for features (B, M, L); noise (B, M, G, V) uniform in [0, 1), None for the likeliest entries."""
        logits = self.weight_proj(features).unflatten(-1, (self.groups, self.entries))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        scores = logits if noise is None else (logits + gumbel(noise.to(logits.dtype))) / temperature
        codes = scores.argmax(dim=-1)
        chosen = nn.functional.one_hot(codes, self.entries).to(logits.dtype)
        tempered = scores.softmax(dim=-1)
        # The parenthesis is zero: the values are exactly one-hot, the gradient is the softmax's.
        return Assignment(logits.softmax(dim=-1), chosen + (tempered - tempered.detach()), codes)

    def lookup(self, hard: Tensor) -> Tensor:
        """(B, M, D) the chosen entries of all codebooks side by side."""
        entries = self.codevectors.reshape(self.groups, self.entries, -1).to(hard.dtype)
        return torch.einsum("bmgv,gvd->bmgd", hard, entries).flatten(2)


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise from uniform numbers in [0, 1) of 24 bits: -log(-log(u)), finite for all of them."""
    return -torch.log(-torch.log(uniform.clamp(min=2.0**-25)))


def perplexity(probabilities: Tensor) -> Tensor:
    """(...,) exp of the entropy of probabilities (..., V)."""
    tiny = torch.finfo(probabilities.dtype).tiny  # keeps the gradient finite where an entry has no probability at all
    return torch.exp(-(probabilities * probabilities.clamp(min=tiny).log()).sum(dim=-1))
