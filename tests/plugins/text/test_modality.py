"""Cells become samples, samples views, views batches."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from unlabeled import Draws, View
from unlabeled.testing import make_view
from unlabeled_text.modality import Text, TextConfig


def draws(number: int, epoch: int = 0, role: str = "weak", view: int = 0) -> Draws:
    return Draws(0, epoch, torch.tensor([number]), "text", role, view)


def words_of(modality: Text, sample: dict[str, np.ndarray]) -> str:
    return modality.tokenizer.decode(sample["input_ids"], skip_special_tokens=True)


def with_config(modality: Text, **options: Any) -> Text:
    """Another modality with the same tokenizer."""
    other = Text(modality.config.model_copy(update=options))
    other._tokenizer = modality.tokenizer
    return other


def test_text_bytes_and_lists_of_them_are_read(text: Text) -> None:
    expected = text.decode("lazy fox")["input_ids"].tolist()
    for cell in (
        b"lazy fox",
        b"\xef\xbb\xbflazy fox",
        ["lazy fox"],
        np.array(["lazy fox"], dtype=object),
        [None, "lazy fox"],
    ):
        assert text.decode(cell)["input_ids"].tolist() == expected
    both = text.decode(["lazy fox", ["dog", b"lazy"]])
    assert both["ends"].tolist() == [len(expected), len(expected) + 1, len(expected) + 2] or len(both["ends"]) == 3


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (b"caf\xe9", "not UTF-8"),
        ("half \ud800", "surrogate"),
        (7, "expected a text, not int"),
        ({"text": "a"}, "expected a text, not dict"),
        ([], "empty"),
        ([None], "empty"),
        (["fine", 3.0], "not float"),
    ],
)
def test_cells_that_hold_no_text_say_why(text: Text, cell: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        text.decode(cell)


def test_word_numbers_join_the_pieces_of_a_word(text: Text) -> None:
    sample = text.decode("unmatched fox's")
    tokens = text.tokenizer.convert_ids_to_tokens(sample["input_ids"])
    starts = np.flatnonzero(np.diff(sample["words"], prepend=-1))
    assert [index for index, token in enumerate(tokens) if not token.startswith("##")] == starts.tolist()


def test_special_tokens_in_the_text_belong_to_no_word(text: Text) -> None:
    sample = text.decode("lazy [MASK] fox [SEP]")
    special = np.isin(sample["input_ids"], [text.mask_id, text.tokenizer.sep_token_id])
    assert special.sum() == 2
    assert ((sample["words"] == -1) == special).all()


def test_unknown_characters_are_words_all_the_same(text: Text) -> None:
    sample = text.decode("日本 lazy 😀")
    assert (sample["words"] >= 0).all()
    assert text.tokenizer.unk_token_id in sample["input_ids"]


def test_empty_and_blank_text_is_the_two_special_tokens(text: Text) -> None:
    for sample in (text.decode(""), text.decode(" \n\t"), text.blank()):
        taken = text.take(sample, draws(0), "weak")
        assert taken["input_ids"].tolist() == [text.tokenizer.cls_token_id, text.tokenizer.sep_token_id]
        assert taken["words"].tolist() == [-1, -1]


def test_each_view_and_epoch_draws_one_of_several_texts(text: Text) -> None:
    sample = text.decode(["brown fox", "lazy dog", "nobody"])
    seen = {
        words_of(text, text.take(sample, draws(number, epoch), "weak")) for number in range(8) for epoch in range(4)
    }
    assert seen == {"brown fox", "lazy dog", "nobody"}
    views = [words_of(text, text.take(sample, draws(1, 0, view=view), "weak")) for view in range(20)]
    assert len(set(views)) == 3
    again = text.take(sample, draws(5, 2), "weak")
    assert again["input_ids"].tolist() == text.take(sample, draws(5, 2), "weak")["input_ids"].tolist()


def test_some_of_several_texts_are_joined_in_any_order(text: Text) -> None:
    sample = text.decode(["brown fox", "lazy dog", "nobody"])
    some = with_config(text, draw="some")
    seen = {
        words_of(text, some.take(sample, draws(number, epoch), "weak")) for number in range(40) for epoch in range(4)
    }
    parts = ("brown fox", "lazy dog", "nobody")
    assert seen == {" ".join(order) for count in (1, 2, 3) for order in permutations(parts, count)}
    assert words_of(text, some.take(sample, draws(0, role="plain"), "plain")) == "brown fox"
    assert some.take(text.decode("fox"), draws(0), "weak")["input_ids"].tolist() == [
        text.tokenizer.cls_token_id,
        *text.decode("fox")["input_ids"],
        text.tokenizer.sep_token_id,
    ]
    long = with_config(text, draw="some", max_length=4).take(sample, draws(3), "weak")
    assert len(long["input_ids"]) == len(long["words"]) <= 4


def test_evaluation_reads_the_first_text_or_all_and_draws_nothing(text: Text) -> None:
    sample = text.decode(["brown fox", "lazy dog"])
    for number in range(5):
        assert words_of(text, text.take(sample, draws(number, role="plain"), "plain")) == "brown fox"
    everything = with_config(text, evaluate_with="all")
    taken = everything.take(sample, draws(0, role="plain"), "plain")
    assert words_of(text, taken) == "brown fox lazy dog"
    assert len(set(taken["words"].tolist())) == 5


def test_long_text_is_cut_to_a_random_window_and_for_evaluation_to_its_beginning(text: Text) -> None:
    sample = text.decode("the quick brown fox jumps over the lazy dog. " * 2000)
    assert len(sample["input_ids"]) > 10000
    plain = text.take(sample, draws(0, role="plain"), "plain")
    assert len(plain["input_ids"]) == text.config.max_length
    assert plain["input_ids"][1:-1].tolist() == sample["input_ids"][: text.config.max_length - 2].tolist()
    windows = {tuple(text.take(sample, draws(number), "weak")["words"][1:-1]) for number in range(20)}
    assert len(windows) == 20
    assert all(len(window) == text.config.max_length - 2 for window in windows)


def test_collate_pads_on_the_right_only_where_lengths_differ(text: Text) -> None:
    short, long = (text.take(text.decode(cell), draws(0), "plain") for cell in ("lazy", "lazy brown fox"))
    batch = text.collate([short, long])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["input_ids"][0, 3:].tolist() == [text.tokenizer.pad_token_id] * 2
    assert batch["words"][0].tolist() == [-1, 0, -1, -1, -1]
    assert "attention_mask" not in text.collate([long, long])
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_packing_keeps_every_token_of_the_corpus_in_order(text: Text, texts: list[str]) -> None:
    packed = with_config(text, pack=True, max_length=8)
    cells = [texts[0], None, [texts[1], texts[3]], b"\xff", "", texts[4], " "]
    blocks = list(packed.pack(cells) or [])
    first, separator = text.tokenizer.cls_token_id, text.tokenizer.sep_token_id
    assert all(len(block["input_ids"]) == 8 for block in blocks[:-1])
    assert all(block["input_ids"][0] == first and block["words"][0] == -1 for block in blocks)
    stream = [int(number) for block in blocks for number in block["input_ids"][1:]]
    readable = [texts[0], texts[1], texts[3], texts[4]]
    assert stream == [number for each in readable for number in [*text.decode(each)["input_ids"].tolist(), separator]]
    for block in blocks:
        assert ((block["words"] == -1) == np.isin(block["input_ids"], [first, separator])).all()


def test_words_of_neighbouring_texts_are_not_joined_by_packing(text: Text) -> None:
    packed = with_config(text, pack=True, max_length=16)
    (block,) = packed.pack(["lazy", "lazy", "fox"]) or ()
    words = [number for number in block["words"].tolist() if number >= 0]
    assert len(set(words)) == len(words) == 3


def test_packed_blocks_pass_every_role_unchanged(text: Text) -> None:
    packed = with_config(text, pack=True, max_length=8)
    block = next(iter(packed.pack(["lazy brown fox " * 9]) or ()))
    for role in ("plain", "weak", "strong"):
        assert packed.take(block, draws(3), role) is block


def test_without_packing_there_is_nothing_to_pack(text: Text) -> None:
    assert text.pack(["lazy"]) is None


def test_raw_features_are_bags_of_tokens(text: Text, view_of: Any) -> None:
    view: View = view_of(text, ["lazy fox fox", "fox lazy fox", "", "nobody will"])
    raw = text.raw(view)
    assert raw.shape == (4, text.vocabulary_size)
    assert raw.dtype == torch.float32
    torch.testing.assert_close(raw[0], raw[1])
    torch.testing.assert_close(raw.norm(dim=1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert float(raw[0] @ raw[3]) == 0.0
    alone = view_of(text, ["lazy fox fox"])
    torch.testing.assert_close(text.raw(alone)[0], raw[0])
    narrow = with_config(text, raw_features=16)
    assert narrow.raw(view).shape == (4, 16)


def test_fit_leaves_out_cells_that_cannot_be_read() -> None:
    modality = Text(TextConfig(vocabulary_size=40))
    modality.fit([None, b"\xff\xfe\x00", 3, ["alpha beta", None], "beta gamma"])
    assert "beta" in modality.tokenizer.get_vocab()


def test_fit_reads_no_more_than_it_is_told_to() -> None:
    def cells() -> Any:
        yield "alpha beta"
        yield "gamma delta"
        raise AssertionError("read too far")

    modality = Text(TextConfig(vocabulary_size=60, training_characters=12))
    modality.fit(cells())
    assert "x" not in modality.tokenizer.get_vocab()


@pytest.mark.parametrize("cells", [[], [None], ["", "  "], [3]])
def test_fit_without_text_says_so(cells: list[Any]) -> None:
    with pytest.raises(ValueError, match="no training cell holds any text"):
        Text(TextConfig()).fit(cells)


def test_use_before_fit_says_so() -> None:
    with pytest.raises(ValueError, match="call fit or restore first"):
        Text(TextConfig()).decode("a")


def test_show_gives_the_text_back(text: Text) -> None:
    assert text.show(text.decode("the lazy fox")) == "the lazy fox"


def test_blank_of_a_missing_cell_collates_with_others(text: Text) -> None:
    samples = [text.take(sample, draws(0), "weak") for sample in (text.blank(), text.decode("lazy fox"))]
    batch = text.collate(samples)
    view = make_view({name: batch[name] for name in ("input_ids", "attention_mask")}, extra={"words": batch["words"]})
    assert float(text.raw(view)[0].sum()) == 0.0
