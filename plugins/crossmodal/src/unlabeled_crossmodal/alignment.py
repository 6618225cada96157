"""What objectives that align two or more encoders in one space have in common."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from unlabeled import Config, Context, Encoder, Facts, Loss, Objective, View, ViewSpec
from unlabeled_crossmodal.dual_encoder import export_dual_encoder
from unlabeled_standard.contrastive import Contrast


class AlignmentConfig(Config):
    """Options of every alignment."""

    projection: Annotated[int, Field(ge=1)] = Field(
        default=512, description="width of the common space (512 for ViT-B/32; Radford et al., 2021, table 20)"
    )
    max_scale: Annotated[float, Field(ge=1)] = Field(
        default=100.0,
        description="largest factor of the cosines, as larger ones made training unstable (Radford et al., 2021, section 2.5)",
    )
    role: str = Field(default="weak", description="augmentation pipeline; CLIP crops at random and nothing else")


class Alignment(Objective):
    """Embeddings of the same sample by two encoders agree, over every two of the encoders.

    Linear projections without bias lead to the common space. The factor of the cosines is a parameter in logarithm, kept
    between 1 and `max_scale`. Pairs of which one cell is missing neither score nor serve as negatives.
    """

    config: AlignmentConfig
    constants: tuple[str, ...] = ("scale",)

    def __init__(self, config: AlignmentConfig, encoders: Mapping[str, Encoder], facts: Facts, *, scale: float) -> None:
        """scale: the factor of the cosines to begin with."""
        super().__init__(config, encoders, facts)
        if len(encoders) < 2:
            raise ValueError("it needs two modalities; add another under modalities")
        self.names = tuple(encoders)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(encoder.pooled_width, config.projection, bias=False) for name, encoder in encoders.items()}
        )
        for name, encoder in encoders.items():
            # N(0, 1 / D), so that projections of normalised features keep their length.
            nn.init.normal_(self.projection(name).weight, std=encoder.pooled_width**-0.5)
        self.log_scale = nn.Parameter(torch.tensor([math.log(scale)]))
        self.gathers = tuple(f"{name}.{output}" for name in self.names for output in ("embedding", "present"))

    @classmethod
    def view_specs(cls, config: AlignmentConfig) -> tuple[ViewSpec, ...]:  # type: ignore[override]
        """One view of each encoder."""
        return (ViewSpec(config.role),)

    @abstractmethod
    def contrasts(
        self, one: Tensor, other: Tensor, present: Tensor, constants: Mapping[str, Tensor], rows: slice
    ) -> Sequence[Contrast]:
        """The contrast of own rows from one to other and, where the loss has two directions, from other to one.

        one and other (R, P): embeddings of all rows; present (R,) bool: rows that have both cells; rows: the own ones, A
        of them. Contrasts are (A,), zeros where nothing is present.
        """

    def chance_loss(self, present: Tensor) -> Tensor | None:
        """The mean of a term where nothing can be told apart, scalar; None where the loss has no such level."""
        return None

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
        """`ONE-OTHER`: the mean of its directions' sums over own rows; monitors: accuracy of each, and the constants."""
        sums: dict[str, Tensor] = {}
        constants = {name: own[name] for name in self.constants}
        monitors = {name: value.detach().squeeze() for name, value in constants.items()}
        for one, other in combinations(self.names, 2):
            present = all[f"{one}.present"].bool() & all[f"{other}.present"].bool()
            embeddings = all[f"{one}.embedding"], all[f"{other}.embedding"]
            contrasts = self.contrasts(*embeddings, present, constants, context.rows)
            sums[_term(one, other)] = torch.stack([contrast.loss.sum() for contrast in contrasts]).mean()
            scored = present[context.rows].sum().clamp(min=1)
            chance = self.chance_loss(present)
            if chance is not None:
                monitors[f"{_term(one, other)}.chance_loss"] = chance
            for contrast, direction in zip(contrasts, ((one, other), (other, one)), strict=False):
                monitors["->".join(direction) + ".accuracy"] = contrast.correct.sum() / scored
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
