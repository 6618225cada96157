"""InfoNCE: telling a sample's counterpart from all others."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Contrast(NamedTuple):
    """What InfoNCE finds for each anchor."""

    loss: Tensor
    """(A,) negative log-probability of the positive."""
    correct: Tensor
    """(A,) bool, detached: the positive is more similar than every other candidate."""


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positives: Tensor,
    temperature: float | Tensor,
    allowed: Tensor | None = None,
) -> Contrast:
    """Cross-entropy of the positive among the candidates (van den Oord et al., 2018, equation 4).

    anchors (A, P) and candidates (C, P), which are compared by cosine; positives (A,) int64: the place of each anchor's
    counterpart among the candidates, which stays in the denominator; temperature: a number or a scalar tensor; allowed:
    (C,) or (A, C) bool, False for what is no negative (the anchor itself, missing samples); the positive always counts.
    """
    similarity = functional.normalize(anchors, dim=1) @ functional.normalize(candidates, dim=1).T / temperature
    own = functional.one_hot(positives, len(candidates)).bool()
    if allowed is not None:
        similarity = similarity.masked_fill(~(allowed | own), -torch.inf)
    positive = similarity.gather(1, positives.unsqueeze(1)).squeeze(1)
    others = similarity.detach().masked_fill(own, -torch.inf)
    return Contrast(similarity.logsumexp(dim=1) - positive, positive.detach() > others.amax(dim=1))


def nt_xent(first: Tensor, second: Tensor, rows: slice, temperature: float | Tensor, present: Tensor) -> Contrast:
    """NT-Xent of both views of `rows` among the views of all rows (Chen et al., 2020, SimCLR, equation 1).

    first and second (R, P): projections of the two views of all samples; rows: the samples whose loss is wanted, A of
    them; present (R,) bool: samples that are no blank. Returns (2 A,): the first views, then the second. An anchor's
    candidates are the 2 R - 1 other views, its positive included; a blank is nobody's candidate.
    """
    count = len(first)
    candidates = torch.cat([first, second])
    places = torch.arange(count, device=first.device)[rows]
    anchors = torch.cat([first[rows], second[rows]])
    itself = functional.one_hot(torch.cat([places, places + count]), 2 * count).bool()
    return info_nce(anchors, candidates, torch.cat([places + count, places]), temperature, present.repeat(2) & ~itself)
