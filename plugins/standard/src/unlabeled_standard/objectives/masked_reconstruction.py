"""Masked reconstruction: an encoder sees a few patches, a light decoder draws the others."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled import Config, Context, Encoded, Encoder, Facts, Loss, Objective, View, ViewSpec, gather_tokens
from unlabeled_standard.example import example_batch
from unlabeled_standard.networks import Block, initialise, learned_token
from unlabeled_standard.positions import sincos_positions
from unlabeled_standard.tokens import chosen_indices


class MaskedReconstructionConfig(Config):
    """Options of masked reconstruction."""

    width: Annotated[int, Field(ge=2)] = Field(default=512, description="of the decoder (MAE: 512; table 1b)")
    layers: Annotated[int, Field(ge=1)] = Field(default=8, description="of the decoder (MAE: 8; table 1a)")
    heads: Annotated[int, Field(ge=1)] = Field(default=16, description="of the decoder (MAE: 16)")
    mlp_ratio: Annotated[float, Field(gt=0)] = Field(
        default=4.0, description="width of the feed-forward parts over width"
    )
    normalise: bool = Field(
        default=True, description="targets have mean 0 and variance 1 in each patch (MAE, table 1d)"
    )
    channels: Annotated[int, Field(ge=1)] = Field(
        default=1, description="normalise each of so many channels, innermost in a patch, on its own (VideoMAE: 3)"
    )
    decode_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="share of the masked tokens that is decoded and scored, drawn anew for each view"
    )


class MaskedReconstruction(Objective):
    """The masked autoencoder (He et al., 2022, MAE), for any encoder whose tokens can be dropped and are patches.

    Rows must keep equally many tokens, in order of position. The loss is the mean squared error over the values of a
    patch, for masked patches alone; with normalised targets 1 is what predicting the mean costs.
    """

    Config = MaskedReconstructionConfig
    config: MaskedReconstructionConfig
    views = (ViewSpec("weak", masks={"mask": {"id": "standard/random-masking", "ratio": 0.75}}),)
    requires = frozenset({"tokens", "drop-tokens", "patches"})

    def __init__(self, config: MaskedReconstructionConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts)
        self.decoders = nn.ModuleDict(
            {name: Decoder(config, encoder.width, _patch_values(encoder)) for name, encoder in encoders.items()}
        )

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """`NAME` (B,): the loss of each row, summed over its decoded patches."""
        return {view.encoder: self._errors(view, encoders[view.encoder], context) for view in views}

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """`reconstruction`: the decoded patches of the rows that are no blanks."""
        decoded = [torch.where(view.present, self._decoded(view), 0).sum() for view in views]
        return {"reconstruction": torch.stack(decoded).sum()}

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        """`reconstruction`: summed over own rows."""
        return Loss({"reconstruction": torch.stack([errors.sum() for errors in own.values()]).sum()})

    def _errors(self, view: View, encoder: Encoder, context: Context) -> Tensor:
        """(B,) the mean squared error of each decoded patch, summed."""
        mask = view.masks["mask"]
        layout = encoder.layout(view)
        places = torch.arange(layout.tokens, device=mask.device)
        keep = chosen_indices((places < layout.lengths.unsqueeze(1)) & ~mask, "unmasked tokens")
        wanted = chosen_indices(context.draws(view)("decode").subset(mask, self._decoded(view)), "masked tokens")
        encoded = encoder.encode(encoder.embed(view), keep=keep)
        predicted = self.decoders[view.encoder](encoded, keep, wanted, layout.grid)
        target = gather_tokens(self._targets(encoder.patches(view)), wanted).to(predicted.dtype)
        errors = (predicted - target).square().mean(dim=2).sum(dim=1)
        return torch.where(view.present, errors, 0.0)

    def _decoded(self, view: View) -> Tensor:
        """(B,) int64: how many of its masked tokens each row decodes."""
        masked = view.masks["mask"].sum(dim=1)
        return torch.ceil(masked.to(torch.float64) * self.config.decode_fraction - 1e-9).to(torch.int64)

    def _targets(self, patches: Tensor) -> Tensor:
        """(B, N, P) each patch, or each channel of it, with mean 0 and (unbiased) variance 1 (He et al., section 3)."""
        if not self.config.normalise:
            return patches
        groups = patches.reshape(*patches.shape[:2], -1, self.config.channels)
        variance, mean = torch.var_mean(groups, dim=2, keepdim=True)
        normalised: Tensor = (groups - mean) / (variance + 1e-6).sqrt()
        return normalised.flatten(2)


class Decoder(nn.Module):
    """Draws the patches at wanted places from encoded tokens at other places (He et al., 2022, section 3)."""

    def __init__(self, config: MaskedReconstructionConfig, inputs: int, values: int) -> None:
        super().__init__()
        if config.width % config.heads:
            raise ValueError(f"width {config.width} is no multiple of heads {config.heads}; change one of them")
        self.width = config.width
        self.embedding = nn.Linear(inputs, config.width)
        self.blocks = nn.Sequential(
            *(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.layers))
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.output = nn.Linear(config.width, values)
        initialise(self)
        self.mask_token = learned_token(config.width)

    def forward(self, encoded: Encoded, keep: Tensor, wanted: Tensor, grid: tuple[int, ...]) -> Tensor:
        """(B, M, P) the patches at `wanted` (B, M), from what was encoded at `keep` (B, K) of the `grid`."""
        positions = sincos_positions(grid, self.width, keep.device).to(self.mask_token.dtype)
        visible = self.embedding(encoded.values) + positions[keep]
        parts = [visible, self.mask_token + positions[wanted]]
        if encoded.prefix is not None:
            parts.insert(0, self.embedding(encoded.prefix))
        values = self.norm(self.blocks(torch.cat(parts, dim=1))[:, -wanted.shape[1] :])
        patches: Tensor = self.output(values)
        return patches


def _patch_values(encoder: Encoder) -> int:
    """P, the number of values of a patch of this encoder."""
    return encoder.patches(example_batch(encoder.modality)).shape[2]
