"""Small networks that objectives and encoders are built of."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from unlabeled import BatchNorm


class Projector(nn.Module):
    """Linear, batch normalisation, ReLU, linear (Chen et al., 2020, SimCLR, section 2.1).

    Takes and returns (R, inputs) and (R, outputs). It normalises over rows, so it belongs into `Objective.head`.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden, bias=False)
        self.norm = BatchNorm(hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, values: Tensor) -> Tensor:
        projected: Tensor = self.output(functional.relu(self.norm(self.hidden(values))))
        return projected


class Block(nn.Module):
    """A transformer layer that normalises first (Dosovitskiy et al., 2021, equations 2 and 3), on (B, N, D)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(
            nn.Linear(width, round(width * mlp_ratio)), nn.GELU(), nn.Linear(round(width * mlp_ratio), width)
        )

    def forward(self, values: Tensor) -> Tensor:
        values = values + self._attend(self.attention_norm(values))
        changed: Tensor = values + self.mlp(self.mlp_norm(values))
        return changed

    def _attend(self, values: Tensor) -> Tensor:
        query, key, value = self.query_key_value(values).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.attention_output(mixed.transpose(1, 2).flatten(2))
        return attended


def initialise(module: nn.Module) -> None:
    """Xavier-uniform linear layers with zero biases, as in MAE (He et al., 2022, appendix A.1)."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def learned_token(width: int) -> nn.Parameter:
    """(width,) a class or mask token, drawn with a standard deviation of 0.02."""
    return nn.Parameter(torch.empty(width).normal_(std=0.02))
