"""What networks share whose stages merge places: a map in, a smaller map out."""

from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from unlabeled import Encoded, Encoder, Tokens


class StagedEncoder(Encoder):
    """A transformers model with an `encoder` of stages from map to map. It can neither drop tokens nor return layers."""

    model: PreTrainedModel

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """(B, places, D) the last map. `ValueError` with `keep` or `layers`."""
        if keep is not None:
            raise self._lacks("drop-tokens")
        if layers is not None:
            raise self._lacks("layers")
        assert tokens.grid is not None
        stem = tokens.values.transpose(1, 2).unflatten(2, tokens.grid)
        return Encoded(self.model.encoder(stem).last_hidden_state.flatten(2).transpose(1, 2))

    def restore(self, folder: Path) -> None:
        """Read the weights of an export."""
        self.model.load_state_dict(type(self.model).from_pretrained(folder).state_dict())


def as_tokens(stem: Tensor) -> Tokens:
    """A map (B, C, H, W) as tokens (B, H * W, C) with its grid."""
    return Tokens(stem.flatten(2).transpose(1, 2), grid=tuple(stem.shape[2:]))
