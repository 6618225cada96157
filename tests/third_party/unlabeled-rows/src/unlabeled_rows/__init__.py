"""Rows of numbers: a modality, an encoder, an augmentation and an objective of one's own."""

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import normalize

from unlabeled import Config, Encoded, Encoder, Loss, Modality, Objective, Tokens, Transform, ViewSpec


class Row(Modality):
    class Config(Config):
        width: int = Field(ge=1, description="numbers of a row")

    columns = ("series",)
    input_name = "values"

    def decode(self, cell):
        values = np.asarray(cell, dtype=np.float32).reshape(-1)
        if len(values) != self.config.width or not np.isfinite(values).all():
            raise ValueError(f"expected {self.config.width} finite numbers")
        return {"values": values}

    def pipelines(self):
        return {"strong": [{"id": "rows/corrupt"}]}


class Perceptron(Encoder):
    def __init__(self, config, modality):
        super().__init__(config, modality)
        self.width = 64
        self.layers = nn.Sequential(nn.Linear(modality.config.width, 128), nn.GELU(), nn.Linear(128, 64))

    def embed(self, batch):
        return Tokens(batch.inputs["values"].unsqueeze(1))

    def encode(self, tokens, *, keep=None, layers=None):
        return Encoded(self.layers(tokens.values))


class Corrupt(Transform):
    def __call__(self, view, draws):
        values = view.inputs["values"]
        hit = draws("hit").coin(0.3, values.shape[1])
        return view.with_inputs(values=torch.where(hit, draws("noise").normal(values.shape[1]), values))


class AlignUniform(Objective):
    views = (ViewSpec("strong", count=2),)
    gathers = ("first", "second")

    def represent(self, views, encoders, context):
        first, second = (normalize(context.pooled(view), dim=1) for view in views)
        return {"first": first, "second": second}

    def loss(self, own, all, context):
        align = (own["first"] - own["second"]).square().sum()
        spread = torch.pdist(torch.cat([all["first"], all["second"]])).square().mul(-2).exp().mean().log()
        return Loss({"align": align, "uniform": spread * len(own["first"])})
