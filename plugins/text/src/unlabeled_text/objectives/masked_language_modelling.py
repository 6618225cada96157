"""text/masked-language-modelling: predict hidden tokens from both sides (BERT)."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from unlabeled import Config, Context, Draws, Encoder, Facts, Loss, Objective, View, ViewSpec


class MaskedLanguageModellingConfig(Config):
    """Options of text/masked-language-modelling; the share of chosen tokens is the masking's `ratio` (0.15)."""

    mask_probability: float = Field(
        0.8,
        ge=0,
        le=1,
        description="of the chosen tokens, those that become [MASK] (Devlin et al., 2019, section 3.1)",
    )
    random_probability: float = Field(
        0.1,
        ge=0,
        le=1,
        description="those that become a token drawn from the whole vocabulary (ibid.); the rest stays",
    )

    @model_validator(mode="after")
    def _at_most_all(self) -> "MaskedLanguageModellingConfig":
        if self.mask_probability + self.random_probability > 1:
            raise ValueError("mask_probability and random_probability add up to more than 1")
        return self


class MaskedLanguageModelling(Objective):
    """Cross-entropy, in nats, of the original ids of the chosen tokens (Devlin et al., 2019, BERT, section 3.1).

    The head runs on the chosen tokens alone: the same loss at 15 % of its cost. Each chosen token counts once, whatever
    its row, so the loss is a mean over tokens. Monitor `accuracy`: share of the chosen tokens that are guessed right.
    """

    Config = MaskedLanguageModellingConfig
    config: MaskedLanguageModellingConfig
    views = (ViewSpec(role="weak", masks={"mask": {"id": "standard/random-masking", "ratio": 0.15}}),)
    requires = frozenset({"tokens", "vocabulary"})

    def __init__(self, config: MaskedLanguageModellingConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts)
        for name, encoder in encoders.items():
            if not hasattr(encoder.modality, "mask_id") or not hasattr(encoder.modality, "vocabulary_size"):
                raise ValueError(
                    f"text/masked-language-modelling: the modality of {name} has no mask_id and vocabulary_size; use text/text"
                )

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """`masked`: the number of chosen tokens."""
        return {"masked": torch.stack([_chosen(view).sum() for view in views]).sum()}

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """Per row, over its chosen tokens: `masked` (B,) summed losses, `hits` (B,) right guesses, `chosen` (B,) tokens."""
        parts = [self._row_sums(view, encoders[view.encoder], context) for view in views]
        return {name: torch.stack([part[name] for part in parts]).sum(dim=0) for name in ("masked", "hits", "chosen")}

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        accuracy = own["hits"].sum() / own["chosen"].sum().clamp(min=1)
        return Loss({"masked": own["masked"].sum()}, monitors={"accuracy": accuracy})

    def corrupt(self, ids: Tensor, mask: Tensor, vocabulary_size: int, mask_id: int, draws: Draws) -> Tensor:
        """(B, N) ids with the chosen ones (mask (B, N) bool) as [MASK], as a random id, or as they are."""
        config, count = self.config, ids.shape[1]
        fate = draws("fate").uniform(count)
        drawn = draws("token").integers(0, vocabulary_size, count)
        replaced = torch.where(fate < config.mask_probability + config.random_probability, drawn, ids)
        replaced = torch.where(fate < config.mask_probability, mask_id, replaced)
        return torch.where(mask, replaced, ids)

    def _row_sums(self, view: View, encoder: Encoder, context: Context) -> dict[str, Tensor]:
        mask = _chosen(view)
        inputs = view.inputs["input_ids"]
        # Content tokens are the last N of the inputs; what comes before is the encoder's prefix.
        prefix, ids = inputs.tensor_split([inputs.shape[1] - mask.shape[1]], dim=1)
        modality, draws = encoder.modality, context.draws(view).within("masked-language-modelling")
        corrupted = self.corrupt(ids, mask, modality.vocabulary_size, modality.mask_id, draws)  # type: ignore[attr-defined]
        encoded = encoder(view.with_inputs(input_ids=torch.cat([prefix, corrupted], dim=1)))
        logits = encoder.vocabulary_logits(encoded.values[mask])
        targets, rows = ids[mask], mask.nonzero()[:, 0]
        losses = cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), targets, reduction="none")
        hits = (logits.argmax(dim=1) == targets).to(losses.dtype)
        zeros = losses.new_zeros(view.rows)
        return {
            "masked": zeros.index_add(0, rows, losses),
            "hits": zeros.index_add(0, rows, hits),
            "chosen": mask.sum(dim=1).to(losses.dtype),
        }


def _chosen(view: View) -> Tensor:
    """(B, N) bool: the tokens to predict, none in a row whose text is missing."""
    return view.masks["mask"] & view.present.unsqueeze(1)
