"""SigLIP: whether two things belong to the same sample is decided for each pair on its own."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled import Context, Encoder, Facts, View
from unlabeled_crossmodal.alignment import Alignment, AlignmentConfig
from unlabeled_standard.contrastive import Contrast, sigmoid_contrast


class SigLIPConfig(AlignmentConfig):
    """Options of SigLIP."""

    scale: Annotated[float, Field(ge=1)] = Field(
        default=10.0, description="initial factor t of the cosines, then learned (Zhai et al., 2023, section 3.2)"
    )
    bias: float = Field(
        default=-10.0,
        description="initial b, then learned: negatives are many, and at first no pair is taken for a positive (section 3.2)",
    )

    @model_validator(mode="after")
    def _within_bounds(self) -> "SigLIPConfig":
        if self.scale > self.max_scale:
            raise ValueError(f"scale {self.scale} must lie between 1 and max_scale ({self.max_scale:g})")
        return self


class SigLIP(Alignment):
    """The sigmoid loss over all pairs of samples, for every two encoders (Zhai et al., 2023, algorithm 1).

    A pair counts by itself, so there is one direction: own rows of one encoder with all rows of the other. Beside the
    factor of the cosines a bias is learned; it changes no order of similarities, and the exported joint model has none.
    """

    Config = SigLIPConfig
    constants = ("scale", "bias")

    def __init__(self, config: SigLIPConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts, scale=config.scale)
        self.bias = nn.Parameter(torch.tensor([config.bias]))

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """As every alignment, and the constant `bias` (1,)."""
        return {**super().represent(views, encoders, context), "bias": self.bias + 0.0}

    def contrasts(
        self, one: Tensor, other: Tensor, present: Tensor, constants: Mapping[str, Tensor], rows: slice
    ) -> Sequence[Contrast]:
        """The sigmoid loss of own rows of one with all rows of the other."""
        return (sigmoid_contrast(one, other, rows, constants["scale"], constants["bias"], present),)
