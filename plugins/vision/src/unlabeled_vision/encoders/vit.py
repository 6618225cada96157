"""vision/vit: the vision transformer of transformers, cut into embed and encode."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from transformers import ViTConfig, ViTModel

from unlabeled import Batch, Config, Encoded, Encoder, Layout, Modality, Tokens, gather_tokens
from unlabeled_vision.encoders.positions import sine_cosine
from unlabeled_vision.processor import Normalize, image_modality, save_image_processor


class ViTEncoderConfig(Config):
    """Options of vision/vit; names as in transformers' ViTConfig. For ViT-B/16: 768, 12, 12, 3072 and 16."""

    patch_size: int = Field(4, ge=1, description="side of a patch in pixels; divides the size of the picture")
    hidden_size: int = Field(192, ge=4, description="width. ViT-S: 384, ViT-B: 768 (Dosovitskiy et al., 2021, table 1)")
    num_hidden_layers: int = Field(6, ge=1, description="layers. ViT-B: 12")
    num_attention_heads: int = Field(3, ge=1, description="heads, of 64 dimensions in ViT")
    intermediate_size: int | None = Field(
        None, ge=1, description="width of the feed-forward part; default 4 times the width"
    )
    hidden_dropout_prob: float = Field(0.0, ge=0, lt=1, description="dropout of hidden values")
    attention_probs_dropout_prob: float = Field(0.0, ge=0, lt=1, description="dropout of attention")
    layer_norm_eps: float = Field(1e-6, gt=0, description="added to the variance in layer norms; ViT and MAE: 1e-6")
    positions: Literal["fixed", "learned"] = Field(
        "fixed",
        description="fixed: sines and cosines (MAE: He et al., 2022; MoCo v3: Chen et al., 2021); learned: as in ViT",
    )
    attention: Literal["sdpa", "eager"] = Field(
        "sdpa", description="transformers' attention implementation; eager is faster in bfloat16 on a CPU"
    )
    pool: Literal["mean", "quadrants", "class", "pooler"] = Field(
        "mean",
        description="features of a picture: mean over its patches, the means over its four quadrants side by side (Coates et "
        "al., 2011, section 3.3), the class token, or ViT's own pooler (a dense layer and tanh on the class token), which a "
        "joint export with a text encoder needs",
    )

    @model_validator(mode="after")
    def _divisible(self) -> "ViTEncoderConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads")
        if self.positions == "fixed" and self.hidden_size % 4:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of 4 for fixed positions")
        return self


