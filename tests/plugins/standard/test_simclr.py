"""SimCLR keeps an objective's promises and equals its slow self."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unlabeled import Facts, View
from unlabeled.testing import check_objective, make_view, take_step
from unlabeled_standard.encoders.patch import Patch
from unlabeled_standard.networks import Projector
from unlabeled_standard.objectives.simclr import SimCLR, SimCLRConfig

Build = Callable[..., Patch]
Values = Callable[..., Tensor]
FACTS = Facts(samples=100, batch_size=6, steps=10, epochs=1.0)


def two_views(values: Values, encoder: str, seed: int, present: Tensor | None = None) -> list[View]:
    return [
        make_view(
            {"values": values(6, 3, 4, 4, seed=seed + i)}, encoder=encoder, role="strong", index=i, present=present
        )
        for i in range(2)
    ]


def test_conformance(build_patch: Build, random_values: Values) -> None:
    encoders = {"left": build_patch((3, 4, 4)), "right": build_patch((3, 4, 4), width=8)}
    views = [
        *two_views(random_values, "left", 0, torch.tensor([True, True, False, True, True, True])),
        *two_views(random_values, "right", 2),
    ]
    objective = SimCLR(SimCLRConfig(projection=7), encoders, FACTS)
    check_objective(objective, views, encoders)
    step = take_step(objective, views, encoders)
    assert step.counts["contrast"] == 10 + 12
    assert set(step.monitors) == {"left.accuracy", "right.accuracy", "contrast.chance_loss"}
    # 10 views on the left and 12 on the right, each told from all others of its side.
    assert float(step.monitors["contrast.chance_loss"]) == pytest.approx((10 * math.log(9) + 12 * math.log(11)) / 22)


def test_loss_is_equation_1(build_patch: Build, random_values: Values) -> None:
    encoder = build_patch((3, 4, 4)).double()
    views = [view.with_inputs(values=view.inputs["values"].double()) for view in two_views(random_values, "left", 0)]
    objective = SimCLR(SimCLRConfig(temperature=0.3), {"left": encoder}, FACTS).double()
    projector = objective.projectors["left"]
    assert isinstance(projector, Projector)
    pooled = torch.cat([encoder.pool(encoder(view)) for view in views])
    hidden = pooled @ projector.hidden.weight.T
    centred = hidden - hidden.mean(dim=0)
    normed = (centred / (centred.square().mean(dim=0) + 1e-5).sqrt()).relu()
    projected = torch.nn.functional.normalize(projector.output(normed), dim=1)
    losses = []
    for i in range(12):
        similarity = projected @ projected[i] / 0.3
        losses.append(torch.cat([similarity[:i], similarity[i + 1 :]]).logsumexp(0) - similarity[(i + 6) % 12])
    assert torch.allclose(take_step(objective, views, {"left": encoder}).loss, torch.stack(losses).mean(), rtol=1e-12)


def test_blanks_change_nothing(build_patch: Build, random_values: Values) -> None:
    encoder = build_patch((3, 4, 4)).double()
    present = torch.tensor([True, False, True, True, True, False])
    views = [
        view.with_inputs(values=view.inputs["values"].double()) for view in two_views(random_values, "left", 0, present)
    ]
    objective = SimCLR(SimCLRConfig(), {"left": encoder}, FACTS).double()
    noisy = []
    for view in views:
        values = view.inputs["values"].clone()
        values[~present] += 1.0
        noisy.append(replace(view, inputs={"values": values}))
    first, second = (take_step(copy.deepcopy(objective), each, {"left": encoder}) for each in (views, noisy))
    assert torch.allclose(first.loss, second.loss, rtol=1e-12)
    for name, gradient in first.gradients.items():
        assert torch.allclose(gradient, second.gradients[name], atol=1e-12), name
