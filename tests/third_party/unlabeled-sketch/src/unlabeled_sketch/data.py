"""Strokes, and where they come from."""

import hashlib
import json

import numpy as np
import torch
from pydantic import Field

from unlabeled import Config, Modality, Source


class StrokeConfig(Config):
    scale: float = Field(default=1.0, gt=0, description="what points are multiplied by")


class Stroke(Modality):
    Config = StrokeConfig
    columns = ("series",)
    input_name = "points"
    channel_axis = 2

    def __init__(self, config):
        super().__init__(config)
        self.centre = np.zeros(2, dtype=np.float32)

    def decode(self, cell):
        points = np.array(cell, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
            raise ValueError("a stroke is two or more points of two numbers")
        if not np.isfinite(points).all():
            raise ValueError("a stroke has finite numbers")
        return {"points": (points - self.centre) * np.float32(self.config.scale)}

    def take(self, sample, draws, role):
        points = sample["points"]
        if role == "plain" or len(points) < 6:
            return sample
        start = int(draws("start").integers(0, 3))
        return {"points": points[start : start + len(points) - 2]}

    def pipelines(self):
        return {"weak": [{"id": "sketch/tremble"}], "strong": [{"id": "sketch/tremble", "size": 0.2}]}

    def raw(self, batch):
        points, mask = batch.inputs["points"], batch.inputs.get("attention_mask")
        weight = torch.ones(points.shape[:2]) if mask is None else mask.to(torch.float32)
        mean = (points * weight.unsqueeze(-1)).sum(dim=1) / weight.sum(dim=1, keepdim=True)
        return mean.to(torch.float32)

    def blank(self):
        return {"points": np.zeros((2, 2), dtype=np.float32)}

    def fit(self, cells):
        means = [np.asarray(cell, dtype=np.float64).mean(axis=0) for cell in cells]
        self.centre = np.mean(means, axis=0).astype(np.float32)

    def save(self, folder):
        (folder / "stroke.json").write_text(json.dumps({"centre": self.centre.tolist()}))

    def restore(self, folder):
        self.centre = np.array(json.loads((folder / "stroke.json").read_text())["centre"], dtype=np.float32)

    def show(self, sample):
        return f"{len(sample['points'])} points"


class StrokesConfig(Config):
    rows: int = Field(default=48, ge=1, description="strokes of each split")


class Strokes(Source):
    Config = StrokesConfig
    kinds = ("arc", "line")

    def __init__(self, config, split):
        if split not in self.splits(config):
            raise ValueError(f"sample:strokes has no split {split!r}; it has {', '.join(self.splits(config))}")
        super().__init__(config, split)

    @classmethod
    def splits(cls, config):
        return ("train", "test")

    def __len__(self):
        return self.config.rows

    @property
    def columns(self):
        return {"points": "series", "kind": "label"}

    def row(self, index, columns):
        if not 0 <= index < len(self):
            raise IndexError(f"sample:strokes has no row {index}")
        made = {"points": self._points, "kind": lambda index: index % 2}
        return {name: made[name](index) for name in columns}

    def fingerprint(self):
        return hashlib.sha256(f"1 {self.split} {self.config.rows}".encode()).hexdigest()[:16]

    def label_names(self, column):
        return self.kinds if column == "kind" else None

    def _points(self, index):
        random = np.random.default_rng([index, self.splits(self.config).index(self.split)])
        time = np.linspace(0, 1, 8 + index % 5)
        bend = 0.0 if index % 2 else 1.0
        points = np.stack([time, bend * time * (1 - time) * 4], axis=1)
        return (points + random.normal(0, 0.05, points.shape)).tolist()
