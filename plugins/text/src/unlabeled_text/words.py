"""Words as runs of tokens with the same number."""

import torch
from torch import Tensor

NO_WORD = -1
"""The word number of special tokens and padding."""


def word_starts(words: Tensor) -> Tensor:
    """(B, N) bool, True at the first token of each word of `words` (B, N) int64."""
    before = torch.nn.functional.pad(words[:, :-1], (1, 0), value=NO_WORD)
    return (words != before) & (words != NO_WORD)


def spread_over_words(values: Tensor, starts: Tensor) -> Tensor:
    """(B, N): each token gets what `values` (B, N) holds at the first token of its word, or of the last word before it."""
    places = torch.arange(starts.shape[1], device=starts.device)
    return values.gather(1, torch.where(starts, places, 0).cummax(dim=1).values)
