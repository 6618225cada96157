"""SigLIP equals its slow self, keeps an objective's promises, and shares with CLIP what both have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from unlabeled import Context, Encoder, Facts, View
from unlabeled.testing import check_objective, take_step
from unlabeled.training.optimizers import parameter_groups
from unlabeled_crossmodal.siglip import SigLIP, SigLIPConfig

FACTS = Facts(samples=100, batch_size=6, steps=10, epochs=1.0)
MISSING = {
    "image": torch.tensor([True, True, False, True, True, True]),
    "text": torch.tensor([True, False, True, True, True, True]),
    "sound": torch.tensor([True, True, True, True, False, False]),
}
Views = Mapping[str, View]
Encoders = Mapping[str, Encoder]


def build(encoders: Encoders, **options: object) -> SigLIP:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return SigLIP(SigLIPConfig(**{"projection": 6, **options}), encoders, FACTS).double()


def some(names: Sequence[str], encoders: Encoders, views: Views) -> tuple[Encoders, list[View]]:
    return {name: encoders[name] for name in names}, [replace(views[name], present=MISSING[name]) for name in names]


def slow_loss(one: Tensor, other: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Algorithm 1 of the paper, pair by pair: projected features (n, P) of n pairs -> sum over all n x n, by n."""
    losses = []
    for i, query in enumerate(one):
        for j, candidate in enumerate(other):
            logit = scale * (query @ candidate / (query.norm() * candidate.norm())) + bias
            losses.append(torch.log(1 + torch.exp(-logit if i == j else logit)))
    return torch.stack(losses).sum() / len(one)


@pytest.mark.parametrize("names", [("image", "text"), ("text", "sound", "image")])
def test_loss_and_gradients_are_those_of_the_paper(names: Sequence[str], encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(names, encoders, views)
    siglip = build(encoders, bias=-3.0)
    step = take_step(siglip, ordered, encoders)
    by_name = {view.encoder: view for view in ordered}
    expected = []
    for one, other in combinations(names, 2):
        both = MISSING[one] & MISSING[other]
        pair = [
            siglip.projection(name)(encoders[name].pool(encoders[name](by_name[name])))[both] for name in (one, other)
        ]
        expected.append(slow_loss(*pair, siglip.log_scale.exp(), siglip.bias))
        term = f"{one}-{other}"
        torch.testing.assert_close(step.sums[term] / step.counts[term], expected[-1].squeeze(), rtol=1e-12, atol=0)
    for name, parameter in siglip.named_parameters():
        (slow,) = torch.autograd.grad(torch.stack(expected).sum(), parameter, retain_graph=True)
        torch.testing.assert_close(step.gradients[f"objective.{name}"], slow, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("names", [("image", "text"), ("image", "text", "sound")])
def test_micro_batches_and_processes_change_nothing(names: Sequence[str], encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(names, encoders, views)
    check_objective(build(encoders), ordered, encoders)


def test_it_begins_where_the_paper_does(encoders: Encoders, views: Views) -> None:
    """t = 10 and b = -10: nearly all of the loss is that of the pairs, none of which is believed yet."""
    encoders, ordered = some(("image", "text"), encoders, views)
    siglip = build(encoders)
    assert siglip.log_scale.tolist() == pytest.approx([math.log(10)])
    assert siglip.bias.tolist() == [-10.0]
    monitors = take_step(siglip, ordered, encoders).monitors
    assert set(monitors) == {"scale", "bias", "image->text.accuracy"}
    assert monitors["scale"] == pytest.approx(10) and monitors["bias"] == -10


def test_accuracy_counts_counterparts_that_are_found(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, views)
    step = take_step(build(encoders), ordered, encoders)
    both = MISSING["image"] & MISSING["text"]
    similarity = step.outputs["image.embedding"][both] @ step.outputs["text.embedding"][both].T
    expected = (similarity.argmax(dim=1) == torch.arange(4)).double().mean()
    assert step.monitors["image->text.accuracy"] == expected


def test_a_batch_without_any_pair_has_no_loss(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, views)
    ordered[1] = replace(ordered[1], present=torch.zeros(6, dtype=torch.bool))
    step = take_step(build(encoders), ordered, encoders)
    assert step.loss == 0
    assert all(not gradient.any() for gradient in step.gradients.values())


def test_scale_is_kept_in_bounds_and_bias_is_free(encoders: Encoders) -> None:
    siglip = build(encoders, max_scale=50.0)
    with torch.no_grad():
        siglip.log_scale.fill_(9.0)
        siglip.bias.fill_(-300.0)
        siglip.after_step({}, {}, encoders, Context(step=0, steps=1, epoch=0, seed=0))
    assert siglip.log_scale.exp().item() == pytest.approx(50.0)
    assert siglip.bias.item() == -300.0


def test_scale_and_bias_do_not_decay(encoders: Encoders) -> None:
    groups = parameter_groups(build(encoders), {}, weight_decay=0.2)
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert {name for name, value in decay.items() if value == 0.0} == {"log_scale", "bias"}


def test_impossible_options_are_named(encoders: Encoders) -> None:
    with pytest.raises(ValueError, match="needs two modalities; add another under modalities"):
        build({"image": encoders["image"]})
    with pytest.raises(ValidationError, match=r"scale 200.0 must lie between 1 and max_scale \(100\)"):
        SigLIPConfig(scale=200.0)
