"""A residual stack of dilated convolutions over time."""

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from unlabeled import Batch, Config, Encoded, Encoder, Layout, Modality, Tokens


class DilatedConvolutionConfig(Config):
    """Options of `timeseries/dilated-convolution`."""

    width: int = Field(128, ge=1, description="channels of every layer, and of the features")
    depth: int | None = Field(
        None, ge=1, description="residual blocks; default: as many as let a step see the whole length (TS2Vec: 10)"
    )
    kernel: int = Field(3, ge=3, description="steps that a convolution sees, odd (Franceschi et al., 2019; TS2Vec)")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"must be odd, so that it has a centre; try {kernel + 1}")
        return kernel


class DilatedConvolution(Encoder):
    """Steps as tokens, through residual blocks of two dilated convolutions, pooled by the maximum over time.

    The encoder of TS2Vec (Yue et al., 2022, section 2.2) after Franceschi et al. (2019, section 4): block i is
    x + conv(GELU(conv(GELU(x)))) with dilation 2^i. There is no batch normalisation, and what lies beyond a row's own
    length is zero before every convolution, so that a row's features depend on nothing else.
    """

    Config = DilatedConvolutionConfig
    provides = frozenset({"tokens", "mask-token", "patches", "layers"})
    config: DilatedConvolutionConfig

    def __init__(self, config: DilatedConvolutionConfig, modality: Modality) -> None:
        super().__init__(config, modality)
        length, channels = modality.input_shape
        self.width = config.width
        depth = config.depth or blocks_to_see(length, config.kernel)
        self.projection = nn.Linear(channels, config.width)
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.blocks = nn.ModuleList(ResidualBlock(config.width, config.kernel, 2**i) for i in range(depth))

    def layout(self, batch: Batch) -> Layout:
        """Grid (T,): one token a step; padding cannot be masked."""
        real = _real_steps(batch)
        return Layout((real.shape[1],), real.sum(dim=1), real)

    def embed(self, batch: Batch) -> Tokens:
        """(B, T, D): a linear map of the C values of each step."""
        values = batch.inputs["past_values"].to(self.projection.weight.dtype)
        return Tokens(self.projection(values), padding=_real_steps(batch), grid=(values.shape[1],))

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The chosen steps replaced by the mask token, which starts as TS2Vec's zero."""
        return tokens.with_values(torch.where(mask.unsqueeze(2), self.mask_token.to(tokens.values), tokens.values))

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """(B, T, D) after the last block. `ValueError` with `keep`: convolutions need every step."""
        if keep is not None:
            raise ValueError("timeseries/dilated-convolution cannot drop tokens: its convolutions need every step")
        real = torch.ones_like(tokens.values[:, :, 0]) if tokens.padding is None else tokens.padding
        mask = real.to(tokens.values.dtype).unsqueeze(2)
        values, hidden = tokens.values, []
        for block in self.blocks:
            values = block(values, mask)
            hidden.append(values)
        return Encoded(hidden[-1], padding=tokens.padding, layers=tuple(hidden) if layers == "hidden" else ())

    def patches(self, batch: Batch) -> Tensor:
        """(B, T, C): the values of each step."""
        return batch.inputs["past_values"]

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        """(B, T, C): `patches` are the main input."""
        return patches

    def pool(self, encoded: Encoded) -> Tensor:
        """(B, D): the maximum over the row's own steps (TS2Vec, section 3.1)."""
        if encoded.padding is None:
            return encoded.values.amax(dim=1)
        lowest = torch.finfo(encoded.values.dtype).min
        return encoded.values.masked_fill(~encoded.padding.unsqueeze(2), lowest).amax(dim=1)


class ResidualBlock(nn.Module):
    """x + conv(GELU(conv(GELU(x)))), both convolutions with the same dilation."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.first = DilatedConv1d(width, kernel, dilation)
        self.second = DilatedConv1d(width, kernel, dilation)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) from `values` (B, T, D) and `mask` (B, T, 1), 1 where the step is real."""
        hidden = self.first(functional.gelu(values) * mask)
        return values + self.second(functional.gelu(hidden) * mask)


class DilatedConv1d(nn.Conv1d):
    """A convolution over time that keeps the number of steps, channels last."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__(width, width, kernel, dilation=dilation)

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, D) from (B, T, D)."""
        dilation, centre = self.dilation[0], self.kernel_size[0] // 2
        if dilation >= values.shape[1]:
            # Every tap but the centre one would read zeros beyond the ends.
            return functional.linear(values, self.weight[:, :, centre], self.bias)
        # As images of height 1: CPUs convolve these with the channels last, in half the time conv1d takes.
        images, weight = values.transpose(1, 2).unsqueeze(2), self.weight.unsqueeze(2)
        padding = (0, dilation * centre)
        convolved = functional.conv2d(images, weight, self.bias, padding=padding, dilation=(1, dilation))
        return convolved.squeeze(2).transpose(1, 2)


def blocks_to_see(length: int, kernel: int) -> int:
    """The least depth at which a step's receptive field, 1 + 2 (kernel - 1) (2^depth - 1), reaches `length`."""
    depth = 1
    while 1 + 2 * (kernel - 1) * (2**depth - 1) < length:
        depth += 1
    return depth


def _real_steps(batch: Batch) -> Tensor:
    """(B, T) bool, True where the step is no padding."""
    values, observed = batch.inputs["past_values"], batch.inputs.get("past_observed_mask")
    if observed is None:
        return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    return observed.any(dim=2)
