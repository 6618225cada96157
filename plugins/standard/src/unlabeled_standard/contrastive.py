"""Telling a sample's counterpart from all others: InfoNCE, NT-Xent and the sigmoid loss, in memory linear in the batch.

All of them reduce the products of queries and candidates in `products`, which keeps no matrix of them. The temperature is a
factor of the queries, the sigmoid loss's bias one more coordinate, so that both get their gradient from the vectors'.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from unlabeled_standard.products import Reduced, log_sum_exp, log_sum_exp_both, softplus_sum


class Contrast(NamedTuple):
    """What a contrastive loss finds for each anchor."""

    loss: Tensor
    """(A,) the anchor's share of the loss; InfoNCE: negative log-probability of the positive."""
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
    counterpart among the candidates, which stays in the denominator; temperature: a number or a tensor of one; allowed:
    (C,) bool, False for what is nobody's negative (missing samples); the positive always counts.
    """
    anchors, candidates = _unit(anchors) / temperature, _unit(candidates)
    counterparts = candidates[positives]
    if allowed is not None:
        positives = torch.where(allowed, allowed.cumsum(0) - 1, -1)[positives]
        candidates = candidates[allowed]
    return _cross_entropy(_products(anchors, counterparts), log_sum_exp(anchors, candidates, positives.unsqueeze(1)))


def nt_xent(first: Tensor, second: Tensor, rows: slice, temperature: float | Tensor, present: Tensor) -> Contrast:
    """NT-Xent of both views of `rows` among the views of all rows (Chen et al., 2020, SimCLR, equation 1).

    first and second (R, P): projections of the two views of all samples; rows: the samples whose loss is wanted, A of
    them; present (R,) bool: samples that are no blank. Returns (2 A,): the first views, then the second. An anchor's
    candidates are the 2 R - 1 other views, its positive included; a blank is nobody's candidate, and its loss is zero.
    """
    own = _places(rows, present)
    views = _unit(torch.cat([first[present], second[present]]))
    itself = torch.cat([own, own + len(views) // 2])
    other = itself.roll(len(own))
    anchors = views[itself] / temperature
    negatives = log_sum_exp(anchors, views, torch.stack([itself, other], dim=1))
    return _spread(_cross_entropy(_products(anchors, views[other]), negatives), present[rows].repeat(2))


def symmetric_info_nce(
    first: Tensor, second: Tensor, rows: slice, temperature: float | Tensor, present: Tensor
) -> tuple[Contrast, Contrast]:
    """InfoNCE of `rows` in both directions, first to second and second to first (Radford et al., 2021, figure 3).

    first and second (R, P): embeddings of the two sides of all pairs; rows: the pairs whose loss is wanted, A of them;
    present (R,) bool: pairs that are there; the others are nobody's candidate, and their loss is zero. Returns (A,) each.
    """
    own = _places(rows, present)
    first, second = first[present], second[present]
    if len(own) == len(first):
        # All pairs are wanted: both directions come from the same products, at half the cost.
        first, second = _unit(first) / temperature, _unit(second)
        forth, back = log_sum_exp_both(first, second, own.unsqueeze(1))
        positive = _products(first, second)
        contrasts = _cross_entropy(positive, forth), _cross_entropy(positive, back)
    else:
        contrasts = info_nce(first[own], second, own, temperature), info_nce(second[own], first, own, temperature)
    return _spread(contrasts[0], present[rows]), _spread(contrasts[1], present[rows])


def sigmoid_contrast(
    first: Tensor, second: Tensor, rows: slice, scale: float | Tensor, bias: Tensor, present: Tensor
) -> Contrast:
    """Sigmoid loss of the pairs of `rows` of first with all of second (Zhai et al., 2023, SigLIP, algorithm 1).

    Arguments as those of `symmetric_info_nce`; scale: t, the factor of the cosines; bias (1,): b. Returns (A,): for each
    row the sum over all of second, so that the rows of all processes together hold each pair once.
    """
    own = _places(rows, present)
    anchors, candidates = _unit(first[rows][present[rows]]) * scale, _unit(second[present])
    anchors = torch.cat([anchors, bias.to(anchors.dtype).expand(len(anchors), 1)], dim=1)
    candidates = torch.cat([candidates, candidates.new_ones(len(candidates), 1)], dim=1)
    positive = _products(anchors, candidates[own])
    negatives = softplus_sum(anchors, candidates, own.unsqueeze(1))
    loss = negatives.value - functional.logsigmoid(positive)
    return _spread(Contrast(loss, positive.detach() > negatives.largest), present[rows])


def _cross_entropy(positive: Tensor, negatives: Reduced) -> Contrast:
    """-log of the softmax at the positive: with the negatives' log-sum-exp apart, no digit of a small loss is lost."""
    loss = torch.logaddexp(negatives.value - positive, torch.zeros_like(positive))
    return Contrast(loss, positive.detach() > negatives.largest)


def _unit(vectors: Tensor) -> Tensor:
    """(n, P) of length one, in single precision at least."""
    return functional.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """(n,) inner products, row by row."""
    return (left * right).sum(dim=1)


def _places(rows: slice, present: Tensor) -> Tensor:
    """Where the samples of `rows` that are present stand among all that are present."""
    return (present.cumsum(0) - 1)[rows][present[rows]]


def _spread(contrast: Contrast, present: Tensor) -> Contrast:
    """The contrast of what is `present` (A,) among zeros for what is not."""
    zeros = contrast.loss.new_zeros(len(present))
    return Contrast(
        zeros.masked_scatter(present, contrast.loss),
        torch.zeros_like(present).masked_scatter(present, contrast.correct),
    )
