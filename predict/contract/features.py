"""Integer features of texts, which training and serving both compute with this module alone.

A text becomes two rows of ids, 0 being padding in both:

- `token_ids`: the ids of its words (1 is any unknown word), then the hashed ids of adjacent word pairs;
- `ngram_ids`: the hashed ids of the character n-grams within each stretch between blanks, punctuation
  included, so that an unknown word, `£` or `!!!` still tells the model something.

Everything after the ids (weights, embeddings, layers) is inside `model.onnx`.
"""

import json
import re
import zlib
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from predict.contract.words import (
    LATEST,
    TOKENIZERS,
    Version,
    most_characters,
    split_pieces,
    tokenize,
)

UNKNOWN_ID = 1
FIRST_WORD_ID = 2

_DIGIT = re.compile(r"\d")
# A piece of an English text takes about 600 bytes, which is 10 MB when full; stranger texts take up to 60 MB.
_CACHED_PIECES = 16_384

Ids = npt.NDArray[np.int32]


class FeatureSettings(BaseModel):
    """How texts become ids; part of `features.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Stretches between blanks kept per text, from the start; a word each, as a rule.
    max_tokens: Annotated[int, Field(ge=1, le=10_000)] = 256
    # Characters per n-gram, word boundaries included; 0 and 0 for none.
    min_ngram: Annotated[int, Field(ge=0, le=10)] = 2
    max_ngram: Annotated[int, Field(ge=0, le=10)] = 5
    # Number of hash values for character n-grams and for word pairs; 0 for none.
    ngram_buckets: Annotated[int, Field(ge=0, le=1 << 22)] = 1 << 18
    pair_buckets: Annotated[int, Field(ge=0, le=1 << 22)] = 1 << 18

    @model_validator(mode="after")
    def _is_a_range(self) -> "FeatureSettings":
        if self.min_ngram > self.max_ngram:
            raise ValueError("min_ngram must not be above max_ngram")
        return self


class _Word(NamedTuple):
    id: int
    raw: bytes
    # CRC-32 of the word and a space: the hash of a pair goes on from here.
    pair_start: int


class _Piece(NamedTuple):
    """The words and the n-grams of what lies between two blanks."""

    words: tuple[_Word, ...]
    # int32 ids, as bytes: joining bytes is far cheaper than joining lists.
    ngram_ids: bytes


class TextFeatures:
    """The encoder of one model's texts: its settings and its vocabulary."""

    def __init__(
        self, settings: FeatureSettings, vocabulary: Sequence[str], tokenizer: Version = LATEST
    ) -> None:
        """Take the words of the vocabulary in the order of their ids, the first one being id 2."""
        self.settings = settings
        self._tokenizer = tokenizer
        self.vocabulary = {word: index for index, word in enumerate(vocabulary, FIRST_WORD_ID)}
        # The first id of a hashed word pair, which is also the number of rows that words need.
        self.first_pair_id = FIRST_WORD_ID + len(self.vocabulary)
        self._piece = lru_cache(maxsize=_CACHED_PIECES)(self._encode_piece)

    @property
    def most_characters(self) -> int:
        """How many characters of a text can count at most, not counting blanks."""
        return most_characters(self.settings.max_tokens)

    @classmethod
    def read(cls, file: Path, tokenizer: Version) -> "TextFeatures":
        """Read what `write` wrote, for texts that become words in the given way."""
        content = json.loads(file.read_bytes())
        return cls(FeatureSettings(**content["settings"]), content["vocabulary"], tokenizer)

    def write(self, file: Path) -> None:
        """Write settings and vocabulary as JSON."""
        content = {"settings": self.settings.model_dump(), "vocabulary": list(self.vocabulary)}
        file.write_text(json.dumps(content, ensure_ascii=True), encoding="utf-8")

    def tokens(self, text: str) -> list[str]:
        """Return the words of a text as this model sees them."""
        return tokenize(text, self.settings.max_tokens, self._tokenizer)

    def encode(self, texts: Sequence[str]) -> dict[str, Ids]:
        """Turn texts into padded rows of ids.

        Args:
            texts: As typed. At least one.

        Returns:
            `token_ids` and `ngram_ids`, each <int32>[num_texts, longest row]; every id once, 0 being padding.
        """
        token_rows, ngram_rows = [], []
        for text in texts:
            pieces = [self._piece(piece) for piece in split_pieces(text, self.settings.max_tokens)]
            words = [word for piece in pieces for word in piece.words]
            # Every id counts once, however often its word occurs.
            token_rows.append(
                array(
                    "i", dict.fromkeys([word.id for word in words] + self._pair_ids(words))
                ).tobytes()
            )
            ngram_rows.append(_distinct(b"".join([piece.ngram_ids for piece in pieces])))
        return {"token_ids": _pad(token_rows), "ngram_ids": _pad(ngram_rows)}

    def unknown_rows(self, token_ids: Ids) -> list[int]:
        """Return which rows of encoded texts have no word of the vocabulary."""
        # Words come before pairs, and all unknown words share one id, so a known word is the first or the second.
        # This is plain Python because numpy takes longer for one text than everything else here.
        known = range(FIRST_WORD_ID, self.first_pair_id)
        firsts = token_ids[:, :2].tolist()
        return [row for row, ids in enumerate(firsts) if not any(map(known.__contains__, ids))]

    def _pair_ids(self, words: Sequence[_Word]) -> list[int]:
        buckets, first = self.settings.pair_buckets, self.first_pair_id
        if not buckets:
            return []
        crc32 = zlib.crc32
        return [
            first + crc32(right.raw, left.pair_start) % buckets for left, right in pairwise(words)
        ]

    def _encode_piece(self, piece: str) -> _Piece:
        normalise, words_of = TOKENIZERS[self._tokenizer]
        piece = normalise(piece)
        words = tuple(self._encode_word(word) for word in words_of(piece))
        return _Piece(words, array("i", self.ngram_ids(piece)).tobytes())

    def _encode_word(self, word: str) -> _Word:
        # JSON can carry a lone surrogate, which has bytes too.
        raw = word.encode("utf-8", "surrogatepass")
        return _Word(self.vocabulary.get(word, UNKNOWN_ID), raw, zlib.crc32(b" ", zlib.crc32(raw)))

    def ngram_ids(self, piece: str) -> list[int]:
        """Return the distinct ids of a piece's character n-grams, from 1 to `ngram_buckets`."""
        settings = self.settings
        if not settings.ngram_buckets:
            return []
        # It matters that there is a number, not which one: telephone numbers and prices come in all digits.
        marked = f"<{_DIGIT.sub('0', piece)}>"
        ngrams = chain.from_iterable(
            (marked[start : start + size] for start in range(len(marked) - size + 1))
            for size in range(max(settings.min_ngram, 1), settings.max_ngram + 1)
        )
        buckets = settings.ngram_buckets
        hashes = (zlib.crc32(ngram.encode("utf-8", "surrogatepass")) for ngram in ngrams)
        return list(dict.fromkeys(1 + value % buckets for value in hashes))


def _distinct(row: bytes) -> bytes:
    ids = np.sort(np.frombuffer(row, np.int32))
    first = np.ones(len(ids), bool)
    np.not_equal(ids[1:], ids[:-1], out=first[1:])
    return ids[first].tobytes()


def _pad(rows: Sequence[bytes]) -> Ids:
    # At least one column: a row without ids is all padding.
    width = max(4, *map(len, rows)) if rows else 4
    joined = b"".join([row.ljust(width, b"\0") for row in rows])
    return np.frombuffer(joined, dtype=np.int32).reshape(len(rows), width // 4)
