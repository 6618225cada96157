"""Encoder: a network cut into embed and encode, so that objectives can work on its tokens."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from unlabeled.interfaces.batch import Batch, Encoded, Layout, Tokens
from unlabeled.interfaces.modality import Config, Modality
from unlabeled.interfaces.module import Module


class Encoder(Module, ABC):
    """A backbone, usually a thin adapter of a transformers model.

    The least one needs: `width`, `embed`, `encode`. What else it implements it says in `provides` (see `CAPABILITIES`);
    a manifest declares the most a class can have, an instance may have less.

    Shapes: B rows, N content tokens, D = width, P values of one patch.

    width: D, set in `__init__`.
    provides: the capabilities of this class; an instance that has fewer sets its own in `__init__`.
    local_width: L, the width of `Tokens.features["local"]`; set by encoders with the capability `local-features`.
    """

    Config: ClassVar[type[BaseModel]] = Config
    provides: frozenset[str] = frozenset()
    width: int
    local_width: int

    def __init__(self, config: BaseModel, modality: Modality) -> None:
        """Build the network for `modality` (fitted: `input_shape`, vocabulary, ... are known)."""
        super().__init__()
        self.config = config
        self.modality = modality

    @property
    def pooled_width(self) -> int:
        """Width of what `pool` gives; default: D. Override it together with a `pool` of another width."""
        return self.width

    @abstractmethod
    def embed(self, batch: Batch) -> Tokens:
        """Samples as tokens with their positions, before any layer."""

    @abstractmethod
    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """Run the layers.

        keep: (B, K) int64, the content tokens to run, the rest is dropped (capability `drop-tokens`; wav2vec 2.0 drops
        after its positional convolution). layers: `hidden` also returns each layer's output (capability `layers`),
        `branch` each feed-forward branch before its residual addition (capability `branches`).
        """

    def forward(self, batch: Batch) -> Encoded:
        """embed, then encode of all tokens; equals the transformers model's own forward exactly."""
        return self.encode(self.embed(batch))

    def pool(self, encoded: Encoded) -> Tensor:
        """(B, pooled_width): one vector a sample, what evaluators and exports use.

        Default: (B, D), the mean over the real content tokens.
        """
        if encoded.padding is None:
            return encoded.values.mean(dim=1)
        weight = encoded.padding.unsqueeze(-1).to(encoded.values.dtype)
        return (encoded.values * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def layout(self, batch: Batch) -> Layout:
        """How the tokens of `batch` lie, without running the network (capability `tokens`)."""
        raise self._lacks("tokens")

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The chosen tokens (mask (B, N) bool) replaced by the encoder's learned vector (capability `mask-token`)."""
        raise self._lacks("mask-token")

    def patches(self, batch: Batch) -> Tensor:
        """(B, N, P) float: what each token saw of the input, the targets of reconstruction (capability `patches`)."""
        raise self._lacks("patches")

    def unpatch(self, patches: Tensor, batch: Batch) -> Tensor:
        """The inverse of `patches`: a main input like that of `batch`, made from (B, N, P)."""
        raise self._lacks("patches")

    def vocabulary_logits(self, values: Tensor) -> Tensor:
        """(M, V) logits over the vocabulary of encoded tokens (M, D), through the model's own head (capability `vocabulary`)."""
        raise self._lacks("vocabulary")

    def checkpoint_gradients(self) -> None:
        """From now on recompute the layers in the backward pass instead of keeping what they computed.

        Default: as the transformers models in it do it; `NotImplementedError` where there is none that can.
        """
        able: list[Any] = [
            module for module in self.children() if getattr(module, "supports_gradient_checkpointing", False)
        ]
        if not able:
            raise NotImplementedError(f"{type(self).__name__} cannot recompute its layers")
        for model in able:
            # The older name warns where there is the newer one.
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})

    def transformers_model(self) -> Any | None:
        """The transformers model whose `pooler_output` (B, D) is what `pool` gives, where there is one; joint exports of
        several encoders are built from such models.
        """
        return None

    def export(self, folder: Path) -> None:
        """Write a checkpoint and its processor as transformers would, so that AutoModel and AutoProcessor load them.

        Default: the weights alone, as safetensors, which `unlabeled.load` reads.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / "encoder.safetensors")

    def restore(self, folder: Path) -> None:
        """Read weights that `export` wrote into this instance."""
        from safetensors.torch import load_file

        self.load_state_dict(load_file(folder / "encoder.safetensors"))

    def _lacks(self, capability: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} does not have the capability {capability}")


def gather_tokens(values: Tensor, keep: Tensor) -> Tensor:
    """(B, K, ...) the rows of `values` (B, N, ...) at `keep` (B, K) int64."""
    index = keep.reshape(*keep.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return torch.gather(values, 1, index)
