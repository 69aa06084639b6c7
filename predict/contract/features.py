"""Integer features of texts, which training and serving both compute with this module alone.

A text is made of parts: its pieces (what lies between two blanks) and its pairs of neighbouring pieces, each counted
once. A part has ids:

- `token_ids`: of a piece its words (1 is any unknown word) and the hashed ids of word pairs within it; of a pair the
  hashed id of the last word of one piece with the first word of the next;
- `ngram_ids`: the hashed ids of the character n-grams of a piece, punctuation included, so that an unknown word, `£`
  or `!!!` still tells the model something.

So whatever is a sum over ids can be added up once a part, and then over the parts of a text.
"""

import json
import re
import zlib
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

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
# Words of a vocabulary; as many take some 150 MB.
MOST_WORDS = 1_000_000

_DIGIT = re.compile(r"\d")
# A piece of an English text takes about 600 bytes, which is 10 MB when full; stranger texts take up to 60 MB.
_CACHED_PIECES = 16_384


class FeatureSettings(BaseModel):
    """How texts become ids; part of `features.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Stretches between blanks kept per text, from the start; a word each, as a rule.
    max_tokens: Annotated[int, Field(ge=1, le=10_000)] = 256
    # Characters per n-gram, word boundaries included; 0 and 0 for none.
    min_ngram: Annotated[int, Field(ge=0, le=10)] = 2
    # The most of them.
    max_ngram: Annotated[int, Field(ge=0, le=10)] = 5
    # Number of hash values for character n-grams and for word pairs; 0 for none.
    ngram_buckets: Annotated[int, Field(ge=0, le=1 << 22)] = 1 << 18
    pair_buckets: Annotated[int, Field(ge=0, le=1 << 22)] = 1 << 18
    # Whether all digits are alike in character n-grams.
    fold_digits: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "FeatureSettings":
        if self.min_ngram > self.max_ngram:
            raise ValueError("min_ngram must not be above max_ngram")
        return self


class Word(NamedTuple):
    """A word of a piece; its id is `UNKNOWN_ID` where the vocabulary does not have it."""

    id: int
    raw: bytes
    # CRC-32 of the word and a space: the hash of a pair goes on from here.
    pair_start: int


class Piece(NamedTuple):
    """The words and the distinct ids of n-grams of what lies between two blanks."""

    words: tuple[Word, ...]
    # int32 ids, as bytes: joining bytes is far cheaper than joining lists.
    ngram_ids: bytes


class Part(NamedTuple):
    """The ids of a part of texts, int32 as bytes; one that occurs twice is there twice."""

    token_ids: bytes
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
        self._piece = lru_cache(maxsize=_CACHED_PIECES)(self.piece)

    @property
    def num_token_ids(self) -> int:
        """How many ids of words and pairs there are, those of padding and of unknown words included."""
        return self.first_pair_id + self.settings.pair_buckets

    @property
    def num_ngram_ids(self) -> int:
        """How many ids of n-grams there are, that of padding included."""
        return 1 + self.settings.ngram_buckets

    @property
    def most_characters(self) -> int:
        """How many characters of a text can count at most, not counting blanks."""
        return most_characters(self.settings.max_tokens)

    @classmethod
    def read(cls, file: Path, tokenizer: Version) -> "TextFeatures":
        """Read what `write` wrote; see `parse`."""
        return cls.parse(file.read_bytes(), tokenizer)

    @classmethod
    def parse(cls, content: bytes, tokenizer: Version) -> "TextFeatures":
        """Take the bytes that `write` wrote, for texts that become words in the given way.

        Raises:
            ValueError, KeyError, TypeError, RecursionError: They are something else.
        """
        found = json.loads(content)
        vocabulary = found["vocabulary"]
        if not isinstance(vocabulary, list) or not all(
            isinstance(word, str) for word in vocabulary
        ):
            raise ValueError("vocabulary: expected a list of texts")
        if len(vocabulary) > MOST_WORDS:
            raise ValueError(f"vocabulary: expected at most {MOST_WORDS:,} words")
        # Who does not say has folded them.
        features = cls(
            FeatureSettings(**{"fold_digits": True} | found["settings"]), vocabulary, tokenizer
        )
        if len(features.vocabulary) < len(vocabulary):
            raise ValueError("vocabulary: a word occurs twice")
        return features

    def write(self, file: Path) -> None:
        """Write settings and vocabulary as JSON."""
        content = {"settings": self.settings.model_dump(), "vocabulary": list(self.vocabulary)}
        file.write_text(json.dumps(content, ensure_ascii=True), encoding="utf-8")

    def tokens(self, text: str) -> list[str]:
        """Return the words of a text as this model sees them."""
        return tokenize(text, self.settings.max_tokens, self._tokenizer)

    def knows(self, text: str) -> bool:
        """Return whether a text has a word of the vocabulary."""
        return any(word.id != UNKNOWN_ID for piece in self.pieces(text) for word in piece.words)

    def unknown_share(self, text: str) -> float:
        """Return the share of a text's words that the vocabulary does not have; 1 where there are no words."""
        ids = [word.id for piece in self.pieces(text) for word in piece.words]
        return ids.count(UNKNOWN_ID) / len(ids) if ids else 1.0

    def pieces(self, text: str) -> list[Piece]:
        """Return the pieces of a text in order."""
        return [self._piece(piece) for piece in split_pieces(text, self.settings.max_tokens)]

    def pair_id(self, left: Word, right: Word) -> int | None:
        """Return the hashed id of two words side by side; None if the settings leave pairs out."""
        buckets = self.settings.pair_buckets
        if not buckets:
            return None
        return self.first_pair_id + zlib.crc32(right.raw, left.pair_start) % buckets

    def part_of(self, piece: Piece) -> Part:
        """Return the ids of a piece."""
        pairs = [self.pair_id(*two) for two in pairwise(piece.words)]
        ids = [word.id for word in piece.words] + [pair for pair in pairs if pair is not None]
        return Part(array("i", ids).tobytes(), piece.ngram_ids)

    def piece(self, piece: str) -> Piece:
        """Return what lies between two blanks of a text."""
        normalise, words_of = TOKENIZERS[self._tokenizer]
        piece = normalise(piece)
        words = tuple(self._encode_word(word) for word in words_of(piece))
        return Piece(words, array("i", self.ngram_ids(piece)).tobytes())

    def _encode_word(self, word: str) -> Word:
        # JSON can carry a lone surrogate, which has bytes too.
        raw = word.encode("utf-8", "surrogatepass")
        return Word(self.vocabulary.get(word, UNKNOWN_ID), raw, zlib.crc32(b" ", zlib.crc32(raw)))

    def ngram_ids(self, piece: str) -> list[int]:
        """Return the distinct ids of a piece's character n-grams, from 1 to `ngram_buckets`."""
        settings = self.settings
        if not settings.ngram_buckets:
            return []
        marked = f"<{_DIGIT.sub('0', piece) if settings.fold_digits else piece}>"
        buckets, sizes = (
            settings.ngram_buckets,
            range(settings.min_ngram or 1, settings.max_ngram + 1),
        )
        if marked.isascii():  # its bytes are its characters: no n-gram has to be encoded
            raw = marked.encode()
            hashes = [
                zlib.crc32(raw[start : start + size])
                for size in sizes
                for start in range(len(raw) - size + 1)
            ]
        else:
            hashes = [
                zlib.crc32(marked[start : start + size].encode("utf-8", "surrogatepass"))
                for size in sizes
                for start in range(len(marked) - size + 1)
            ]
        return list(dict.fromkeys([1 + value % buckets for value in hashes]))


