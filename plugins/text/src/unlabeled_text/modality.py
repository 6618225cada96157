"""text/text: texts as token ids."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from tokenizers import Encoding
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from unlabeled import Batch, ComponentSpec, Config, Draws, Modality, Sample
from unlabeled_text.cells import read_texts, readable_texts
from unlabeled_text.tokenization import load_tokenizer, train_tokenizer
from unlabeled_text.words import NO_WORD

_TEXTS_AT_ONCE = 256


class TextConfig(Config):
    """Options of text/text."""

    tokenizer: str | None = Field(
        None,
        description="folder, tokenizer.json or checkpoint to load the tokenizer from; default: train one on the data",
    )
    algorithm: Literal["wordpiece", "bpe"] = Field(
        "wordpiece",
        description="what is trained: wordpiece (BERT: Devlin et al., 2019), or byte-level bpe (GPT-2: Radford et al., 2019)",
    )
    vocabulary_size: int = Field(8192, ge=16, description="most tokens of a trained tokenizer; BERT has 30522")
    lowercase: bool = Field(True, description="whether a trained tokenizer ignores case (and WordPiece accents)")
    training_characters: int = Field(
        100_000_000,
        ge=1,
        description="the tokenizer is trained on the first this many characters, to bound its memory",
    )
    max_length: int = Field(
        128, ge=4, description="most tokens of a sample, special ones included; BERT's limit is 512"
    )
    pack: bool = Field(
        False, description="cut the whole column into blocks of max_length tokens, instead of one sample a cell"
    )
    draw: Literal["one", "some"] = Field(
        "one",
        description="which of several texts of a cell a view draws in each epoch: one, or a random number of them in random "
        "order, one after the other",
    )
    evaluate_with: Literal["first", "all"] = Field(
        "first",
        description="which of several texts of a cell evaluation reads: the first, or all, one after the other",
    )
    raw_features: int = Field(
        2048, ge=1, description="width of the raw bag of tokens; more tokens than that share places"
    )


class Text(Modality):
    """Texts as `input_ids` (B, L), [CLS] first, `attention_mask` (B, L) where rows differ in length, and the extra
    `words` (B, L): the number of each token's word, -1 for special tokens and padding.

    A cell is a str, UTF-8 bytes, or a list of them: several texts for one sample (captions), of which each view draws one
    or some in each epoch. Of a text longer than `max_length` a view takes a random window, evaluation the beginning.
    """

    Config = TextConfig
    config: TextConfig
    columns: ClassVar[tuple[str, ...]] = ("text",)
    input_name: ClassVar[str] = "input_ids"
    extras: ClassVar[tuple[str, ...]] = ("words",)

    def __init__(self, config: TextConfig) -> None:
        super().__init__(config)
        self._tokenizer: PreTrainedTokenizerFast | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(L,): the longest sample."""
        return (self.config.max_length,)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer; `ValueError` before `fit` or `restore`."""
        if self._tokenizer is None:
            raise ValueError("text/text: there is no tokenizer yet; call fit or restore first")
        return self._tokenizer

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return len(self.tokenizer)

    @property
    def mask_id(self) -> int:
        """The id of [MASK]."""
        return int(self.tokenizer.mask_token_id)

    def decode(self, cell: Any) -> Sample:
        """`input_ids` and `words` (T,) int32 of all texts without special tokens; `ends` (texts,) where each text ends."""
        encodings = self._encode(read_texts(cell))
        ids, words = _joined([self._pieces(encoding) for encoding in encodings])
        return {
            "input_ids": ids,
            "words": words,
            "ends": np.cumsum([len(encoding) for encoding in encodings], dtype=np.int32),
        }

    def check(self, cell: Any) -> None:
        """`ValueError` where the cell holds no text that can be read."""
        read_texts(cell)

    def take(self, sample: Sample, draws: Draws, role: str) -> Sample:
        """One or some texts of the sample between [CLS] and [SEP], at most max_length tokens; a packed block as it is."""
        if "ends" not in sample:
            return sample
        room = self.config.max_length - 2
        places = self._places(sample["ends"], draws, role)
        if len(places) > room:
            start = 0 if role == "plain" else int(draws("window").integers(0, len(places) - room + 1))
            places = places[start : start + room]
        first, last = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        return {
            "input_ids": np.concatenate([[first], sample["input_ids"][places], [last]]).astype(np.int32),
            "words": np.concatenate([[NO_WORD], sample["words"][places], [NO_WORD]]).astype(np.int32),
        }

    def collate(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """`input_ids`, `words` (B, L) int64, padded on the right; `attention_mask` (B, L) int64 where any row is padded."""
        fill = {"input_ids": int(self.tokenizer.pad_token_id), "words": NO_WORD}
        batch = {name: _padded([sample[name] for sample in samples], value) for name, value in fill.items()}
        lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
        if int(lengths.min()) < int(lengths.max()):
            batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).to(torch.int64)
        return batch

    def pipelines(self) -> dict[str, list[ComponentSpec]]:
        """`weak` and `global` draw a text and a window; `strong` and `local` also leave out words."""
        dropout: ComponentSpec = {"id": "text/word-dropout"}
        return {"weak": [], "strong": [dropout], "global": [], "local": [dropout]}

    def raw(self, batch: Batch) -> Tensor:
        """(B, F) float32: a bag of tokens, log(1 + count) of each id modulo F, of length one; special tokens do not count."""
        ids, words = batch.inputs["input_ids"], batch.extra["words"]
        size = min(self.config.raw_features, self.vocabulary_size)
        counts = torch.zeros(len(ids), size, device=ids.device)
        counts.scatter_add_(1, ids % size, (words != NO_WORD).to(torch.float32))
        return torch.nn.functional.normalize(torch.log1p(counts), dim=1)

    def blank(self) -> Sample:
        """The empty text."""
        return self.decode("")

    def show(self, sample: Sample) -> str:
        """The tokens of the sample as text again."""
        return str(self.tokenizer.decode(sample["input_ids"].tolist()))

    def fit(self, cells: Iterable[Any]) -> None:
        """Train the tokenizer, or load the one the config names; cells that cannot be read are left to quarantine."""
        config = self.config
        if config.tokenizer is not None:
            self._tokenizer = load_tokenizer(config.tokenizer)
            self._tokenizer.model_max_length = config.max_length
            return
        texts = list(_first(readable_texts(cells), config.training_characters))
        if not any(text.strip() for text in texts):
            raise ValueError("text/text: no training cell holds any text to train a tokenizer on")
        self._tokenizer = train_tokenizer(
            texts, config.algorithm, config.vocabulary_size, config.lowercase, config.max_length
        )

    def pack(self, cells: Iterable[Any]) -> Iterator[Sample] | None:
        """Blocks [CLS] + max_length - 1 tokens of the corpus, a [SEP] after each text; the last may be shorter."""
        return self._blocks(readable_texts(cells)) if self.config.pack else None

    def save(self, folder: Path) -> None:
        """Write the tokenizer as AutoTokenizer reads it."""
        self.tokenizer.save_pretrained(folder)

    def restore(self, folder: Path) -> None:
        """Read the tokenizer back."""
        self._tokenizer = load_tokenizer(str(folder))

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        return list(self.tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False))

    def _pieces(self, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
        """Ids and word numbers (T,) int32; special tokens that stand in the text itself belong to no word."""
        ids = np.array(encoding.ids, dtype=np.int32)
        words = np.array([NO_WORD if word is None else word for word in encoding.word_ids], dtype=np.int32)
        words[np.isin(ids, self._special_ids())] = NO_WORD
        return ids, words

    def _special_ids(self) -> list[int]:
        tokenizer = self.tokenizer
        return [tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id]

    def _places(self, ends: np.ndarray, draws: Draws, role: str) -> np.ndarray:
        """Where in a sample's arrays the tokens lie that a view reads, in its order; `ends` is where each text ends."""
        if role == "plain":
            return np.arange(ends[0] if self.config.evaluate_with == "first" else ends[-1])
        if self.config.draw == "one":
            chosen = [int(draws("text").integers(0, len(ends)))]
        else:
            count = int(draws("count").integers(1, len(ends) + 1))
            chosen = draws("text").permutation(torch.tensor([len(ends)]))[0, :count].tolist()
        starts = np.concatenate([[0], ends[:-1]])
        return np.concatenate([np.arange(starts[text], ends[text]) for text in chosen])

    def _blocks(self, texts: Iterator[str]) -> Iterator[Sample]:
        size = self.config.max_length - 1
        separator = np.array([self.tokenizer.sep_token_id], dtype=np.int32), np.array([NO_WORD], dtype=np.int32)
        ids = words = np.empty(0, dtype=np.int32)
        while chunk := list(islice(texts, _TEXTS_AT_ONCE)):
            written = [encoding for encoding in self._encode(chunk) if len(encoding)]
            pieces = [part for encoding in written for part in (self._pieces(encoding), separator)]
            ids, words = _joined([(ids, words), *pieces])
            whole = len(ids) - len(ids) % size
            for start in range(0, whole, size):
                yield self._block(ids[start : start + size], words[start : start + size])
            ids, words = ids[whole:], words[whole:]
        if len(ids):
            yield self._block(ids, words)

    def _block(self, ids: np.ndarray, words: np.ndarray) -> Sample:
        first = np.array([self.tokenizer.cls_token_id], dtype=np.int32)
        return {"input_ids": np.concatenate([first, ids]), "words": np.concatenate([[NO_WORD], words]).astype(np.int32)}


def _first(texts: Iterator[str], characters: int) -> Iterator[str]:
    """Texts until there are this many characters; the last one is cut."""
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and words one after the other, the words numbered on from part to part."""
    numbered, following = [], 0
    for _, words in parts:
        numbered.append(np.where(words == NO_WORD, NO_WORD, words + following))
        following = max(following, int(numbered[-1].max(initial=NO_WORD)) + 1)
    return np.concatenate([ids for ids, _ in parts]), np.concatenate(numbered).astype(np.int32)


def _padded(rows: Sequence[np.ndarray], value: int) -> Tensor:
    """(B, longest) int64, filled on the right."""
    return pad_sequence([torch.from_numpy(row.astype(np.int64)) for row in rows], batch_first=True, padding_value=value)
