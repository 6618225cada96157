"""text/word-dropout: a text without some of its words."""

from dataclasses import replace

import torch
from pydantic import Field

from unlabeled import Config, Draws, Transform, View
from unlabeled_text.words import NO_WORD, spread_over_words, word_starts


class WordDropoutConfig(Config):
    """Options of text/word-dropout."""

    probability: float = Field(0.1, ge=0, lt=1, description="with which each word is left out (Wei and Zou, 2019: 0.1)")


class WordDropout(Transform):
    """Leaves out whole words and closes the gaps. Special tokens stay, and so does a text that would lose every word."""

    Config = WordDropoutConfig
    config: WordDropoutConfig

    def __call__(self, view: View, draws: Draws) -> View:
        """`input_ids`, `attention_mask` and the extra `words`, each (B, L) as before, with padding where words went."""
        ids, words = view.inputs["input_ids"], view.extra["words"]
        real = view.inputs.get("attention_mask", torch.ones_like(ids)).to(torch.bool)
        starts = word_starts(words)
        dropped = starts & draws("dropped").coin(self.config.probability, ids.shape[1])
        dropped &= (dropped.sum(dim=1) < starts.sum(dim=1)).unsqueeze(1)
        kept = real & ~(spread_over_words(dropped, starts) & (words != NO_WORD))
        order = (~kept).to(torch.int64).argsort(dim=1, stable=True)
        kept = kept.gather(1, order)
        changed = view.with_inputs(
            input_ids=ids.gather(1, order).masked_fill(~kept, 0), attention_mask=kept.to(torch.int64)
        )
        return replace(changed, extra={**view.extra, "words": words.gather(1, order).masked_fill(~kept, NO_WORD)})
