"""audio/wav2vec2: transformers' Wav2Vec2Model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import Wav2Vec2Config as Wav2Vec2ModelConfig
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model
from transformers.masking_utils import create_bidirectional_mask

from unlabeled import Batch, Config, Encoded, Encoder, Layout, Modality, Tokens, gather_tokens

NORMALIZE_EPS = 1e-7
"""Of Wav2Vec2FeatureExtractor's unit variance."""


class Wav2Vec2Config(Config):
    """Options of audio/wav2vec2, named as transformers names them; values of BASE from Baevski et al. (2020)."""

    hidden_size: int = Field(192, ge=1, description="D, width of the tokens; BASE: 768")
    num_hidden_layers: int = Field(4, ge=1, description="transformer layers; BASE: 12")
    num_attention_heads: int = Field(3, ge=1, description="attention heads; BASE: 12")
    intermediate_size: int = Field(768, ge=1, description="width of the feed-forward branches; BASE: 3072")
    conv_dim: list[int] = Field([128] * 6, description="channels of the feature encoder; BASE: 512 each")
    conv_kernel: list[int] = Field(
        [10, 3, 3, 3, 3, 2], description="kernels of the feature encoder's layers; BASE: 10, 3, 3, 3, 3, 2, 2"
    )
    conv_stride: list[int] = Field(
        [5, 2, 2, 2, 2, 2], description="their strides; BASE: 5, 2, 2, 2, 2, 2, 2, together 320"
    )
    feat_extract_norm: Literal["layer", "group"] = Field(
        "layer",
        description="normalisation of the feature encoder; group (BASE) is over time and sees padding, layer (LARGE) is not",
    )
    do_stable_layer_norm: bool = Field(False, description="normalise before each branch, as LARGE does")
    num_conv_pos_embeddings: int = Field(
        32, ge=1, description="kernel of the positional convolution in tokens; BASE: 128"
    )
    num_conv_pos_embedding_groups: int = Field(16, ge=1, description="groups of the positional convolution; BASE: 16")
    hidden_dropout: float = Field(0.0, ge=0, lt=1, description="of hidden states; BASE: 0.1")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="of attention; BASE: 0.1")
    activation_dropout: float = Field(0.0, ge=0, lt=1, description="inside the feed-forward branches; BASE: 0.0")
    feat_proj_dropout: float = Field(0.0, ge=0, lt=1, description="of the projected features; BASE: 0.1")
    convolution_gradient: float = Field(
        0.1, ge=0, description="factor of the gradient that reaches the feature encoder; BASE: 0.1, LARGE: 1"
    )
    attention: Literal["sdpa", "eager"] = Field("sdpa", description="transformers' attention implementation")

    @model_validator(mode="after")
    def _sensible(self) -> "Wav2Vec2Config":
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride) > 0:
            raise ValueError("conv_dim, conv_kernel and conv_stride must be of one length")
        for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, name):
                raise ValueError(f"hidden_size={self.hidden_size} must be a multiple of {name}={getattr(self, name)}")
        return self

    def build(self) -> Wav2Vec2Model:
        """The model; no layer is ever skipped, and masking is the objective's decision."""
        names = set(type(self).model_fields) - {"convolution_gradient", "attention"}
        options = self.model_dump(include=names)
        # A mask_time_prob above zero is what makes transformers create masked_spec_embed.
        config = Wav2Vec2ModelConfig(
            **options,
            conv_bias=self.feat_extract_norm == "layer",
            layerdrop=0.0,
            mask_time_prob=0.05,
            attn_implementation=self.attention,
        )
        return Wav2Vec2Model(config)


