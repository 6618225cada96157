"""vision/resnet: the residual network of transformers, cut into stem and stages."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from transformers import ResNetConfig, ResNetModel

from unlabeled import Batch, BatchNorm, Config, Modality, Tokens
from unlabeled_vision.encoders.staged import StagedEncoder, as_tokens
from unlabeled_vision.processor import Normalize, image_modality, save_image_processor


class ResNetEncoderConfig(Config):
    """Options of vision/resnet; names as in transformers' ResNetConfig.

    ResNet-50: 64, [256, 512, 1024, 2048], [3, 4, 6, 3], bottleneck. ResNet-18: 64, [64, 128, 256, 512], [2, 2, 2, 2], basic.
    """

    embedding_size: int = Field(
        64, ge=1, description="channels after the first convolution (7 x 7, stride 2, then pooled)"
    )
    hidden_sizes: tuple[int, ...] = Field(
        (64, 128, 256), min_length=1, description="channels of each stage; the last is the width"
    )
    depths: tuple[int, ...] = Field(
        (1, 1, 1), min_length=1, description="blocks of each stage; every stage but the first halves the map"
    )
    layer_type: Literal["basic", "bottleneck"] = Field(
        "basic",
        description="blocks of two 3 x 3 convolutions, or of three with a narrow middle (He et al., 2016, figure 5)",
    )
    downsample_in_first_stage: bool = Field(False, description="halve the map in the first stage too")

    @model_validator(mode="after")
    def _matching(self) -> "ResNetEncoderConfig":
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths need one number for each stage, as many of one as of the other")
        return self


class ResNet(StagedEncoder):
    """Residual network (He et al., 2016). Its stages merge tokens, so objectives that work on tokens do not fit it.

    Batch normalisation is core's, with statistics of all processes; weights and names are those of transformers.
    """

    Config = ResNetEncoderConfig
    config: ResNetEncoderConfig
    provides: frozenset[str] = frozenset({"multi-resolution"})

    def __init__(self, config: ResNetEncoderConfig, modality: Modality) -> None:
        super().__init__(config, modality)
        self.image = image_modality(modality, "vision/resnet")
        self.width = config.hidden_sizes[-1]
        self.model = ResNetModel(
            ResNetConfig(
                embedding_size=config.embedding_size,
                hidden_sizes=list(config.hidden_sizes),
                depths=list(config.depths),
                layer_type=config.layer_type,
                downsample_in_first_stage=config.downsample_in_first_stage,
            )
        )
        BatchNorm.convert(self.model)
        # The channels of a pixel side by side are what fast convolutions want, on CPUs and GPUs.
        self.model.to(memory_format=torch.channels_last)
        self.normalize = Normalize(self.image.config.mean, self.image.config.std)

    def embed(self, batch: Batch) -> Tokens:
        """The stem's map as tokens (B, N, embedding_size) with its grid."""
        pixels = self.normalize(batch.inputs["pixel_values"]).contiguous(memory_format=torch.channels_last)
        return as_tokens(self.model.embedder(pixels))

    def export(self, folder: Path) -> None:
        """Write the model and its image processor."""
        self.model.save_pretrained(folder)
        save_image_processor(self.image, folder)
