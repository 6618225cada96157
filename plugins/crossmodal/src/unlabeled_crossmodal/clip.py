"""CLIP: what belongs to the same sample is found among what belongs to others."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from unlabeled import Config, Context, Encoder, Facts, Loss, Objective, View, ViewSpec
from unlabeled_crossmodal.dual_encoder import export_dual_encoder
from unlabeled_standard.contrastive import info_nce


class CLIPConfig(Config):
    """Options of CLIP."""

    projection: Annotated[int, Field(ge=1)] = Field(
        default=512, description="width of the common space (512 for ViT-B/32; Radford et al., 2021, table 20)"
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        default=0.07, description="initial temperature, then learned (section 2.5)"
    )
    max_scale: Annotated[float, Field(ge=1)] = Field(
        default=100.0, description="largest factor of the cosines, as larger ones made training unstable (section 2.5)"
    )
    role: str = Field(default="weak", description="augmentation pipeline; CLIP crops at random and nothing else")

    @model_validator(mode="after")
    def _within_bounds(self) -> "CLIPConfig":
        if self.temperature * self.max_scale < 1 or self.temperature > 1:
            raise ValueError(
                f"temperature {self.temperature} must lie between 1 / max_scale ({1 / self.max_scale:g}) and 1"
            )
        return self


class CLIP(Objective):
    """Symmetric InfoNCE between the encoders, over every two of them (Radford et al., 2021, figure 3).

    Linear projections without bias lead to the common space. The temperature is a parameter in logarithm, kept where the
    factor of the cosines is at most `max_scale`. Pairs of which one cell is missing neither score nor serve as negatives.
    """

    Config = CLIPConfig
    config: CLIPConfig
    constants = ("scale",)

    def __init__(self, config: CLIPConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts)
        if len(encoders) < 2:
            raise ValueError("crossmodal/clip needs two modalities; add another under modalities")
        self.names = tuple(encoders)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(encoder.pooled_width, config.projection, bias=False) for name, encoder in encoders.items()}
        )
        for name, encoder in encoders.items():
            # N(0, 1 / D), so that projections of normalised features keep their length.
            nn.init.normal_(self.projection(name).weight, std=encoder.pooled_width**-0.5)
        self.log_scale = nn.Parameter(torch.tensor([math.log(1.0 / config.temperature)]))
        self.gathers = tuple(f"{name}.{output}" for name in self.names for output in ("embedding", "present"))

    @classmethod
    def view_specs(cls, config: CLIPConfig) -> tuple[ViewSpec, ...]:  # type: ignore[override]
        """One view of each encoder."""
        return (ViewSpec(config.role),)

    def projection(self, name: str) -> nn.Linear:
        """The map from an encoder's features to the common space."""
        layer = self.projections[name]
        assert isinstance(layer, nn.Linear)
        return layer

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """`NAME.embedding` (B, P) of length one; `NAME.present` (B,) 1 or 0; the constant `scale` (1,)."""
        outputs = {"scale": self.log_scale.exp()}
        for view in views:
            projected = self.projection(view.encoder)(context.pooled(view))
            # Normalised in float32 at least: in half precision the norm of small features is lost.
            wide = projected.to(torch.promote_types(projected.dtype, torch.float32))
            outputs[f"{view.encoder}.embedding"] = functional.normalize(wide, dim=1)
            outputs[f"{view.encoder}.present"] = view.present.to(wide.dtype)
        return outputs

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """Term of each pair of encoders: the rows that have both cells."""
        present = {view.encoder: view.present for view in views}
        return {_term(one, other): (present[one] & present[other]).sum() for one, other in combinations(self.names, 2)}

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        """`ONE-OTHER`: half the sum of both directions' cross-entropies, over own rows; monitors: accuracy and scale."""
        sums: dict[str, Tensor] = {}
        monitors = {"scale": own["scale"].detach().squeeze()}
        for one, other in combinations(self.names, 2):
            both = all[f"{one}.present"].bool() & all[f"{other}.present"].bool()
            places = torch.arange(len(both), device=both.device)[context.rows]
            scored = both[context.rows]
            terms = []
            for query, candidate in ((one, other), (other, one)):
                contrast = info_nce(
                    own[f"{query}.embedding"], all[f"{candidate}.embedding"], places, 1.0 / own["scale"], both
                )
                terms.append(torch.where(scored, contrast.loss, 0.0).sum())
                found = (contrast.correct & scored).sum()
                monitors[f"{query}->{candidate}.accuracy"] = found / scored.sum().clamp(min=1)
            sums[_term(one, other)] = torch.stack(terms).mean()
            monitors[f"{_term(one, other)}.chance_loss"] = both.sum().clamp(min=1).log()
        return Loss(sums, monitors=monitors)

    def after_step(
        self,
        all: Mapping[str, Tensor],
        statistics: Mapping[str, Tensor],
        encoders: Mapping[str, Encoder],
        context: Context,
    ) -> None:
        """Keep the scale between 1 and `max_scale`."""
        self.log_scale.clamp_(0.0, math.log(self.config.max_scale))

    def embed(self, encoder: str, pooled: Tensor) -> Tensor:
        """(B, P): pooled features (B, D) in the common space, of length one."""
        return functional.normalize(self.projection(encoder)(pooled), dim=1)

    def export(self, folder: Path, encoders: Mapping[str, Encoder]) -> Sequence[str]:
        """`dual-encoder`: a VisionTextDualEncoderModel, where the two encoders are an image and a text model of transformers."""
        projections = {name: self.projection(name) for name in self.names}
        written = export_dual_encoder(folder / "dual-encoder", encoders, projections, self.log_scale.item())
        return ("dual-encoder",) if written else ()


def _term(one: str, other: str) -> str:
    return f"{one}-{other}"