class Wav2Vec2(Encoder):
    """Waveforms through a convolutional feature encoder and a transformer (Baevski et al., 2020).

    Tokens are the projected features; `features["local"]` (B, N, L) are the features after their layer norm, which the
    quantiser sees, `features["local-raw"]` those before it. The positional convolution belongs to `encode` and sees all
    tokens, also those that `keep` then drops: replace them first where their content must not leak.
    """

    Config = Wav2Vec2Config
    provides = frozenset({"tokens", "mask-token", "drop-tokens", "layers", "branches", "local-features"})
    config: Wav2Vec2Config

    def __init__(self, config: Wav2Vec2Config, modality: Modality) -> None:
        super().__init__(config, modality)
        self.model = config.build()
        self.width = config.hidden_size
        self.local_width = config.conv_dim[-1]
        if int(self._steps(torch.tensor(modality.input_shape[0]))) < 2:
            raise ValueError(
                f"audio/wav2vec2: a clip of {modality.input_shape[0]} samples makes no two tokens; lengthen the modality's clip"
            )

    def layout(self, batch: Batch) -> Layout:
        """Grid (T,): one token for every `stride` samples; only those whose samples are real count and may be masked."""
        samples = batch.inputs["input_values"].shape[1]
        size = int(self._steps(torch.tensor(samples)))
        mask = batch.inputs.get("attention_mask")
        real = torch.full((batch.rows,), samples, device=batch.device) if mask is None else mask.sum(dim=1)
        lengths = self._steps(real).clamp(min=1, max=size)
        return Layout((size,), lengths, torch.arange(size, device=lengths.device) < lengths.unsqueeze(1))

    def normalized(self, batch: Batch) -> Tensor:
        """(B, T) what the model sees: each row at zero mean and unit variance over its real samples, padding zero."""
        values = batch.inputs["input_values"].to(self.model.dtype)
        if not getattr(self.modality.config, "normalize", False):
            return values
        mask = batch.inputs.get("attention_mask", torch.ones_like(values)).to(values.dtype)
        count = mask.sum(dim=1, keepdim=True).clamp(min=1)
        centred = (values - (values * mask).sum(dim=1, keepdim=True) / count) * mask
        variance = centred.square().sum(dim=1, keepdim=True) / count
        return centred / torch.sqrt(variance + NORMALIZE_EPS)

    def embed(self, batch: Batch) -> Tokens:
        """(B, N, D) the projected features, without positions."""
        features = self.normalized(batch).unsqueeze(1)
        # Layer by layer: the feature extractor's own forward would ask for the gradient of the waveform.
        for layer in self.model.feature_extractor.conv_layers:
            features = layer(features)
        features = features.transpose(1, 2)
        scale = self.config.convolution_gradient
        if scale != 1 and features.requires_grad:
            features.register_hook(lambda gradient: gradient * scale)
        values, local = self.model.feature_projection(features)
        padding = self.layout(batch).maskable if "attention_mask" in batch.inputs else None
        return Tokens(
            values, padding=padding, features={"local": local, "local-raw": features}, grid=(values.shape[1],)
        )

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The chosen projected features replaced by `masked_spec_embed`."""
        replacement = self.model.masked_spec_embed.to(tokens.values.dtype)
        return tokens.with_values(torch.where(mask.unsqueeze(2), replacement, tokens.values))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """The positional convolution, then the layers; of all tokens or the kept ones."""
        stack, stable = self.model.encoder, self.config.do_stable_layer_norm
        values, padding = tokens.values, tokens.padding
        if padding is not None:
            values = torch.where(padding.unsqueeze(2), values, 0)
        values = values + stack.pos_conv_embed(values)
        values = stack.dropout(values if stable else stack.layer_norm(values))
        if keep is not None:
            values = gather_tokens(values, keep)
            padding = None if padding is None else torch.gather(padding, 1, keep)
        front, seen = 0, padding
        if tokens.prefix is not None:
            front = tokens.prefix.shape[1]
            values = torch.cat([tokens.prefix, values], dim=1)
            seen = None if padding is None else nn.functional.pad(padding, (front, 0), value=True)
        mask = create_bidirectional_mask(config=self.model.config, inputs_embeds=values, attention_mask=seen)
        outputs: list[Tensor] = []
        for layer in stack.layers:
            with _recorded({"hidden": layer, "branch": layer.feed_forward}.get(layers or ""), outputs):
                values = layer(values, attention_mask=mask)
        values = stack.layer_norm(values) if stable else values
        return Encoded(
            values[:, front:],
            prefix=values[:, :front] if front else None,
            padding=padding,
            layers=tuple(output[:, front:] for output in outputs),
            features=tokens.features,
        )

    def export(self, folder: Path) -> None:
        """Wav2Vec2Model and Wav2Vec2FeatureExtractor, as AutoModel and AutoFeatureExtractor load them."""
        self.model.save_pretrained(folder)
        settings = self.modality.config
        Wav2Vec2FeatureExtractor(
            sampling_rate=getattr(settings, "sampling_rate", 16000),
            do_normalize=getattr(settings, "normalize", False),
            return_attention_mask=True,
        ).save_pretrained(folder)

    def restore(self, folder: Path) -> None:
        """Read what `export` wrote."""
        self.model.load_state_dict(Wav2Vec2Model.from_pretrained(folder).state_dict())

    def _steps(self, samples: Tensor) -> Tensor:
        """Tokens of so many samples; 0 or less where they are fewer than the receptive field."""
        lengths: Tensor = self.model._get_feat_extract_output_lengths(samples)
        return lengths


@contextmanager
def _recorded(module: nn.Module | None, outputs: list[Tensor]) -> Iterator[None]:
    """Append what `module` returns to `outputs`."""
    if module is None:
        yield
        return
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield
    finally:
        handle.remove()
