"""PatchTST: each channel of a series as a sequence of patches, through a transformer."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PatchTSTConfig, PatchTSTModel
from transformers.models.patchtst.modeling_patchtst import PatchTSTEncoderLayer

from unlabeled import Batch, BatchNorm, Config, Encoded, Encoder, Layout, Modality, Tokens, gather_tokens


class PatchTSTOptions(Config):
    """Options of `timeseries/patchtst`; the defaults are small enough for two cores."""

    width: int = Field(128, ge=2, multiple_of=2, description="width of the tokens (Nie et al., 2023: 128)")
    depth: int = Field(3, ge=1, description="layers (Nie et al., 2023: 3)")
    heads: int = Field(8, ge=1, description="attention heads (Nie et al., 2023: 16)")
    feed_forward: int = Field(256, ge=1, description="width of the feed-forward layers (Nie et al., 2023: 256)")
    patch_length: int = Field(
        8, ge=1, description="steps of a patch (Nie et al., 2023: 12 for pretraining, 16 otherwise)"
    )
    patch_stride: int | None = Field(
        None,
        ge=1,
        description="steps between the starts of patches; default: patch_length, as in pretraining (Nie et al., 2023)",
    )
    scaling: Literal["std", "mean", "none"] = Field(
        "std",
        description="how the model scales each channel of each series before it is cut (RevIN, Kim et al., 2022: std)",
    )
    norm: Literal["layer", "batch"] = Field(
        "layer", description="norms of the layers; batch as in Nie et al., 2023, then with one micro-batch a step"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="in attention, feed-forward and residual branches (Nie et al., 2023: 0.2)"
    )


class PatchTST(Encoder):
    """PatchTST (Nie et al., 2023) of transformers, cut into embed and encode.

    Patches of one channel are tokens that see only their own channel. Tokens lie in a grid (N, C), patches by channels, so
    that the padding of shorter series comes last. The model itself knows padding only in its scaler: its layers read padded
    patches too, and only masking, pooling and `keep` leave them out. As the model does, patches are aligned to the end of
    the input: the first `length` mod `patch_length` steps are not read.
    """

    Config = PatchTSTOptions
    provides = frozenset({"tokens", "mask-token", "drop-tokens", "patches", "layers"})
    config: PatchTSTOptions

    def __init__(self, config: PatchTSTOptions, modality: Modality) -> None:
        super().__init__(config, modality)
        length, channels = modality.input_shape
        if length <= config.patch_length:
            raise ValueError(
                f"timeseries/patchtst: patch_length {config.patch_length} must be less than the {length} steps of the series"
            )
        if config.width % config.heads:
            raise ValueError(f"timeseries/patchtst: width {config.width} must be a multiple of heads {config.heads}")
        self.width = config.width
        self.stride = config.patch_stride or config.patch_length
        self.model = PatchTSTModel(
            PatchTSTConfig(
                num_input_channels=channels,
                context_length=length,
                patch_length=config.patch_length,
                patch_stride=self.stride,
                num_hidden_layers=config.depth,
                d_model=config.width,
                num_attention_heads=config.heads,
                ffn_dim=config.feed_forward,
                norm_type=f"{config.norm}norm",
                scaling=None if config.scaling == "none" else config.scaling,
                attention_dropout=config.dropout,
                ff_dropout=config.dropout,
                path_dropout=config.dropout,
                do_mask_input=False,
            )
        )
        _synchronize_batch_norms(self.model)
        if self.stride != config.patch_length:
            self.provides = self.provides - {"patches"}

    def layout(self, batch: Batch) -> Layout:
        """Grid (N, C); a token is real where any of its steps is observed."""
        real = self._real(batch)
        return Layout(self._grid(batch), real.sum(dim=1), real)

    def embed(self, batch: Batch) -> Tokens:
        """(B, N * C, D): scaled, cut, projected, with positions added."""
        encoder = self.model.encoder
        values = encoder.positional_encoder(encoder.embedder(self._scaled_patches(batch)))
        return Tokens(_by_patch(values), padding=self._real(batch), grid=self._grid(batch))

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The chosen tokens as the model masks them: the embedding of a patch of zeros, a learned vector, in its place."""
        encoder = self.model.encoder
        count, channels = self._shape(tokens)
        places = encoder.embedder.input_embedding.bias + encoder.positional_encoder.position_enc
        masked = places.repeat_interleave(channels, dim=0).to(tokens.values)
        return tokens.with_values(torch.where(mask.unsqueeze(2), masked, tokens.values))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """(B, N * C, D), or (B, K, D) of the kept tokens, among which each sees those of its own channel."""
        count, channels = self._shape(tokens)
        hidden: list[Tensor] = []
        if keep is None:
            values = tokens.values.unflatten(1, (count, channels)).transpose(1, 2).contiguous()
            for layer in self.model.encoder.layers:
                values = layer(hidden_state=values, output_attentions=False)[0]
                hidden.append(_by_patch(values))
            padding = tokens.padding
        else:
            values = gather_tokens(tokens.values, keep)
            padding = None if tokens.padding is None else tokens.padding.gather(1, keep)
            sees = _same_channel(keep % channels, values.dtype) if channels > 1 else None
            for layer in self.model.encoder.layers:
                values = _run_layer(layer, values, sees)
                hidden.append(values)
        return Encoded(hidden[-1], padding=padding, layers=tuple(hidden) if layers == "hidden" else ())

    def patches(self, batch: Batch) -> Tensor:
        """(B, N * C, P): the scaled values behind each token (Nie et al., 2023, section 3.2)."""
        return _by_patch(self._scaled_patches(batch))

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        """(B, T, C): the values that `patches` stand for; the first steps, which no patch reads, are the batch's own."""
        _, location, scale = self._scale(batch)
        steps = patches.unflatten(1, self._grid(batch)).transpose(2, 3).flatten(1, 2)
        unread = batch.inputs["past_values"][:, : self.model.patchifier.sequence_start]
        return torch.cat([unread, steps * scale + location], dim=1)

    def export(self, folder: Path) -> None:
        """Write config.json and model.safetensors for AutoModel; transformers has no processor for series."""
        self.model.save_pretrained(folder)

    def restore(self, folder: Path) -> None:
        """Read model.safetensors."""
        self.model.load_state_dict(load_file(folder / "model.safetensors"))

    def _scale(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled values (B, T, C), location and scale (B, 1, C), from the model's own scaler."""
        values = batch.inputs["past_values"]
        observed = batch.inputs.get("past_observed_mask")
        scaled: tuple[Tensor, Tensor, Tensor] = self.model.scaler(
            values, torch.ones_like(values) if observed is None else observed
        )
        return scaled

    def _scaled_patches(self, batch: Batch) -> Tensor:
        """(B, C, N, P)."""
        patches: Tensor = self.model.patchifier(self._scale(batch)[0])
        return patches

    def _real(self, batch: Batch) -> Tensor:
        """(B, N * C) bool."""
        values, observed = batch.inputs["past_values"], batch.inputs.get("past_observed_mask")
        observed = torch.ones_like(values) if observed is None else observed
        return _by_patch(self.model.patchifier(observed.to(values.dtype))).any(dim=2)

    def _grid(self, batch: Batch) -> tuple[int, int]:
        return (self.model.patchifier.num_patches, batch.inputs["past_values"].shape[2])

    def _shape(self, tokens: Tokens) -> tuple[int, int]:
        """N and C."""
        count = self.model.patchifier.num_patches
        return count, tokens.values.shape[1] // count


def _by_patch(values: Tensor) -> Tensor:
    """(B, N * C, ...) from the model's (B, C, N, ...)."""
    return values.transpose(1, 2).flatten(1, 2)


def _same_channel(channels: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 1, K, K) to add to attention scores: 0 between tokens of the same of `channels` (B, K), -inf otherwise."""
    apart = channels.unsqueeze(1) != channels.unsqueeze(2)
    return torch.zeros(apart.shape, dtype=dtype, device=apart.device).masked_fill(apart, -torch.inf).unsqueeze(1)


def _run_layer(layer: PatchTSTEncoderLayer, values: Tensor, sees: Tensor | None) -> Tensor:
    """(B, K, D): a PatchTSTEncoderLayer with pre-norm on tokens of several channels, which its own forward cannot mask."""
    attended = layer.self_attn(hidden_states=layer.norm_sublayer1(values), attention_mask=sees)[0]
    values = values + layer.dropout_path1(attended)
    result: Tensor = values + layer.dropout_path3(layer.ff(layer.norm_sublayer3(values)))
    return result


def _synchronize_batch_norms(model: nn.Module) -> None:
    """Put statistics over all processes in place of each BatchNorm1d."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d):
                setattr(module, name, BatchNorm(child.num_features, momentum=child.momentum or 0.1, eps=child.eps))
