"""audio/spectrogram-resnet: transformers' ResNetModel on spectrograms."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import ASTFeatureExtractor, ResNetConfig, ResNetModel

from unlabeled import Batch, BatchNorm, Config, Encoded, Encoder, Modality, Tokens
from unlabeled_audio.log_mel import MEAN, STD

STEM_STRIDE = 4  # ResNet's first convolution and its pooling halve time and frequency each


class SpectrogramResNetConfig(Config):
    """Options of audio/spectrogram-resnet, named as transformers names them."""

    embedding_size: int = Field(32, ge=1, description="channels of the stem; ResNet-18 (He et al., 2016): 64")
    hidden_sizes: list[int] = Field(
        [32, 64, 128], min_length=1, description="channels of the stages; ResNet-18: 64, 128, 256, 512"
    )
    depths: list[int] = Field([1, 1, 1], min_length=1, description="blocks of each stage; ResNet-18: 2 each")
    layer_type: Literal["basic", "bottleneck"] = Field(
        "basic", description="ResNet-18 and -34: basic, larger ones: bottleneck"
    )

    @model_validator(mode="after")
    def _sensible(self) -> "SpectrogramResNetConfig":
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths must be of one length")
        return self


class SpectrogramResNet(Encoder):
    """Spectrograms through a residual network (He et al., 2016), pooled over time and not over frequency.

    A token is one place in time of the last stage: the C channels of its F' places in frequency side by side, D = F' * C.
    The mean over time counts the places whose frames are real alone.
    """

    Config = SpectrogramResNetConfig
    provides = frozenset()
    config: SpectrogramResNetConfig

    def __init__(self, config: SpectrogramResNetConfig, modality: Modality) -> None:
        super().__init__(config, modality)
        channels, _, bands = modality.input_shape
        self.model = ResNetModel(ResNetConfig(num_channels=channels, **config.model_dump()))
        BatchNorm.convert(self.model)
        self.model.to(memory_format=torch.channels_last)
        self.stride = STEM_STRIDE * 2 ** (len(config.depths) - 1)
        self.width = config.hidden_sizes[-1] * _parts(bands, self.stride)

    def embed(self, batch: Batch) -> Tokens:
        """(B, T/4 * mels/4, C) the output of the stem; `grid` is (T/4, mels/4)."""
        pixels = batch.inputs["pixel_values"].to(self.model.dtype, memory_format=torch.channels_last)
        stem = self.model.embedder(pixels)
        lengths = batch.extra.get("lengths")
        padding = None if lengths is None else _real_parts(lengths, pixels.shape[2], self.stride)
        return Tokens(stem.flatten(2).transpose(1, 2), padding=padding, grid=tuple(stem.shape[2:]))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """(B, T', F' * C) the output of the stages. `ValueError` with `keep` or `layers`."""
        if keep is not None or layers is not None or tokens.grid is None:
            raise ValueError("audio/spectrogram-resnet neither drops tokens nor returns layers")
        stem = tokens.values.transpose(1, 2).unflatten(2, tokens.grid)
        output = self.model.encoder(stem).last_hidden_state
        return Encoded(output.permute(0, 2, 3, 1).flatten(2), padding=tokens.padding)

    def export(self, folder: Path) -> None:
        """ResNetModel and ASTFeatureExtractor, whose input_values (B, T, mels) are the model's pixel_values[:, 0]."""
        self.model.save_pretrained(folder)
        _, length, bands = self.modality.input_shape
        settings = self.modality.config
        ASTFeatureExtractor(
            sampling_rate=getattr(settings, "sampling_rate", 16000),
            num_mel_bins=bands,
            max_length=settings.frames("plain") if hasattr(settings, "frames") else length,
            mean=MEAN,
            std=STD,
        ).save_pretrained(folder)

    def restore(self, folder: Path) -> None:
        """Read what `export` wrote."""
        self.model.load_state_dict(ResNetModel.from_pretrained(folder).state_dict())


def _parts(size: int, stride: int) -> int:
    """Places that are left of `size` ones: every halving rounds up."""
    return -(-size // stride)


def _real_parts(lengths: Tensor, size: int, stride: int) -> Tensor:
    """(B, T') bool: places of the last stage, each `stride` frames, that begin within the row's own length; at least one."""
    places = torch.arange(_parts(size, stride), device=lengths.device) * stride
    return places < lengths.clamp(min=1).unsqueeze(1)
