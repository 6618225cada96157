"""CLIP equals its slow self, keeps an objective's promises, and treats missing cells and its temperature as it says."""

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
from unlabeled_crossmodal.clip import CLIP, CLIPConfig

FACTS = Facts(samples=100, batch_size=6, steps=10, epochs=1.0)
MISSING = {
    "image": torch.tensor([True, True, False, True, True, True]),
    "text": torch.tensor([True, False, True, True, True, True]),
    "sound": torch.tensor([True, True, True, True, False, False]),
}
Views = Mapping[str, View]
Encoders = Mapping[str, Encoder]


def build(encoders: Encoders, **options: object) -> CLIP:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return CLIP(CLIPConfig(**{"projection": 6, **options}), encoders, FACTS).double()


def some(names: Sequence[str], encoders: Encoders, views: Views) -> tuple[Encoders, list[View]]:
    return {name: encoders[name] for name in names}, [views[name] for name in names]


def with_missing(views: Views) -> dict[str, View]:
    return {name: replace(view, present=MISSING[name]) for name, view in views.items()}


def slow_loss(one: Tensor, other: Tensor, scale: float) -> Tensor:
    """Figure 3 of the paper, number by number: projected features (n, P) of n pairs -> mean of both cross-entropies."""
    losses = []
    for queries, candidates in ((one, other), (other, one)):
        for i, query in enumerate(queries):
            cosines = [query @ candidate / (query.norm() * candidate.norm()) for candidate in candidates]
            exponentials = [torch.exp(scale * cosine) for cosine in cosines]
            losses.append(-torch.log(exponentials[i] / torch.stack(exponentials).sum()))
    return torch.stack(losses).mean()


def slow_terms(clip: CLIP, encoders: Encoders, views: Views) -> dict[str, Tensor]:
    """Term -> loss over the samples that have both cells."""
    terms = {}
    for one, other in combinations(encoders, 2):
        both = views[one].present & views[other].present
        pair = [clip.projection(name)(encoders[name].pool(encoders[name](views[name])))[both] for name in (one, other)]
        terms[f"{one}-{other}"] = slow_loss(pair[0], pair[1], clip.log_scale.exp().item())
    return terms


