"""Filling in, and following a teacher."""

import copy

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import normalize

from unlabeled import Config, Loss, Objective, ViewSpec


class FillConfig(Config):
    hidden: int = Field(default=8, ge=1, description="width of the head")


class Fill(Objective):
    Config = FillConfig
    views = (ViewSpec("weak", masks={"hidden": {"id": "sketch/gaps"}}),)
    requires = frozenset({"tokens", "mask-token", "patches"})

    def __init__(self, config, encoders, facts):
        super().__init__(config, encoders, facts)
        (encoder,) = encoders.values()
        self.pen = nn.Sequential(nn.Linear(encoder.width, config.hidden), nn.GELU(), nn.Linear(config.hidden, 2))

    def represent(self, views, encoders, context):
        (view,) = views
        encoder, chosen = encoders[view.encoder], self.chosen(view)
        encoded = encoder.encode(encoder.replace(encoder.embed(view), chosen))
        drawn = self.pen(encoded.values)
        errors = (drawn - encoder.patches(view)).square().mean(dim=2)
        return {"errors": (errors * chosen).sum(dim=1)}

    def loss(self, own, all, context):
        return Loss({"fill": own["errors"].sum()})

    def counts(self, views, context):
        return {"fill": self.chosen(views[0]).sum()}

    def chosen(self, view):
        return view.masks["hidden"] & view.present.unsqueeze(1)


class Follow(Objective):
    views = (ViewSpec("weak", count=2),)
    gathers = ("query", "key")
    constants = ("scale",)

    def __init__(self, config, encoders, facts):
        super().__init__(config, encoders, facts)
        (encoder,) = encoders.values()
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.log_scale = nn.Parameter(torch.ones(1))
        self.register_buffer("centre", torch.zeros(encoder.pooled_width))
        self.register_buffer("steps", torch.zeros(1))

    def represent(self, views, encoders, context):
        with torch.no_grad():
            key = self.teacher.pool(self.teacher(views[1]))
        query = normalize(context.pooled(views[0]), dim=1)
        return {"query": query, "key": key, "scale": self.log_scale.exp()}

    def loss(self, own, all, context):
        keys = normalize(all["key"] - self.centre, dim=1)
        logits = own["query"] @ keys.T * own["scale"]
        places = torch.arange(len(keys))[context.rows]
        losses = logits.logsumexp(dim=1) - logits.gather(1, places.unsqueeze(1)).squeeze(1)
        statistics = {"keys": own["key"].detach().sum(dim=0), "rows": torch.tensor(float(len(losses)))}
        return Loss({"follow": losses.sum()}, statistics, {"scale": own["scale"].mean().detach()})

    def after_step(self, all, statistics, encoders, context):
        (encoder,) = encoders.values()
        for mine, theirs in zip(self.teacher.parameters(), encoder.parameters(), strict=True):
            mine.lerp_(theirs, 0.1)
        self.centre.lerp_(statistics["keys"] / statistics["rows"], 0.1)
        self.steps.add_(1)

    def parameter_groups(self):
        return {"log_scale": {"weight_decay": 0.0}}
