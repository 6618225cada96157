"""A graph isomorphism network whose tokens are the nodes."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot
from unlabeled import Batch, Config, Encoded, Encoder, Layout, Tokens

from unlabeled_graphs.modality import Graph


class GINConfig(Config):
    """Options of `graphs/gin`."""

    width: int = Field(default=64, ge=1, description="numbers in each token")
    layers: int = Field(default=3, ge=1, description="how far a node sees")


class GIN(Encoder):
    """GIN (Xu et al., 2019) with edge attributes (Hu et al., 2020) and layer normalisation, which sees one node alone.

    Shapes: B rows, N nodes, E edges, T edge types, D = width.
    """

    Config = GINConfig
    config: GINConfig
    modality: Graph
    provides = frozenset({"tokens", "mask-token"})

    def __init__(self, config: GINConfig, modality: Graph) -> None:
        super().__init__(config, modality)
        self.width = width = config.width
        self.nodes = nn.Embedding(modality.config.node_types + 1, width)
        self.edges = nn.ModuleList(
            nn.Linear(modality.config.edge_types, width, bias=False) for _ in range(config.layers)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.LayerNorm(width))
            for _ in range(config.layers)
        )
        self.mask_token = nn.Parameter(torch.randn(width))

    def embed(self, batch: Batch) -> Tokens:
        """Nodes as (B, N, D), with what `encode` needs of the edges: who is next to whom, by bonds of which type."""
        values = self.nodes(batch.inputs["nodes"])
        start, end, kind = batch.inputs["edges"].unbind(dim=2)
        size, types = values.shape[1], self.modality.config.edge_types
        kinds = one_hot(kind, types + 1)[..., 1:].to(values.dtype)  # (B, E, T), zeros where there is no edge
        adjacency = values.new_zeros(len(values), size * size).scatter_add(1, start * size + end, kinds.sum(dim=2))
        adjacency = adjacency.view(-1, size, size)
        bonds = values.new_zeros(len(values), size, types)
        for side in (start, end):
            bonds = bonds.scatter_add(1, side.unsqueeze(2).expand_as(kinds), kinds)
        features = {"adjacency": adjacency + adjacency.transpose(1, 2), "bonds": bonds}
        return Tokens(values, padding=batch.inputs["attention_mask"].bool(), features=features, grid=(size,))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """Each layer adds to a node the sum of its neighbours and of the bonds to them."""
        values, adjacency, bonds = tokens.values, tokens.features["adjacency"], tokens.features["bonds"]
        for edges, layer in zip(self.edges, self.layers, strict=True):
            values = values + layer(values + adjacency @ values + edges(bonds))
        return Encoded(values, padding=tokens.padding)

    def layout(self, batch: Batch) -> Layout:
        """Nodes in no order: a grid of one axis."""
        real = batch.inputs["attention_mask"].bool()
        return Layout((real.shape[1],), real.sum(dim=1), real)

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The learned vector in place of nodes; their edges stay."""
        return tokens.with_values(torch.where(mask.unsqueeze(2), self.mask_token, tokens.values))
