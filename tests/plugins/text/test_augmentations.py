"""Whole-word masking and word dropout."""

from typing import Any

import pytest
import torch

from unlabeled import Draws, Layout, View
from unlabeled.testing import check_masking, check_transform, make_draws
from unlabeled_text.augmentations.whole_word_masking import WholeWordMasking, WholeWordMaskingConfig
from unlabeled_text.augmentations.word_dropout import WordDropout, WordDropoutConfig
from unlabeled_text.encoders.bert import Bert
from unlabeled_text.modality import Text
from unlabeled_text.words import NO_WORD


def words_layout(*rows: list[int]) -> Layout:
    """A layout whose tokens have these word numbers."""
    words = torch.tensor(rows)
    return Layout((words.shape[1],), (words >= -1).sum(dim=1), words != NO_WORD, words)


def draws(rows: int, seed: int = 0) -> Draws:
    return Draws(seed, 0, torch.arange(rows))


def test_words_are_masked_whole(bert: Bert, text: Text, view_of: Any, texts: list[str]) -> None:
    layout = bert.layout(view_of(text, texts))
    masking = WholeWordMasking(WholeWordMaskingConfig(ratio=0.3))
    check_masking(masking, layout)
    assert layout.groups is not None
    for seed in range(20):
        mask = masking(layout, draws(len(texts), seed))
        for row in range(len(texts)):
            for word in layout.groups[row][layout.maskable[row]].unique():
                assert len(mask[row][layout.groups[row] == word].unique()) == 1


def test_share_of_words_is_exact_and_at_least_one() -> None:
    long = [0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    layout = words_layout(long, [0] * 5 + [NO_WORD] * 18, [NO_WORD] * 23)
    mask = WholeWordMasking(WholeWordMaskingConfig(ratio=0.15))(layout, draws(3))
    assert layout.groups is not None
    assert len(layout.groups[0][mask[0]].unique()) == 3
    assert mask[1].tolist() == [True] * 5 + [False] * 18
    assert not mask[2].any()


def test_every_word_is_equally_likely() -> None:
    layout = words_layout(*[[0, 0, 0, 1, 2, 2, 3]] * 4000)
    mask = WholeWordMasking(WholeWordMaskingConfig(ratio=0.25))(layout, draws(4000))
    shares = mask.to(torch.float64).mean(dim=0)
    torch.testing.assert_close(shares, torch.full((7,), 0.25, dtype=torch.float64), rtol=0, atol=0.03)


def test_neighbouring_words_stay_apart_over_a_special_token() -> None:
    layout = words_layout(*[[0, NO_WORD, 0]] * 200)
    mask = WholeWordMasking(WholeWordMaskingConfig(ratio=0.5))(layout, draws(200))
    assert not mask[:, 1].any()
    assert (mask.sum(dim=1) == 1).all()


def test_without_words_every_token_is_one() -> None:
    layout = Layout.dense((40,), 3, torch.device("cpu"))
    mask = WholeWordMasking(WholeWordMaskingConfig(ratio=0.25))(layout, draws(3))
    assert mask.sum(dim=1).tolist() == [10, 10, 10]


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_word_dropout_keeps_the_promises_of_a_transform(
    text: Text, view_of: Any, texts: list[str], probability: float
) -> None:
    transform = WordDropout(WordDropoutConfig(probability=probability))
    check_transform(transform, view_of(text, texts, role="strong"))
    check_transform(transform, view_of(text, [texts[0]] * 4, role="strong"))


def test_word_dropout_leaves_out_whole_words_and_closes_the_gaps(text: Text, view_of: Any, texts: list[str]) -> None:
    view: View = view_of(text, [texts[4], texts[0]] * 20, role="strong")
    before = view.extra["words"].clone()
    result = WordDropout(WordDropoutConfig(probability=0.4))(view, make_draws(view))
    assert torch.equal(view.extra["words"], before)
    ids, words, mask = result.inputs["input_ids"], result.extra["words"], result.inputs["attention_mask"]
    changed = 0
    for row in range(view.rows):
        old, length = view.extra["words"][row], int(mask[row].sum())
        kept = set(words[row].tolist())
        stays = torch.tensor([word in kept for word in old.tolist()]) & (view.inputs["attention_mask"][row] == 1)
        assert ids[row, :length].tolist() == view.inputs["input_ids"][row][stays].tolist()
        assert ids[row, 0] == text.tokenizer.cls_token_id and ids[row, length - 1] == text.tokenizer.sep_token_id
        assert mask[row].tolist() == [1] * length + [0] * (len(old) - length)
        assert (words[row, length:] == NO_WORD).all()
        changed += length < int(view.inputs["attention_mask"][row].sum())
    assert changed > 30, "of 40 rows"


def test_word_dropout_never_empties_a_text(text: Text, view_of: Any) -> None:
    view: View = view_of(text, ["lazy fox"] * 200, role="strong")
    result = WordDropout(WordDropoutConfig(probability=0.9))(view, make_draws(view))
    left = (result.extra["words"] != NO_WORD).sum(dim=1)
    assert int(left.min()) >= 1


def test_word_dropout_leaves_out_as_many_as_it_says(text: Text, view_of: Any, texts: list[str]) -> None:
    view: View = view_of(text, [texts[4]] * 600, role="strong")
    result = WordDropout(WordDropoutConfig(probability=0.2))(view, make_draws(view))

    def count(extra: Any) -> float:
        return float(sum(len(row[row >= 0].unique()) for row in extra["words"]))

    assert 1 - count(result.extra) / count(view.extra) == pytest.approx(0.2, abs=0.02)