class Parts:
    """Gives the parts of texts numbers, and keeps what they are.

    Attributes:
        ids: What each part is, by its number. Part 0 has no ids.
    """

    def __init__(self, features: TextFeatures) -> None:
        self.ids = [Part(b"", b"")]
        self._features = features
        self._most_pieces = features.settings.max_tokens
        self._pieces: dict[str, _Known] = {}

    def of(self, text: str) -> list[int]:
        """Return the numbers of a text's parts: 0 first, then each once."""
        # None of the pieces that are known is too long.
        numbers = self._numbers(text.split(maxsplit=self._most_pieces)[: self._most_pieces])
        if numbers is None:
            pieces = split_pieces(text, self._most_pieces)
            self._add(pieces)
            numbers = self._numbers(pieces)
            assert numbers is not None
        return numbers if len(set(numbers)) == len(numbers) else list(dict.fromkeys(numbers))

    def _numbers(self, pieces: Sequence[str]) -> list[int] | None:
        """Return 0, and the numbers of pieces and pairs; None if one is new."""
        known, numbers = self._pieces, [0]
        pairs: dict[int, int] | None = None
        for piece in pieces:
            found = known.get(piece)
            if found is None:
                return None
            number, followers, words = found
            numbers.append(number)
            if not words:  # those around it are neighbours
                continue
            if pairs is not None:
                pair = pairs.get(number)
                if pair is None:
                    return None
                numbers.append(pair)
            pairs = followers
        return numbers

    def _add(self, pieces: Sequence[str]) -> None:
        before: _Known | None = None
        for piece in pieces:
            found = self._pieces.get(piece) or self._add_piece(piece)
            if not found.words:
                continue
            if before is not None and found.number not in before.pairs:
                before.pairs[found.number] = self._add_pair(before.words[-1], found.words[0])
            before = found

    def _add_piece(self, piece: str) -> "_Known":
        content = self._features.piece(piece)
        known = _Known(len(self.ids), {}, content.words)
        self.ids.append(self._features.part_of(content))
        self._pieces[piece] = known
        return known

    def _add_pair(self, left: Word, right: Word) -> int:
        pair = self._features.pair_id(left, right)
        if pair is None:
            return 0
        self.ids.append(Part(array("i", [pair]).tobytes(), b""))
        return len(self.ids) - 1


class _Known(NamedTuple):
    """A piece that has its number."""

    number: int
    # The number of a piece that follows -> the number of their pair.
    pairs: dict[int, int]
    words: tuple[Word, ...]
