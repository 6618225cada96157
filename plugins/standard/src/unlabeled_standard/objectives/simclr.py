"""SimCLR: two augmented views of a sample agree, views of different samples do not."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled import Config, Context, Encoder, Facts, Loss, Objective, View, ViewSpec
from unlabeled_standard.contrastive import nt_xent
from unlabeled_standard.networks import Projector


class SimCLRConfig(Config):
    """Options of SimCLR."""

    temperature: Annotated[float, Field(gt=0)] = Field(
        default=0.1,
        description="tau of equation 1 (0.1 for large batches, 0.5 for CIFAR-10; section 5.1, appendix B.9)",
    )
    hidden: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="width of the projector's hidden layer; default: the encoder's width"
    )
    projection: Annotated[int, Field(ge=1)] = Field(default=128, description="width of the projections (section 4.2)")


class SimCLR(Objective):
    """Contrastive learning of two views of each sample (Chen et al., 2020), for each encoder on its own.

    The projector sees both views of all processes at once, so that its batch normalisation has 2 B rows. Rows without a
    cell neither score nor serve as negatives.
    """

    Config = SimCLRConfig
    config: SimCLRConfig
    views = (ViewSpec("strong", 2),)

    def __init__(self, config: SimCLRConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts)
        self.names = tuple(encoders)
        self.projectors = nn.ModuleDict(
            {
                name: Projector(encoder.pooled_width, config.hidden or encoder.width, config.projection)
                for name, encoder in encoders.items()
            }
        )
        self.gathers = tuple(f"{name}.{output}" for name in encoders for output in ("first", "second", "present"))

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """`NAME.first` and `NAME.second` (B, D): pooled features of the views; `NAME.present` (B,): 1 or 0."""
        outputs: dict[str, Tensor] = {}
        for first, second in zip(views[::2], views[1::2], strict=True):
            outputs[f"{first.encoder}.first"] = context.pooled(first)
            outputs[f"{first.encoder}.second"] = context.pooled(second)
            outputs[f"{first.encoder}.present"] = first.present.to(outputs[f"{first.encoder}.first"].dtype)
        return outputs

    def head(self, outputs: dict[str, Tensor], context: Context) -> dict[str, Tensor]:
        """The features (B, D) as projections (B, P), those of blanks as zeros."""
        projected = dict(outputs)
        for name in self.names:
            pair = torch.stack([outputs[f"{name}.first"], outputs[f"{name}.second"]])
            present = outputs[f"{name}.present"].bool().expand(2, -1)
            projections = pair.new_zeros(*pair.shape[:2], self.config.projection)
            projections[present] = self.projectors[name](pair[present])
            projected[f"{name}.first"], projected[f"{name}.second"] = projections
        return projected

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """`contrast`: the views that are no blanks."""
        return {"contrast": torch.stack([view.present.sum() for view in views]).sum()}

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        """`contrast`: NT-Xent summed over own views; `NAME.accuracy`: how often the positive is the nearest."""
        terms, monitors, views = [], {}, []
        for name in self.names:
            present = all[f"{name}.present"].bool()
            contrast = nt_xent(
                all[f"{name}.first"], all[f"{name}.second"], context.rows, self.config.temperature, present
            )
            terms.append(contrast.loss.sum())  # zeros for what is not there
            monitors[f"{name}.accuracy"] = contrast.correct.sum() / (2 * present[context.rows].sum()).clamp(min=1)
            views.append(2.0 * present.sum())
        # Each view is told from all others of its encoder, so 2 R - 1 candidates.
        scores = torch.stack(views)
        monitors["contrast.chance_loss"] = (scores * (scores - 1).clamp(min=1).log()).sum() / scores.sum().clamp(min=1)
        return Loss({"contrast": torch.stack(terms).sum()}, monitors=monitors)
