"""Graphs: nodes and edges of a few types, as padded rows."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence
from unlabeled import Batch, ComponentSpec, Config, Modality, Sample


class GraphConfig(Config):
    """Options of `graphs/graph`."""

    node_types: int = Field(default=12, ge=1, description="attributes that a node can have, 0 to node_types - 1")
    edge_types: int = Field(default=3, ge=1, description="attributes that an edge can have, 0 to edge_types - 1")
    max_nodes: int = Field(default=64, ge=1, description="larger graphs are set aside")


class Graph(Modality):
    """Undirected graphs; cells are {"nodes": [type, ...], "edges": [[from, to, type], ...]}, or that as JSON.

    A batch holds `nodes` (B, N): 1 + type, or 0 where it is hidden; `attention_mask` (B, N): 1 where there is a node;
    `edges` (B, E, 3): from, to and 1 + type, or 0 where there is no edge.
    """

    Config = GraphConfig
    config: GraphConfig
    columns: ClassVar[tuple[str, ...]] = ("other", "text")
    input_name: ClassVar[str] = "nodes"
    channel_axis: ClassVar[int | None] = None

    def decode(self, cell: Any) -> Sample:
        """Arrays `nodes` (N,) and `edges` (E, 3)."""
        try:
            graph = json.loads(cell) if isinstance(cell, (str, bytes)) else cell
            nodes = np.asarray(graph["nodes"])
            edges = np.asarray(graph["edges"]).reshape(-1, 3)
        except (TypeError, KeyError, ValueError):
            raise ValueError('a graph is {"nodes": [type, ...], "edges": [[from, to, type], ...]}') from None
        if nodes.ndim != 1 or not 1 <= len(nodes) <= self.config.max_nodes:
            raise ValueError(f"the graph has {nodes.size} nodes, not 1 to {self.config.max_nodes}")
        limits = np.array([len(nodes), len(nodes), self.config.edge_types])
        for name, values, limit in (("nodes", nodes, self.config.node_types), ("edges", edges, limits)):
            whole = values.size == 0 or np.issubdtype(values.dtype, np.integer)
            if not whole or (values < 0).any() or (values >= limit).any():
                raise ValueError(f"{name} of the graph name a node or type that does not exist; both count from 0")
        return {"nodes": nodes.astype(np.int64) + 1, "edges": (edges + [0, 0, 1]).astype(np.int64)}

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Nodes and edges, each padded to the longest row of its own."""
        batch = {name: pad_sequence([torch.from_numpy(s[name]) for s in samples], True) for name in ("nodes", "edges")}
        lengths = torch.tensor([len(sample["nodes"]) for sample in samples])
        return {**batch, "attention_mask": (torch.arange(batch["nodes"].shape[1]) < lengths.unsqueeze(1)).long()}

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """The augmentations of GraphCL (You et al., 2020, table 1) that suit molecules."""
        names = ("drop-nodes", "drop-edges", "mask-attributes")
        return {"weak": [], "strong": [{"id": f"graphs/{name}"} for name in names]}

    def raw(self, batch: Batch) -> Tensor:
        """(B, node_types + edge_types): how many nodes and edges of each type there are."""
        nodes = one_hot(batch.inputs["nodes"], self.config.node_types + 1)[..., 1:]
        edges = one_hot(batch.inputs["edges"][..., 2], self.config.edge_types + 1)[..., 1:]
        return torch.cat([nodes.sum(dim=1), edges.sum(dim=1)], dim=1).float()

    def blank(self) -> Sample:
        """One hidden node."""
        return {"nodes": np.zeros(1, dtype=np.int64), "edges": np.zeros((0, 3), dtype=np.int64)}

    def show(self, sample: Sample) -> str:
        """Types of the nodes, and the edges."""
        edges = " ".join(f"{start}-{end}" for start, end, _ in sample["edges"])
        return f"nodes {' '.join(map(str, sample['nodes']))}; edges {edges}"
