"""text/bert: BERT from transformers, with its masked-language-modelling head."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import BertConfig as TransformersBertConfig
from transformers import BertForMaskedLM, BertForPreTraining, BertModel
from transformers.masking_utils import create_bidirectional_mask

from unlabeled import Batch, Config, Encoded, Encoder, Layout, Tokens, gather_tokens
from unlabeled_text.modality import Text
from unlabeled_text.words import NO_WORD


class BertConfig(Config):
    """Options of text/bert; BERT base has 768 wide, 12 layers, 12 heads (Devlin et al., 2019)."""

    hidden_size: int = Field(128, ge=2, description="D, width of the tokens")
    layers: int = Field(2, ge=1, description="number of transformer layers")
    heads: int = Field(4, ge=1, description="attention heads; they share hidden_size")
    intermediate_size: int | None = Field(None, ge=1, description="width between the feed-forward layers; default: 4 D")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of hidden states and attention; BERT has 0.1, 0 is faster and learns more in few epochs",
    )
    positions: int | None = Field(
        None, ge=4, description="most tokens the model can read; default: the modality's max_length"
    )
    initial_positions: Literal["normal", "sinusoidal"] = Field(
        "normal",
        description="position embeddings before training: normal (Devlin et al., 2019), or sines and cosines of the same size "
        "(Vaswani et al., 2017, section 3.5). Both are learned",
    )
    initializer_range: float = Field(
        0.02, gt=0, description="standard deviation of initial weights (Devlin et al., 2019)"
    )
    pool: Literal["mean", "class", "pooler"] = Field(
        "mean",
        description="what stands for a sample: the mean of its tokens, [CLS], or BERT's own pooler (a dense layer and tanh on "
        "[CLS]), which a joint export with an image encoder needs",
    )
    attention: Literal["sdpa", "eager"] = Field("sdpa", description="transformers' attention implementation")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "BertConfig":
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of heads {self.heads}")
        return self


class Bert(Encoder):
    """BertForMaskedLM, or BertForPreTraining where its pooler is used. Content tokens are the N = L - 1 tokens after [CLS],
    which is the prefix; [SEP] is content that no masking may choose.
    """

    Config = BertConfig
    config: BertConfig
    modality: Text
    provides = frozenset({"tokens", "class-token", "mask-token", "drop-tokens", "vocabulary", "layers", "branches"})

    def __init__(self, config: BertConfig, modality: Text) -> None:
        super().__init__(config, modality)
        self.width = config.hidden_size
        positions = config.positions or modality.config.max_length
        if positions < modality.config.max_length:
            raise ValueError(
                f"text/bert: positions {positions} is less than the modality's max_length {modality.config.max_length}"
            )
        self.model = self._architecture(
            TransformersBertConfig(
                vocab_size=modality.vocabulary_size,
                hidden_size=config.hidden_size,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.intermediate_size or 4 * config.hidden_size,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                max_position_embeddings=positions,
                initializer_range=config.initializer_range,
                pad_token_id=modality.tokenizer.pad_token_id,
                attn_implementation=config.attention,
            )
        )
        if config.pool == "pooler":
            _let_tokens_mix(self.model.bert)
        if config.initial_positions == "sinusoidal":
            with torch.no_grad():
                positions_ = self.model.bert.embeddings.position_embeddings.weight
                positions_.copy_(_sinusoids(*positions_.shape) * (config.initializer_range * math.sqrt(2)))

    def embed(self, batch: Batch) -> Tokens:
        """Sums of word, position and type embeddings, normalised: prefix (B, 1, D), values (B, L - 1, D)."""
        embedded = self.model.bert.embeddings(input_ids=batch.inputs["input_ids"])
        mask = batch.inputs.get("attention_mask")
        padding = None if mask is None else mask[:, 1:].to(torch.bool)
        return Tokens(embedded[:, 1:], prefix=embedded[:, :1], padding=padding)

    def encode(self, tokens: Tokens, *, keep: Tensor | None = None, layers: str | None = None) -> Encoded:
        """Run the layers on the prefix and the kept content tokens."""
        values, padding = tokens.values, tokens.padding
        if keep is not None:
            values = gather_tokens(values, keep)
            padding = None if padding is None else padding.gather(1, keep)
        prefix = values[:, :0] if tokens.prefix is None else tokens.prefix
        count = prefix.shape[1]
        hidden = torch.cat([prefix, values], dim=1)
        real = None if padding is None else nn.functional.pad(padding.to(torch.int64), (count, 0), value=1)
        attention = create_bidirectional_mask(config=self.model.config, inputs_embeds=hidden, attention_mask=real)
        with self._recording(layers) as recorded:
            hidden = self.model.bert.encoder(hidden, attention_mask=attention).last_hidden_state
        return Encoded(
            hidden[:, count:],
            prefix=hidden[:, :count],
            padding=padding,
            layers=tuple(layer[:, count:] for layer in recorded),
            features=tokens.features,
        )

    def pool(self, encoded: Encoded) -> Tensor:
        """(B, D): the pooler's output, the encoded [CLS], or the mean over every real token, [CLS] and [SEP] included, as is
        usual for BERT.
        """
        assert encoded.prefix is not None
        if self.config.pool == "pooler":
            return cast(Tensor, self.model.bert.pooler(encoded.prefix))
        if self.config.pool == "class":
            return encoded.prefix[:, 0]
        total = encoded.prefix.sum(dim=1)
        if encoded.padding is None:
            count: Tensor | int = encoded.prefix.shape[1] + encoded.values.shape[1]
            return (total + encoded.values.sum(dim=1)) / count
        weight = encoded.padding.unsqueeze(-1).to(encoded.values.dtype)
        return (total + (encoded.values * weight).sum(dim=1)) / (encoded.prefix.shape[1] + weight.sum(dim=1))

    def layout(self, batch: Batch) -> Layout:
        """One axis of content tokens; those that belong to a word are maskable, a word's pieces are a group."""
        words = batch.extra["words"][:, 1:]
        mask = batch.inputs.get("attention_mask")
        rows, count = words.shape
        lengths = words.new_full((rows,), count) if mask is None else mask[:, 1:].sum(dim=1)
        return Layout((count,), lengths, words != NO_WORD, words)

    def replace(self, tokens: Tokens, mask: Tensor) -> Tokens:
        """The chosen tokens as [MASK] at their places, exactly as `embed` would have them."""
        ids = torch.full((1, tokens.values.shape[1] + 1), self.modality.mask_id, device=mask.device)
        masked = self.model.bert.embeddings(input_ids=ids)[:, 1:]
        return tokens.with_values(torch.where(mask.unsqueeze(-1), masked, tokens.values))

    def vocabulary_logits(self, values: Tensor) -> Tensor:
        """(M, V) logits of encoded tokens (M, D): dense, GELU, LayerNorm, and the word embeddings with a bias."""
        return cast(Tensor, self.model.cls.predictions(values))

    def transformers_model(self) -> BertModel | None:
        """BertModel, where its pooler gives the features."""
        return self.model.bert if self.config.pool == "pooler" else None

    def export(self, folder: Path) -> None:
        """Write the model, which AutoModel and AutoModelForMaskedLM both read, and the tokenizer."""
        self.model.save_pretrained(folder)
        self.modality.save(folder)

    def restore(self, folder: Path) -> None:
        """Read the weights back."""
        self.model.load_state_dict(self._architecture.from_pretrained(folder).state_dict())

    @property
    def _architecture(self) -> type[BertForMaskedLM] | type[BertForPreTraining]:
        """The class whose checkpoint holds the pooler, where there is one."""
        return BertForPreTraining if self.config.pool == "pooler" else BertForMaskedLM

    @contextmanager
    def _recording(self, which: str | None) -> Iterator[list[Tensor]]:
        """Collect (B, S + N, D) of each layer while it runs: its output, or its feed-forward branch before the residual sum."""
        recorded: list[Tensor] = []
        layers = self.model.bert.encoder.layer if which else ()
        parts = [layer if which == "hidden" else layer.output.dense for layer in layers]
        hooks = [part.register_forward_hook(lambda module, inputs, output: recorded.append(output)) for part in parts]
        try:
            yield recorded
        finally:
            for hook in hooks:
                hook.remove()


def _let_tokens_mix(model: BertModel) -> None:
    """Start the values and outputs of attention at N(0, 1 / D), so that they neither shrink nor grow what they pass on.

    At BERT's 0.02 a narrow model passes on next to nothing: its [CLS], and so the pooler, is at first the same for every
    text, and learning from it starts late.
    """
    for layer in model.encoder.layer:
        for linear in (layer.attention.self.value, layer.attention.output.dense):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)


def _sinusoids(count: int, width: int) -> Tensor:
    """(count, width): sines at even and cosines at odd places, wavelengths 2 pi to 20000 pi (Vaswani et al., 2017, 3.5)."""
    place = torch.arange(width)
    angles = torch.arange(count).unsqueeze(1) / 10000.0 ** ((place - place % 2) / width)
    return torch.where(place % 2 == 0, angles.sin(), angles.cos())
