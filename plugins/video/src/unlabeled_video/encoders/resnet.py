"""An image ResNet over the stacked frames of a clip."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from transformers import ResNetConfig, ResNetModel

from unlabeled import Batch, BatchNorm, Config, Modality, Tokens
from unlabeled_video.encoders.pixels import clip_modality, export_processor
from unlabeled_vision.encoders.staged import StagedEncoder, as_tokens
from unlabeled_vision.processor import Normalize


class ResNetOptions(Config):
    """Options of `video/resnet`, named as in transformers' ResNetConfig."""

    embedding_size: int = Field(32, ge=1, description="channels after the first convolution; ResNet-18 and -50: 64")
    hidden_sizes: tuple[int, ...] = Field((64, 128, 256), min_length=1, description="channels of each stage")
    depths: tuple[int, ...] = Field((1, 1, 1), min_length=1, description="blocks of each stage; ResNet-18: 2, 2, 2, 2")
    layer_type: Literal["basic", "bottleneck"] = Field("basic", description="blocks; ResNet-18: basic, -50: bottleneck")
    motion: bool = Field(
        True,
        description="start from a first convolution that sums to zero over time, so that it sees only what changes",
    )

    @model_validator(mode="after")
    def _matching(self) -> "ResNetOptions":
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths need one number for each stage")
        return self


class ResNet(StagedEncoder):
    """ResNet (He et al., 2016) on frames stacked as channels, the early fusion of Karpathy et al. (2014).

    Takes pixel_values (B, T, 3, H, W) in [0, 1]; the exported model takes the same normalised clips as (B, 3 T, H, W).
    Stages merge places and the first convolution merges frames, so it offers no tokens to mask.
    """

    Config = ResNetOptions
    config: ResNetOptions

    def __init__(self, config: ResNetOptions, modality: Modality) -> None:
        super().__init__(config, modality)
        self.clips = clip_modality(modality, "video/resnet")
        self.width = config.hidden_sizes[-1]
        self.normalize = Normalize(self.clips.config.mean, self.clips.config.std)
        self.model = ResNetModel(
            ResNetConfig(
                num_channels=3 * self.clips.config.frames,
                embedding_size=config.embedding_size,
                hidden_sizes=list(config.hidden_sizes),
                depths=list(config.depths),
                layer_type=config.layer_type,
            )
        )
        if config.motion and self.clips.config.frames > 1:
            self._start_from_motion()
        BatchNorm.convert(self.model)
        self.model.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def _start_from_motion(self) -> None:
        """Take from each kernel its mean over time: a clip that stands still then gives zeros."""
        weight = self.model.embedder.embedder.convolution.weight
        kernels = weight.unflatten(1, (-1, 3))
        weight.copy_((kernels - kernels.mean(dim=1, keepdim=True)).flatten(1, 2))

    def embed(self, batch: Batch) -> Tokens:
        """(B, places, embedding_size) what the first convolution and its pooling make of the clip."""
        stacked = self.normalize(batch.inputs["pixel_values"]).flatten(1, 2)
        return as_tokens(self.model.embedder(stacked.contiguous(memory_format=torch.channels_last)))

    def export(self, folder: Path) -> None:
        """A ResNetModel and the image processor of its frames."""
        self.model.save_pretrained(folder)
        export_processor(folder, self.clips)
