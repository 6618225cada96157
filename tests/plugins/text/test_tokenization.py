"""Tokenizers: the same for the same texts, readable by transformers, loaded with clear errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from unlabeled_text.modality import Text, TextConfig
from unlabeled_text.tokenization import ROLES, load_tokenizer, train_tokenizer

DIGEST = """
import hashlib, random
from unlabeled_text.tokenization import train_tokenizer
rng = random.Random(3)
words = ["".join(rng.choices("abcdefghé日,", k=rng.randint(1, 7))) for _ in range(400)]
texts = [" ".join(rng.choices(words, k=12)) for _ in range(300)]
for algorithm in ("wordpiece", "bpe"):
    tokenizer = train_tokenizer(texts, algorithm, 300, True, 32)
    print(hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest())
    print(repr(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))[:2000])
"""


def run_with(**environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", DIGEST], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return result.stdout


def test_vocabulary_is_the_same_in_every_process_and_with_any_number_of_threads() -> None:
    alone = run_with(TOKENIZERS_PARALLELISM="false", PYTHONHASHSEED="1")
    threads = run_with(TOKENIZERS_PARALLELISM="true", RAYON_NUM_THREADS="4", PYTHONHASHSEED="2")
    assert alone == threads


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_special_tokens_come_first_and_the_size_is_kept(algorithm: str, texts: list[str]) -> None:
    size = {"wordpiece": 100, "bpe": 280}[algorithm]
    tokenizer = train_tokenizer(texts, algorithm, size, True, 24)
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(ROLES.values())
    assert len(tokenizer) == size
    assert tokenizer.model_max_length == 24


def test_alphabet_of_wordpiece_is_not_special(texts: list[str]) -> None:
    tokenizer = train_tokenizer(texts, "wordpiece", 100, True, 24)
    assert tokenizer.tokenize("fox") == ["fox"]
    assert set(tokenizer.all_special_tokens) == set(ROLES.values())


def test_case_is_kept_where_asked(texts: list[str]) -> None:
    assert train_tokenizer(texts, "wordpiece", 100, False, 24).tokenize("The")[0] == "The"
    assert train_tokenizer(texts, "wordpiece", 100, True, 24).tokenize("The")[0] == "the"
    assert "T" in "".join(train_tokenizer(texts, "bpe", 300, False, 24).tokenize("The"))


def test_byte_level_bpe_writes_every_text(texts: list[str]) -> None:
    tokenizer = train_tokenizer(texts, "bpe", 280, False, 24)
    unseen = "日本語 😀 ﬁ \u200d ñ"
    assert tokenizer.decode(tokenizer.encode(unseen, add_special_tokens=False)).strip() == unseen
    assert tokenizer.unk_token_id not in tokenizer.encode(unseen)


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_saved_tokenizer_is_what_auto_tokenizer_loads(algorithm: str, texts: list[str], tmp_path: Path) -> None:
    modality = Text(TextConfig(algorithm=algorithm, vocabulary_size=300, max_length=24))
    modality.fit(texts)
    modality.save(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in [*texts, "naïve 日本", "it [MASK] up"]:
        sample = modality.take(modality.decode(text), None, "plain")  # type: ignore[arg-type]
        assert loaded(text, truncation=True)["input_ids"] == sample["input_ids"].tolist()
    assert {role: getattr(loaded, role) for role in ROLES} == ROLES

    restored = Text(modality.config)
    restored.restore(tmp_path)
    assert restored.vocabulary_size == modality.vocabulary_size
    assert restored.decode(texts[1])["input_ids"].tolist() == modality.decode(texts[1])["input_ids"].tolist()


def test_tokenizer_is_loaded_from_a_folder_and_from_a_file(text: Text, tmp_path: Path) -> None:
    text.save(tmp_path)
    expected = text.decode("lazy foxes")["input_ids"].tolist()
    for name in (tmp_path, tmp_path / "tokenizer.json"):
        modality = Text(TextConfig(tokenizer=str(name)))
        modality.fit(["never read"])
        assert modality.decode("lazy foxes")["input_ids"].tolist() == expected
        assert modality.mask_id == text.mask_id


def test_truncation_and_padding_of_a_loaded_tokenizer_are_switched_off(text: Text, tmp_path: Path) -> None:
    text.save(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=30)
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    modality = Text(TextConfig(tokenizer=str(tmp_path)))
    modality.fit([])
    assert (
        modality.decode("the lazy brown fox jumps")["input_ids"].tolist()
        == text.decode("the lazy brown fox jumps")["input_ids"].tolist()
    )


def test_missing_tokenizer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/no-such-checkpoint", str(tmp_path / "no-such-folder"), str(tmp_path)):
        with pytest.raises(ValueError, match="tokenizer: .*is no folder or tokenizer.json here") as error:
            load_tokenizer(name)
        assert "\n" not in str(error.value)
        assert name in str(error.value)


def test_corrupt_tokenizer_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        load_tokenizer(str(path))


def test_tokenizer_without_a_mask_token_is_refused(text: Text, tmp_path: Path) -> None:
    PreTrainedTokenizerFast(
        tokenizer_object=text.tokenizer.backend_tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no mask_token"):
        load_tokenizer(str(tmp_path))
