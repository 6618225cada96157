"""Tokenizers: trained on one's own texts, or loaded from a folder, a file or a checkpoint."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

# Worker processes are forked after the tokenizer was used; threads of its own would not survive that, and it warns.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROLES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
NEEDED = ("pad_token", "cls_token", "sep_token", "mask_token")
ALPHABET = 1000


def train_tokenizer(
    texts: Sequence[str], algorithm: str, vocabulary_size: int, lowercase: bool, max_length: int
) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `vocabulary_size` tokens: the same for the same texts, whatever the number of threads.

    algorithm: `wordpiece` (BERT: Devlin et al., 2019) or `bpe`, byte-level (Sennrich et al., 2016; Radford et al., 2019).
    Ids 0 to 4 are [PAD], [UNK], [CLS], [SEP] and [MASK].
    """
    train = {"wordpiece": _train_wordpiece, "bpe": _train_bpe}[algorithm]
    tokenizer = train(texts, vocabulary_size, lowercase)
    tokenizer.add_special_tokens(list(ROLES.values()))
    ends = [(token, tokenizer.token_to_id(token)) for token in (ROLES["cls_token"], ROLES["sep_token"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **ROLES)


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder, in a tokenizer.json, or of a checkpoint.

    `ValueError` of one line where there is none, or where it lacks a special token that masked batches need.
    """
    path = Path(name).expanduser()
    try:
        tokenizer = (
            _read_file(path) if path.is_file() else AutoTokenizer.from_pretrained(str(path) if path.exists() else name)
        )
    except Exception as error:  # a missing folder, a corrupt file, no network: transformers raises many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"tokenizer: {name!r} is no folder or tokenizer.json here, and as a checkpoint it could not be loaded ({reason}); "
            "check the name, download it first, or leave `tokenizer` out to train one"
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"tokenizer: {name!r} has no tokenizer.json; convert it to a fast tokenizer first")
    missing = [role for role in NEEDED if getattr(tokenizer, role) is None]
    if missing:
        raise ValueError(
            f"tokenizer: {name!r} has no {', '.join(missing)}; use one that was made for masked language models"
        )
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _read_file(path: Path) -> PreTrainedTokenizerFast:
    """A tokenizer.json; which token has which role stands in no field of it, so the usual names are looked for."""
    tokenizer = Tokenizer.from_file(str(path))
    usual = {
        "pad_token": ("[PAD]", "<pad>"),
        "unk_token": ("[UNK]", "<unk>"),
        "cls_token": ("[CLS]", "<s>"),
        "sep_token": ("[SEP]", "</s>"),
        "mask_token": ("[MASK]", "<mask>"),
    }
    found = {role: [name for name in names if tokenizer.token_to_id(name) is not None] for role, names in usual.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{role: names[0] for role, names in found.items() if names}
    )


def _train_wordpiece(texts: Sequence[str], size: int, lowercase: bool) -> Tokenizer:
    """WordPiece over BERT's words; characters beyond the thousand most frequent ones become [UNK].

    The alphabet is handed to the trainer in order: the pieces that it finds itself it would number in the order of a hash
    table, and these numbers decide between equally frequent pairs.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    words = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    common = sorted(counts, key=lambda character: (-counts[character], character))[:ALPHABET]
    starts = [character for character in sorted(common) if words.pre_tokenize_str(character)]
    inner = [f"##{character}" for character in starts if len(words.pre_tokenize_str(f"a{character}a")) == 1]
    alphabet = [*ROLES.values(), *starts, *inner]
    tokenizer = _wordpiece({}, normalizer, words)
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(size, len(alphabet)), special_tokens=alphabet, limit_alphabet=0, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    # The trainer made the alphabet special; a tokenizer of the same vocabulary treats it as what it is.
    return _wordpiece(tokenizer.get_vocab(), normalizer, words)


def _wordpiece(
    vocabulary: dict[str, int], normalizer: normalizers.Normalizer, words: pre_tokenizers.PreTokenizer
) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=ROLES["unk_token"]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _train_bpe(texts: Sequence[str], size: int, lowercase: bool) -> Tokenizer:
    """Byte-level byte-pair encoding: every text can be written, nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    steps: list[normalizers.Normalizer] = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = list(ROLES.values())
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, len(special) + len(bytes_)),
        special_tokens=special,
        initial_alphabet=bytes_,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
