"""VideoMAE: a transformer over space-time cubes."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import VideoMAEConfig, VideoMAEModel

from unlabeled import Batch, Config, Encoded, Encoder, Layout, Modality, Tokens, gather_tokens
from unlabeled_video.encoders.pixels import clip_modality, export_processor
from unlabeled_vision.processor import Normalize


class Options(Config):
    """Options of `video/videomae`; the model of the paper is in the descriptions."""

    hidden_size: int = Field(192, ge=1, description="width; ViT-S 384, ViT-B 768")
    num_hidden_layers: int = Field(4, ge=1, description="layers; ViT-S and ViT-B 12")
    num_attention_heads: int = Field(3, ge=1, description="heads, a divisor of hidden_size; ViT-S 6, ViT-B 12")
    intermediate_size: int | None = Field(
        None, ge=1, description="width of the feed-forward layers; default: 4 * hidden_size"
    )
    patch_size: int = Field(
        8, ge=1, description="side of a cube in pixels, a divisor of the frames' size; VideoMAE: 16"
    )
    tubelet_size: int = Field(2, ge=1, description="frames of a cube, a divisor of the clip's frames; VideoMAE: 2")
    dropout: float = Field(0.0, ge=0, lt=1, description="of hidden states and attention; VideoMAE: 0")
    attention: Literal["sdpa", "eager"] = Field("sdpa", description="transformers' attention implementation")

    @model_validator(mode="after")
    def _heads_divide(self) -> "Options":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} must divide hidden_size {self.hidden_size}"
            )
        return self


class VideoMAE(Encoder):
    """VideoMAE's encoder (Tong et al., 2022): joint space-time attention over cubes, with its final LayerNorm.

    Takes pixel_values (B, T, 3, H, W) in [0, 1]; N = T/tubelet * H/patch * W/patch tokens of P = tubelet * patch^2 * 3 values.
    Positions are fixed sines and cosines. There is no mask token: masked tokens are dropped.
    """

    Config = Options
    config: Options
    provides = frozenset({"tokens", "drop-tokens", "patches", "layers", "branches"})
    positions: Tensor

    def __init__(self, config: Options, modality: Modality) -> None:
        """`ValueError` where cubes do not tile the clips of `modality`."""
        super().__init__(config, modality)
        self.clips = clip_modality(modality, "video/videomae")
        frames, channels, height, width = self.clips.input_shape
        if frames % config.tubelet_size or height % config.patch_size or width % config.patch_size:
            raise ValueError(
                f"video/videomae: cubes of {config.tubelet_size} frames of {config.patch_size} x {config.patch_size} pixels "
                f"do not tile clips of {frames} frames of {height} x {width}; change patch_size or tubelet_size"
            )
        self.width = config.hidden_size
        self.grid = (frames // config.tubelet_size, height // config.patch_size, width // config.patch_size)
        self.cube = (config.tubelet_size, config.patch_size, config.patch_size)
        self.normalize = Normalize(self.clips.config.mean, self.clips.config.std)
        self.model = VideoMAEModel(
            VideoMAEConfig(
                image_size=(height, width),
                patch_size=config.patch_size,
                num_channels=channels,
                num_frames=frames,
                tubelet_size=config.tubelet_size,
                hidden_size=config.hidden_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                intermediate_size=config.intermediate_size or 4 * config.hidden_size,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                use_mean_pooling=False,  # True leaves out the final LayerNorm, which pretraining has
                attn_implementation=config.attention,
            )
        )
        # The model keeps its table as a plain attribute and copies it to the device in every call; a buffer moves once.
        self.register_buffer("positions", self.model.embeddings.position_embeddings.clone(), persistent=False)

    def layout(self, batch: Batch) -> Layout:
        """Grid (T/tubelet, H/patch, W/patch), every token maskable."""
        return Layout.dense(self.grid, batch.rows, batch.device)

    def embed(self, batch: Batch) -> Tokens:
        """(B, N, D) cubes with their positions."""
        pixels = self.normalize(batch.inputs["pixel_values"])
        values: Tensor = self.model.embeddings.patch_embeddings(pixels)
        return Tokens(values + self.positions.to(values.dtype), grid=self.grid)

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """Run the layers on the content tokens, or on those in `keep` alone, after any prefix."""
        content = tokens.values if keep is None else gather_tokens(tokens.values, keep)
        prefix = 0 if tokens.prefix is None else tokens.prefix.shape[1]
        hidden = content if tokens.prefix is None else torch.cat([tokens.prefix, content], dim=1)
        collected: list[Tensor] = []
        for layer in self.model.encoder.layer:
            before = layer.attention(layer.layernorm_before(hidden)) + hidden
            branch = layer.output.dropout(layer.output.dense(layer.intermediate(layer.layernorm_after(before))))
            hidden = branch + before
            if layers is not None:
                collected.append((branch if layers == "branch" else hidden)[:, prefix:])
        hidden = self.model.layernorm(hidden)
        return Encoded(
            hidden[:, prefix:],
            prefix=hidden[:, :prefix] if prefix else None,
            layers=tuple(collected),
        )

    def patches(self, batch: Batch) -> Tensor:
        """(B, N, P) pixels of each cube in [0, 1], the channel last."""
        clips: Tensor = batch.inputs["pixel_values"]
        (times, rows, columns), (depth, height, width) = self.grid, self.cube
        cubes = clips.reshape(batch.rows, times, depth, clips.shape[2], rows, height, columns, width)
        return cubes.permute(0, 1, 4, 6, 2, 5, 7, 3).reshape(batch.rows, times * rows * columns, -1)

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        """(B, T, 3, H, W) from (B, N, P)."""
        (times, rows, columns), (depth, height, width) = self.grid, self.cube
        cubes = patches.reshape(len(patches), times, rows, columns, depth, height, width, -1)
        return cubes.permute(0, 1, 4, 7, 2, 5, 3, 6).reshape(len(patches), *self.clips.input_shape)

    def export(self, folder: Path) -> None:
        """A VideoMAEModel and its image processor."""
        self.model.save_pretrained(folder)
        export_processor(folder, self.clips)

    def restore(self, folder: Path) -> None:
        """Read weights that `export` wrote."""
        self.model.load_state_dict(VideoMAEModel.from_pretrained(folder).state_dict())
