"""Everything stateful that the contract offers: a teacher, a queue, statistics, a total, a temperature, numbers of samples."""

import copy
from functools import cache

import torch
from torch import nn
from torch.nn.functional import normalize

from unlabeled import Loss, Objective, ViewSpec
from unlabeled_standard.world.source import World


class Gaps(World):
    """The sample world of which every fourth cell is missing, in each column other ones."""

    def row(self, index, columns):
        config = self.config.model_dump_json()
        return {
            name: None if (index + len(name)) % 4 == 0 else cell(config, self.split, index, name) for name in columns
        }


@cache  # as many runs read the same rows
def cell(config, split, index, name):
    return World(World.Config.model_validate_json(config), split).row(index, (name,))[name]


class MomentumContrast(Objective):
    """A view finds its own key, made by a slowly moving teacher, among all keys, all other queries and a queue of old keys.

    Keys are centred by a running mean, and the loss weighs more the more alike all queries of the batch are.
    """

    views = (ViewSpec("strong", count=2),)
    gathers = ("query", "key", "present")
    constants = ("scale",)

    def __init__(self, config, encoders, facts):
        super().__init__(config, encoders, facts)
        (encoder,) = encoders.values()
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.log_scale = nn.Parameter(torch.ones(1))
        self.register_buffer("queue", torch.zeros(24, encoder.pooled_width))
        self.register_buffer("filled", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("centre", torch.zeros(encoder.pooled_width))
        self.register_buffer("last", torch.full((1,), -1))

    def represent(self, views, encoders, context):
        with torch.no_grad():
            key = self.teacher.pool(self.teacher(views[1]))
        present = views[0].present.to(key.dtype)
        query = normalize(context.pooled(views[0]), dim=1)
        return {"query": query, "key": normalize(key, dim=1), "present": present, "scale": self.log_scale.exp()}

    def counts(self, views, context):
        return {"contrast": views[0].present.sum()}

    def loss(self, own, all, context):
        rows = torch.arange(len(all["key"]))[context.rows]
        scale, present = own["scale"], own["present"]
        keys, others, old = (own["query"] @ (part - self.centre).T for part in (all["key"], all["query"], self.queue))
        places = torch.arange(len(all["key"]))
        own_key, absent = places == rows.unsqueeze(1), all["present"] == 0
        logits = torch.cat([keys, others, old], dim=1) * scale
        hidden = torch.cat([absent & ~own_key, absent | own_key, torch.zeros_like(old).bool()], dim=1)
        losses = logits.masked_fill(hidden, -torch.inf).logsumexp(dim=1) - logits.gather(1, rows.unsqueeze(1)).squeeze(
            1
        )
        alike = context.total((present.unsqueeze(1) * own["query"]).sum(dim=0)).norm()
        sums = (present.unsqueeze(1) * own["key"]).sum(dim=0)
        return Loss({"contrast": (present * losses).sum() * (1 + alike)}, {"keys": sums, "rows": present.sum()})

    def after_step(self, all, statistics, encoders, context):
        (encoder,) = encoders.values()
        for mine, theirs in zip(self.teacher.parameters(), encoder.parameters(), strict=True):
            mine.lerp_(theirs, 0.1)
        keys = all["key"][all["present"] > 0]
        self.queue.copy_(torch.cat([keys, self.queue])[: len(self.queue)])
        self.filled += len(keys)
        self.centre.lerp_(statistics["keys"] / statistics["rows"].clamp(min=1), 0.1)
        self.last.copy_(context.ids[-1:])


class NoiseAsTargets(Objective):
    """The features of a sample go to a vector that its number alone decides (here without the assignment)."""

    def __init__(self, config, encoders, facts):
        super().__init__(config, encoders, facts)
        (encoder,) = encoders.values()
        self.register_buffer("targets", torch.randn(97, encoder.pooled_width))

    def represent(self, views, encoders, context):
        present = views[0].present.unsqueeze(1)
        return {"features": torch.where(present, normalize(context.pooled(views[0]), dim=1), 0.0)}

    def loss(self, own, all, context):
        targets = normalize(self.targets[context.ids[context.rows] % len(self.targets)], dim=1)
        return Loss({"distance": (own["features"] - targets).square().sum()})
