"""The conformance kit passes what keeps its promises and names the promise that is broken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlabeled import (
    Batch,
    Config,
    Context,
    Draws,
    Encoded,
    Encoder,
    Facts,
    Layout,
    Loss,
    Masking,
    Modality,
    Objective,
    Sample,
    Tokens,
    Transform,
    UnlabeledError,
    View,
    ViewSpec,
)
from unlabeled.testing import check_encoder, check_export, check_masking, check_objective, check_transform, make_view
from unlabeled.testing.augmentations import PROMISES, TransformCase


class Values(Modality):
    input_name = "values"

    def decode(self, cell: Any) -> Sample:
        return {"values": np.asarray(cell, dtype=np.float32)}


class Linear(Encoder):
    provides = frozenset({"tokens", "mask-token", "drop-tokens", "patches", "layers"})

    def __init__(self, width: int = 3) -> None:
        super().__init__(Config(), Values(Config()))
        self.width = width
        self.linear = nn.Linear(2, width)
        self.mask_token = nn.Parameter(torch.ones(width))

    def embed(self, batch: Batch) -> Tokens:
        mask = batch.inputs.get("attention_mask")
        return Tokens(self.linear(self.patches(batch)), padding=None if mask is None else mask.bool())

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        values = tokens.values.tanh()
        if keep is not None:
            values = values.gather(1, keep.unsqueeze(-1).expand(-1, -1, self.width))
        return Encoded(values, padding=tokens.padding if keep is None else None, layers=(values,) if layers else ())

    def layout(self, batch: Batch) -> Layout:
        values = batch.inputs["values"]
        mask = batch.inputs.get("attention_mask")
        if mask is None:
            return Layout.dense((values.shape[1] // 2,), len(values), values.device)
        return Layout((values.shape[1] // 2,), mask.sum(dim=1), mask.bool())

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        return tokens.with_values(torch.where(mask.unsqueeze(-1), self.mask_token, tokens.values))

    def patches(self, batch: Batch) -> Tensor:
        return batch.inputs["values"].unflatten(1, (-1, 2))

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        return patches.flatten(1)


class Jitter(Transform):
    def __call__(self, view: View, draws: Draws) -> View:
        noise = draws("noise").normal(view.inputs["values"].shape[1])
        return view.with_inputs(values=view.inputs["values"] + noise)


class Half(Masking):
    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        return draws("half").subset(layout.maskable, layout.lengths // 2)


class Spread(Objective):
    """Pulls views together and rows apart."""

    views = (ViewSpec(count=2),)
    gathers: tuple[str, ...] = ("first", "second")

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(Config(), {"encoder": encoder}, Facts(100, 5, 10, 1.0))
        self.projector = nn.Linear(encoder.width, 4)
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(4))

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        pooled = [encoders[view.encoder].pool(encoders[view.encoder](view)) for view in views]
        return {"first": self.projector(pooled[0]), "second": self.projector(pooled[1])}

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        distances = torch.cdist(own["first"], all["second"] - self.centre)
        total = context.total(own["first"].sum(dim=0))
        return Loss(
            {"contrast": distances.logsumexp(dim=1).sum()},
            {"mean": own["first"].detach().sum(dim=0)},
            {"total": total.sum()},
        )

    def after_step(self, all: Any, statistics: Mapping[str, Tensor], encoders: Any, context: Context) -> None:
        self.centre.lerp_(statistics["mean"], 0.1)


@pytest.fixture
def view() -> View:
    return make_view({"values": torch.randn(5, 8, generator=torch.Generator().manual_seed(0))})


def test_sound_components_pass(view: View, tmp_path: Any) -> None:
    check_transform(Jitter(Config()), view)
    check_masking(Half(Config()), Layout.dense((8,), 5, view.device))
    encoder = Linear()
    check_encoder(encoder, view, reference=lambda batch: encoder(batch).values)
    check_export(encoder, view, tmp_path / "export")
    check_objective(Spread(encoder), [view, replace(view, index=1)], {"encoder": encoder})


def test_padding_is_ignored() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    values = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    check_encoder(Linear(), make_view({"values": values, "attention_mask": mask}))


class InPlace(Jitter):
    def __call__(self, view: View, draws: Draws) -> View:
        view.inputs["values"].add_(1)
        return view


class BatchMean(Jitter):
    def __call__(self, view: View, draws: Draws) -> View:
        return view.with_inputs(values=view.inputs["values"] - view.inputs["values"].mean(dim=0))


class Widened(Jitter):
    def __call__(self, view: View, draws: Draws) -> View:
        return view.with_inputs(values=view.inputs["values"].double())


@pytest.mark.parametrize(
    ("broken", "promise"),
    [(InPlace, "in place"), (BatchMean, "depends on the other samples"), (Widened, "dtype")],
)
def test_broken_transforms_are_named(broken: type[Transform], promise: str, view: View) -> None:
    with pytest.raises(AssertionError, match=f"{broken.__name__}: .*{promise}"):
        check_transform(broken(Config()), view)


class DropNodes(Transform):
    """Of batches that are not dense: the nodes of all graphs one after the other, and the graph of each."""

    def __call__(self, view: View, draws: Draws) -> View:
        graph = view.inputs["graph"]
        place = torch.arange(len(graph)) - torch.searchsorted(graph, graph)
        kept = draws("node").uniform(8)[graph, place] < 0.7
        return view.with_inputs(**{name: value[kept] for name, value in view.inputs.items()})


def test_batches_of_graphs_need_not_be_dense() -> None:
    sizes, ids = [3, 1, 4], torch.tensor([5, 6, 7])
    nodes = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)).split(sizes)

    def rows(part: slice) -> View:
        chosen = nodes[part]
        graph = torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor([len(each) for each in chosen]))
        present = torch.ones(len(chosen), dtype=torch.bool)
        return make_view({"nodes": torch.cat(chosen), "graph": graph}, ids=ids[part], present=present)

    case = TransformCase(DropNodes(Config()), rows(slice(None)), rows)
    for check in PROMISES.values():
        check(case)


class Everything(Masking):
    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        return torch.ones_like(layout.maskable)


class ByLongest(Masking):
    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        return draws("half").subset(layout.maskable, int(layout.lengths.max()) // 2)


@pytest.mark.parametrize(
    ("broken", "promise"), [(Everything, "not maskable"), (ByLongest, "depends on the other samples")]
)
def test_broken_maskings_are_named(broken: type[Masking], promise: str) -> None:
    lengths = torch.tensor([3, 8])
    layout = Layout((8,), lengths, torch.arange(8) < lengths.unsqueeze(1))
    check_masking(Half(Config()), layout)
    with pytest.raises(AssertionError, match=f"{broken.__name__}: .*{promise}"):
        check_masking(broken(Config()), layout)


class Centred(Linear):
    def embed(self, batch: Batch) -> Tokens:
        tokens = super().embed(batch)
        return tokens.add(-tokens.values.mean(dim=0))


class SeesBelowMask(Linear):
    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        return tokens.add(mask.unsqueeze(-1) * self.mask_token)


@pytest.mark.parametrize(
    ("broken", "promise"), [(Centred, "depend on the other samples"), (SeesBelowMask, "still show what they were")]
)
def test_broken_encoders_are_named(broken: type[Encoder], promise: str, view: View) -> None:
    with pytest.raises(AssertionError, match=f"{broken.__name__}: .*{promise}"):
        check_encoder(broken(), view)  # type: ignore[call-arg]


def test_reference_must_be_equal(view: View) -> None:
    encoder = Linear()
    with pytest.raises(AssertionError, match="Linear: differs from the reference: maximum difference"):
        check_encoder(encoder, view, reference=lambda batch: encoder(batch).values + 1e-7)


class NotGathered(Spread):
    gathers = ("first",)

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        return super().loss(own, {**all, "second": own["second"]}, context)


class ChangesState(Spread):
    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        self.centre.add_(1)
        return super().loss(own, all, context)


class MeansOfRows(Spread):
    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        result = super().loss(own, all, context)
        return replace(result, sums={"contrast": result.sums["contrast"] / len(own["first"])})


class PerMicroBatch(Spread):
    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        outputs = super().represent(views, encoders, context)
        return {name: value - value.mean(dim=0) for name, value in outputs.items()}


class Uncoupled(Spread):
    gathers = ()

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        return Loss({"total": context.total(own["first"].sum()) * own["first"].sum()})


def test_a_total_of_an_objective_that_is_not_coupled_is_refused(view: View) -> None:
    encoder = Linear()
    with pytest.raises(UnlabeledError, match="the loss works on one micro-batch and cannot call context.total"):
        check_objective(Uncoupled(encoder), [view, replace(view, index=1)], {"encoder": encoder})


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (NotGathered, "on 2 processes"),
        (ChangesState, "changes its state"),
        (MeansOfRows, "on 2 processes"),
        (PerMicroBatch, "in 2 micro-batches"),
    ],
)
def test_broken_objectives_are_named(broken: type[Spread], promise: str, view: View) -> None:
    encoder = Linear()
    with pytest.raises(AssertionError, match=f"{broken.__name__}: .*{promise}"):
        check_objective(broken(encoder), [view, replace(view, index=1)], {"encoder": encoder})
