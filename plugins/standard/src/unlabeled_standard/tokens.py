"""Which tokens to keep and which to reconstruct."""

import torch
from torch import Tensor


def chosen_indices(chosen: Tensor, what: str) -> Tensor:
    """(B, K) int64: the places of the True tokens of each row of `chosen` (B, N), in order of position.

    Raises ValueError where rows have different numbers of them: one sample must not decide how many another keeps.
    """
    counts = chosen.sum(dim=1)
    count = int(counts[0])
    if bool((counts != count).any()):
        raise ValueError(
            f"rows have between {int(counts.min())} and {int(counts.max())} {what}; dropping tokens needs samples "
            "of equal length and a masking with equal counts, such as standard/random-masking"
        )
    return torch.argsort(~chosen, dim=1, stable=True)[:, :count]