@pytest.mark.parametrize("names", [("image", "text"), ("text", "sound", "image")])
@pytest.mark.parametrize("missing", [False, True])
def test_loss_is_that_of_the_paper(names: Sequence[str], missing: bool, encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(names, encoders, with_missing(views) if missing else views)
    clip = build(encoders, temperature=0.3)
    step = take_step(clip, ordered, encoders)
    expected = slow_terms(clip, encoders, {view.encoder: view for view in ordered})
    assert step.sums.keys() == step.counts.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(step.sums[term] / step.counts[term], value, rtol=1e-12, atol=0)
    torch.testing.assert_close(step.loss, torch.stack(list(expected.values())).sum(), rtol=1e-12, atol=0)
    slow = torch.autograd.grad(torch.stack(list(expected.values())).sum(), clip.projection(names[0]).weight)[0]
    fast = step.gradients[f"objective.projections.{names[0]}.weight"]
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("names", [("image", "text"), ("image", "text", "sound")])
def test_micro_batches_and_processes_change_nothing(names: Sequence[str], encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(names, encoders, with_missing(views))
    check_objective(build(encoders), ordered, encoders)


def test_counts_are_pairs(encoders: Encoders, views: Views) -> None:
    step = take_step(build(encoders), list(with_missing(views).values()), encoders)
    assert step.counts == {"image-text": 4, "image-sound": 3, "text-sound": 3}


def test_what_stands_in_for_a_missing_cell_changes_nothing(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, with_missing(views))
    noisy = []
    for view in ordered:
        values = view.inputs["values"].clone()
        values[~view.present] += 3.0
        noisy.append(view.with_inputs(values=values))
    clip = build(encoders)
    first, second = take_step(clip, ordered, encoders), take_step(clip, noisy, encoders)
    assert torch.equal(first.loss, second.loss)
    for name, gradient in first.gradients.items():
        torch.testing.assert_close(gradient, second.gradients[name], rtol=1e-12, atol=1e-14)


def test_a_batch_without_any_pair_has_no_loss(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, views)
    ordered[1] = replace(ordered[1], present=torch.zeros(6, dtype=torch.bool))
    step = take_step(build(encoders), ordered, encoders)
    assert step.loss == 0
    assert all(not gradient.any() for gradient in step.gradients.values())


def test_accuracy_counts_counterparts_that_are_found(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, with_missing(views))
    clip = build(encoders)
    step = take_step(clip, ordered, encoders)
    both = MISSING["image"] & MISSING["text"]
    similarity = step.outputs["image.embedding"][both] @ step.outputs["text.embedding"][both].T
    diagonal = torch.arange(4)
    assert step.monitors["image->text.accuracy"] == (similarity.argmax(dim=1) == diagonal).double().mean()
    assert step.monitors["text->image.accuracy"] == (similarity.argmax(dim=0) == diagonal).double().mean()
    assert step.monitors["scale"] == pytest.approx(1 / 0.07)


def test_space_of_comparison_is_that_of_training(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, views)
    clip = build(encoders)
    outputs = take_step(clip, ordered, encoders).outputs
    for view in ordered:
        embedded = clip.embed(view.encoder, encoders[view.encoder].pool(encoders[view.encoder](view)))
        torch.testing.assert_close(embedded, outputs[f"{view.encoder}.embedding"])
        torch.testing.assert_close(embedded.norm(dim=1), torch.ones(6, dtype=torch.float64))


def test_embeddings_are_float32_under_autocast(encoders: Encoders, views: Views) -> None:
    encoders = {name: encoders[name].float() for name in ("image", "text")}
    ordered = [views[name].with_inputs(values=views[name].inputs["values"].float()) for name in encoders]
    clip = build(encoders).float()
    context = Context(step=0, steps=1, epoch=0, seed=0, encoders=encoders)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = clip.represent(ordered, encoders, context)
    assert {value.dtype for value in outputs.values()} == {torch.float32}
    torch.testing.assert_close(outputs["image.embedding"].norm(dim=1), torch.ones(6), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("before", "after"), [(9.0, math.log(50.0)), (-1.0, 0.0), (2.0, 2.0)])
def test_scale_stays_between_one_and_its_largest(before: float, after: float, encoders: Encoders) -> None:
    clip = build(encoders, max_scale=50.0)
    context = Context(step=0, steps=1, epoch=0, seed=0)
    with torch.no_grad():
        clip.log_scale.fill_(before)
        clip.after_step({}, {}, encoders, context)
    assert clip.log_scale.item() == pytest.approx(after)
    assert clip.log_scale.shape == (1,)


def test_scale_learns_without_weight_decay(encoders: Encoders, views: Views) -> None:
    encoders, ordered = some(("image", "text"), encoders, views)
    clip = build(encoders)
    assert take_step(clip, ordered, encoders).gradients["objective.log_scale"].abs() > 0
    groups = parameter_groups(clip, {}, weight_decay=0.2)
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decay == {"log_scale": 0.0, **{f"projections.{name}.weight": 0.2 for name in encoders}}


def test_new_projections_keep_lengths(encoders: Encoders) -> None:
    clip = CLIP(CLIPConfig(projection=4000), encoders, FACTS)
    for name, encoder in encoders.items():
        assert clip.projection(name).weight.std().item() == pytest.approx(encoder.width**-0.5, rel=0.05)


def test_impossible_options_are_named(encoders: Encoders) -> None:
    with pytest.raises(ValueError, match="needs two modalities; add another under modalities"):
        build({"image": encoders["image"]})
    with pytest.raises(ValidationError, match=r"temperature 0.001 must lie between 1 / max_scale \(0.01\) and 1"):
        CLIPConfig(temperature=0.001)
    with pytest.raises(ValidationError, match="temperature"):
        CLIPConfig(temperature=0)
