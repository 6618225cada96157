"""Run by Python or torchrun: trains each recipe of a JSON file {name: [recipe, overrides, run folder]}, as two_processes.py
does, with a deeper encoder and an objective that has a teacher in place of those of the example plugin.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch
import unlabeled_rows
from torch import nn
from torch.nn.functional import normalize

import unlabeled
from unlabeled import Encoded
from unlabeled.training.processes.distributed import leave


class Deep(unlabeled_rows.Perceptron):  # type: ignore[misc]
    """Three equal layers after the first, and a frozen parameter."""

    def __init__(self, config: Any, modality: Any) -> None:
        super().__init__(config, modality)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.GELU()) for _ in range(3))
        self.shift = nn.Parameter(torch.ones(1, 64), requires_grad=False)

    def encode(self, tokens: Any, *, keep: Any = None, layers: Any = None) -> Any:
        values = self.layers(tokens.values) + self.shift
        for block in self.blocks:
            values = values + block(values)
        return Encoded(values)


class Taught(unlabeled_rows.AlignUniform):  # type: ignore[misc]
    """The second view by a teacher that follows the first's encoder; head with parameters and a BatchNorm; a queue."""

    gathers = ("first", "second")

    def __init__(self, config: Any, encoders: Any, facts: Any) -> None:
        super().__init__(config, encoders, facts)
        (encoder,) = encoders.values()
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.projection = nn.Linear(64, 7)
        self.norm = unlabeled.BatchNorm(7)
        self.register_buffer("queue", torch.zeros(3, 7))

    def represent(self, views: Any, encoders: Any, context: Any) -> Any:
        with torch.no_grad():
            second = self.teacher.pool(self.teacher(views[1]))
        return {"first": context.pooled(views[0]), "second": second}

    def head(self, outputs: Any, context: Any) -> Any:
        return {name: normalize(self.norm(self.projection(value)), dim=1) for name, value in outputs.items()}

    def after_step(self, all: Any, statistics: Any, encoders: Any, context: Any) -> None:
        (encoder,) = encoders.values()
        for own, new in zip(self.teacher.parameters(), encoder.parameters(), strict=True):
            own.lerp_(new, 0.1)
        self.queue.copy_(torch.cat([all["first"][:1], self.queue[:-1]]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    unlabeled_rows.Perceptron, unlabeled_rows.AlignUniform = Deep, Taught
    for recipe, overrides, folder in json.loads(Path(sys.argv[1]).read_text()).values():
        unlabeled.train(recipe, overrides, run=folder, quiet=True)
    leave()
