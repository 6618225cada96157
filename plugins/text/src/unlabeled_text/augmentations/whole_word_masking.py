"""text/whole-word-masking: a word is masked with all of its pieces or not at all."""

import torch
from pydantic import Field
from torch import Tensor

from unlabeled import Config, Draws, Layout, Masking
from unlabeled_text.words import NO_WORD, spread_over_words, word_starts


class WholeWordMaskingConfig(Config):
    """Options of text/whole-word-masking."""

    ratio: float = Field(0.15, gt=0, lt=1, description="share of the words of each row (Devlin et al., 2019: 0.15)")


class WholeWordMasking(Masking):
    """Words are drawn instead of tokens: round(ratio * words) of each row, at least one, each with all of its tokens."""

    Config = WholeWordMaskingConfig
    config: WholeWordMaskingConfig

    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        """(B, N) bool; without groups every maskable token is a word."""
        places = torch.arange(layout.tokens, device=layout.maskable.device).expand_as(layout.maskable)
        words = (places if layout.groups is None else layout.groups).masked_fill(~layout.maskable, NO_WORD)
        starts = word_starts(words)
        count = torch.round(self.config.ratio * starts.sum(dim=1)).to(torch.int64).clamp(min=1)
        chosen = draws("words").subset(starts, count)
        return spread_over_words(chosen, starts) & layout.maskable
