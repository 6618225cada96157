"""CLIP: what belongs to the same sample is found among what belongs to others."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor

from unlabeled import Encoder, Facts
from unlabeled_crossmodal.alignment import Alignment, AlignmentConfig
from unlabeled_standard.contrastive import Contrast, symmetric_info_nce


class CLIPConfig(AlignmentConfig):
    """Options of CLIP."""

    temperature: Annotated[float, Field(gt=0)] = Field(
        default=0.07, description="initial temperature, then learned (section 2.5)"
    )

    @model_validator(mode="after")
    def _within_bounds(self) -> "CLIPConfig":
        if self.temperature * self.max_scale < 1 or self.temperature > 1:
            raise ValueError(
                f"temperature {self.temperature} must lie between 1 / max_scale ({1 / self.max_scale:g}) and 1"
            )
        return self


class CLIP(Alignment):
    """Symmetric InfoNCE between the encoders, over every two of them (Radford et al., 2021, figure 3)."""

    Config = CLIPConfig

    def __init__(self, config: CLIPConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts, scale=1.0 / config.temperature)

    def contrasts(
        self, one: Tensor, other: Tensor, present: Tensor, constants: Mapping[str, Tensor], rows: slice
    ) -> Sequence[Contrast]:
        """InfoNCE in both directions."""
        return symmetric_info_nce(one, other, rows, 1.0 / constants["scale"], present)

    def chance_loss(self, present: Tensor) -> Tensor:
        """The logarithm of the number of candidates."""
        return present.sum().clamp(min=1).log()
