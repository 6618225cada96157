"""A small network on points."""

import torch
from pydantic import Field
from torch import nn

from unlabeled import Config, Encoded, Encoder, Layout, Tokens, gather_tokens


class TowerConfig(Config):
    width: int = Field(default=8, ge=1, description="of a token")


class Tower(Encoder):
    Config = TowerConfig
    provides = frozenset({"tokens", "class-token", "mask-token", "drop-tokens", "patches", "layers"})

    def __init__(self, config, modality):
        super().__init__(config, modality)
        self.width = config.width
        self.embedding = nn.Linear(2, config.width)
        self.inner = nn.Linear(config.width, config.width)
        self.outer = nn.Linear(config.width, config.width)
        self.class_token = nn.Parameter(torch.full((1, 1, config.width), 0.1))
        self.mask_token = nn.Parameter(torch.full((config.width,), 0.2))

    def layout(self, batch):
        points, mask = batch.inputs["points"], batch.inputs.get("attention_mask")
        if mask is None:
            return Layout.dense((points.shape[1],), len(points), points.device)
        return Layout((points.shape[1],), mask.sum(dim=1), mask.bool())

    def patches(self, batch):
        return batch.inputs["points"]

    def unpatch(self, patches, batch):
        return patches

    def embed(self, batch):
        mask = batch.inputs.get("attention_mask")
        values = self.embedding(batch.inputs["points"])
        prefix = self.class_token.expand(len(values), -1, -1)
        return Tokens(values, prefix=prefix, padding=None if mask is None else mask.bool())

    def replace(self, tokens, mask):
        token = self.mask_token.to(tokens.values.dtype)
        return tokens.with_values(torch.where(mask.unsqueeze(-1), token, tokens.values))

    def encode(self, tokens, *, keep=None, layers=None):
        values, padding = tokens.values, tokens.padding
        if keep is not None:
            values = gather_tokens(values, keep)
            padding = None if padding is None else padding.gather(1, keep)
        hidden = values + self.inner(values).tanh()
        real = torch.ones(hidden.shape[:2], dtype=torch.bool) if padding is None else padding
        weight = real.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=1)
        context = self.outer(mean + tokens.prefix).tanh()
        values = hidden + context
        return Encoded(values, prefix=context, padding=padding, layers=(hidden, values) if layers else ())

    def pool(self, encoded):
        return encoded.prefix[:, 0]