class ViT(Encoder):
    """Vision transformer (Dosovitskiy et al., 2021). Tokens are patches in rows from the top left, after a class token.

    Pictures of other sizes are encoded with positions interpolated, as transformers does it.
    """

    Config = ViTEncoderConfig
    config: ViTEncoderConfig
    provides: frozenset[str] = frozenset(
        {"tokens", "class-token", "mask-token", "drop-tokens", "patches", "layers", "branches", "multi-resolution"}
    )

    def __init__(self, config: ViTEncoderConfig, modality: Modality) -> None:
        super().__init__(config, modality)
        self.image = image_modality(modality, "vision/vit")
        size, patch = self.image.config.size, config.patch_size
        if size % patch:
            raise ValueError(f"vision/vit: patch_size {patch} does not divide the picture's size {size}")
        self.width = config.hidden_size
        model_config = ViTConfig(
            image_size=size,
            patch_size=patch,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size or 4 * config.hidden_size,
            hidden_dropout_prob=config.hidden_dropout_prob,
            attention_probs_dropout_prob=config.attention_probs_dropout_prob,
            layer_norm_eps=config.layer_norm_eps,
            encoder_stride=patch,
        )
        model_config._attn_implementation = config.attention
        self.model = ViTModel(model_config, add_pooling_layer=config.pool == "pooler", use_mask_token=True)
        _initialise(self.model)
        self.normalize = Normalize(self.image.config.mean, self.image.config.std)
        if config.positions == "fixed":
            places = self.model.embeddings.position_embeddings
            places.requires_grad_(False)
            places.copy_(sine_cosine((size // patch, size // patch), self.width, prefix=1))

    def embed(self, batch: Batch) -> Tokens:
        """Patches projected, with positions added; (B, N, D), and the class token (B, 1, D)."""
        pixels = self.normalize(batch.inputs["pixel_values"])
        grid = self._grid(pixels)
        embeddings = self.model.embeddings
        patches = embeddings.patch_embeddings(pixels)
        positions = embeddings.position_embeddings
        if pixels.shape[-2:] != tuple(embeddings.image_size):
            with_class = torch.cat([embeddings.cls_token.expand(len(patches), -1, -1), patches], dim=1)
            positions = embeddings.interpolate_pos_encoding(with_class, pixels.shape[-2], pixels.shape[-1])
        prefix = (embeddings.cls_token + positions[:, :1]).expand(len(patches), -1, -1)
        return Tokens(patches + positions[:, 1:], prefix, positions[:, 1:], grid=grid)

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """The transformer's layers and its final normalisation, on all tokens or those at keep (B, K)."""
        values = tokens.values if keep is None else gather_tokens(tokens.values, keep)
        count = 0 if tokens.prefix is None else tokens.prefix.shape[1]
        hidden = values if tokens.prefix is None else torch.cat([tokens.prefix, values], dim=1)
        hidden = self.model.embeddings.dropout(hidden)
        outputs: list[Tensor] = []
        with _recorded(self.model.layers, layers, outputs):
            for layer in self.model.layers:
                hidden = layer(hidden)
        hidden = self.model.layernorm(hidden)
        prefix = None if tokens.prefix is None else hidden[:, :count]
        grid = tokens.grid if keep is None else None
        return Encoded(hidden[:, count:], prefix, grid, layers=tuple(output[:, count:] for output in outputs))

    @property
    def pooled_width(self) -> int:
        """4 D for quadrants, else D."""
        return 4 * self.width if self.config.pool == "quadrants" else self.width

    def pool(self, encoded: Encoded) -> Tensor:
        """(B, D): the mean over patches, the class token, or the pooler's output; (B, 4 D): the means over quadrants."""
        if self.config.pool == "quadrants":
            if encoded.grid is None:
                raise ValueError("vision/vit: pool: quadrants needs every patch of a picture; choose another pool")
            return adaptive_avg_pool2d(encoded.values.transpose(1, 2).unflatten(2, encoded.grid), 2).flatten(1)
        if self.config.pool == "mean" or encoded.prefix is None:
            return super().pool(encoded)
        if self.config.pool == "pooler":
            return self.model.pooler(encoded.prefix[:, -1:])
        return encoded.prefix[:, -1]

    def layout(self, batch: Batch) -> Layout:
        return Layout.dense(self._grid(batch.inputs["pixel_values"]), batch.rows, batch.device)

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The chosen tokens (mask (B, N)) replaced by the mask token, at their own positions."""
        learned = self.model.embeddings.mask_token + tokens.positions
        return tokens.with_values(torch.where(mask.unsqueeze(-1), learned, tokens.values))

    def patches(self, batch: Batch) -> Tensor:
        """(B, N, P) the colours in [0, 1] of each patch; P runs over rows, columns, channels (He et al., 2022)."""
        side = self.config.patch_size
        pixels = batch.inputs["pixel_values"]
        rows, channels = pixels.shape[:2]
        down, across = self._grid(pixels)
        cells = pixels.reshape(rows, channels, down, side, across, side)
        return cells.permute(0, 2, 4, 3, 5, 1).reshape(rows, down * across, side * side * channels)

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        """(B, 3, H, W) from patches (B, N, P)."""
        side = self.config.patch_size
        down, across = self._grid(batch.inputs["pixel_values"])
        cells = patches.reshape(len(patches), down, across, side, side, -1)
        return cells.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, down * side, across * side)

    def transformers_model(self) -> ViTModel | None:
        """The model, where its pooler gives the features."""
        return self.model if self.config.pool == "pooler" else None

    def export(self, folder: Path) -> None:
        """Write the model and its image processor; without pooler, load it with
        `AutoModel.from_pretrained(folder, add_pooling_layer=False)`.
        """
        self.model.save_pretrained(folder)
        save_image_processor(self.image, folder)

    def restore(self, folder: Path) -> None:
        """Read the weights of an export."""
        pooler = self.config.pool == "pooler"
        model = ViTModel.from_pretrained(folder, add_pooling_layer=pooler, use_mask_token=True)
        self.model.load_state_dict(model.state_dict())

    def _grid(self, pixels: Tensor) -> tuple[int, int]:
        height, width = pixels.shape[-2:]
        side = self.config.patch_size
        if height % side or width % side:
            raise ValueError(f"vision/vit: patch_size {side} does not divide a picture of {height} x {width} pixels")
        return height // side, width // side


def _initialise(model: ViTModel) -> None:
    """Xavier-uniform linear layers, the patch projection among them (Dosovitskiy et al., 2021, and He et al., 2022, A.1).

    transformers draws all weights with one small deviation, which suits the width of ViT-B but starves narrow models.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.data.flatten(1))


@contextmanager
def _recorded(layers: nn.ModuleList, what: str | None, outputs: list[Tensor]) -> Iterator[None]:
    """While it lasts, `outputs` receives of each layer its output (`hidden`) or its feed-forward branch (`branch`)."""
    handles = []
    for layer in layers if what else ():
        module = layer.get_submodule("mlp") if what == "branch" else layer
        handles.append(module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
