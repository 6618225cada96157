"""Attribute masking: what was a hidden node? (Hu et al., 2020, section 3.1.2)"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from unlabeled import Config, Context, Encoder, Facts, Loss, Objective, View, ViewSpec

MASKING = {"id": "standard/random-masking", "ratio": 0.15}


class MaskedNodePrediction(Objective):
    """Predicts the types of masked nodes from the nodes around them.

    Shapes: B rows, N nodes, D width, K node types.
    """

    requires = frozenset({"tokens", "mask-token"})
    views = (ViewSpec("plain", masks={"hidden": MASKING}),)

    def __init__(self, config: Config, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts)
        (encoder,) = encoders.values()
        self.predictor = nn.Linear(encoder.width, encoder.modality.config.node_types)

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """`prediction` (B,): the summed cross-entropy of the row's masked nodes."""
        (view,) = views
        encoder = encoders[view.encoder]
        masked = _masked(view)
        logits = self.predictor(encoder.encode(encoder.replace(encoder.embed(view), masked)).values)
        target = (view.inputs["nodes"] - 1).clamp(min=0)
        surprise = cross_entropy(logits.transpose(1, 2), target, reduction="none")
        return {"prediction": (surprise * masked).sum(dim=1)}

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """`prediction`: the masked nodes of rows that have a cell."""
        return {"prediction": _masked(views[0]).sum()}

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        """`prediction`: the cross-entropy of the masked nodes."""
        return Loss({"prediction": own["prediction"].sum()})


def _masked(view: View) -> Tensor:
    return view.masks["hidden"] & view.present.unsqueeze(1)
