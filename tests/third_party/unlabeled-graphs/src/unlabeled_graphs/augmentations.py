"""Random changes of graphs (GraphCL: You et al., 2020): nodes or edges left out, attributes hidden."""

import torch
from pydantic import Field
from unlabeled import Config, Draws, Transform, View


class RatioConfig(Config):
    """Options of all three."""

    ratio: float = Field(default=0.1, ge=0, le=1, description="probability of each node or edge")


class DropNodes(Transform):
    """Nodes leave with their edges, and those that stay move up; at least one node stays."""

    Config = RatioConfig
    config: RatioConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """Real nodes stay the first ones of their row."""
        nodes, real = view.inputs["nodes"], view.inputs["attention_mask"].bool()
        score = draws("drop").uniform(nodes.shape[1]).masked_fill(~real, -1.0)
        stays = real & ((score >= self.config.ratio) | (score == score.amax(dim=1, keepdim=True)))
        order = (~stays).long().argsort(dim=1, stable=True)
        place = order.argsort(dim=1)  # of each node among those that stay
        start, end, kind = view.inputs["edges"].unbind(dim=2)
        kept = stays.gather(1, start) & stays.gather(1, end)
        edges = torch.stack([place.gather(1, start), place.gather(1, end), kind], dim=2) * kept.unsqueeze(2)
        return view.with_inputs(nodes=nodes.gather(1, order), attention_mask=stays.gather(1, order).long(), edges=edges)


class DropEdges(Transform):
    """Edges leave; their nodes stay."""

    Config = RatioConfig
    config: RatioConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """An edge that left has type 0, as padding has."""
        edges = view.inputs["edges"]
        stays = ~draws("drop").coin(self.config.ratio, edges.shape[1])
        return view.with_inputs(edges=edges * stays.unsqueeze(2))


class MaskAttributes(Transform):
    """Nodes keep their edges and lose their type."""

    Config = RatioConfig
    config: RatioConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """A hidden node has type 0."""
        nodes = view.inputs["nodes"]
        return view.with_inputs(nodes=nodes * ~draws("hide").coin(self.config.ratio, nodes.shape[1]))
