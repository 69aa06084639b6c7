"""WordPiece: texts as the ids of word pieces, as BERT's vocabularies have them. Training and serving share it.

Devlin et al., BERT (NAACL 2019). The ids are those of Hugging Face's `tokenizers`, but for two things: a text is cut at
what Python calls a blank, and `[SEP]` in a text is three words and not a command to the model.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# A stretch of an English text takes some 300 bytes.
_CACHED_STRETCHES = 16_384
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")
# Where Chinese characters are, which have no blanks between them.
_CHINESE = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)

# Control and format characters, surrogates, private use; not what Unicode has not yet assigned.
_NOT_SEEN = ("Cc", "Cf", "Cs", "Co")

Id = Annotated[int, Field(ge=0)]


class WordPieceSettings(BaseModel):
    """How texts become pieces; part of `encoder.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    lowercase: bool = True
    strip_accents: bool = True
    # Whether each Chinese character is a word.
    separate_chinese: bool = True
    # What begins a piece that goes on within a word.
    prefix: str = "##"
    # Words of more characters are unknown.
    longest_word: Annotated[int, Field(ge=1, le=1_000)] = 100
    unknown: Id
    # What stands before and after the pieces of a text; None for nothing.
    first: Id | None = None
    last: Id | None = None
    # The ids of a text at most, those before and after included.
    max_tokens: Annotated[int, Field(ge=3, le=8_192)] = 128


class WordPiece:
    """The encoder of texts for one vocabulary."""

    def __init__(self, settings: WordPieceSettings, vocabulary: Sequence[str]) -> None:
        """Take the pieces in the order of their ids.

        Raises:
            ValueError: An id of the settings is not one of the vocabulary, or a piece occurs twice.
        """
        self.settings = settings
        self.vocabulary = {piece: number for number, piece in enumerate(vocabulary)}
        if len(self.vocabulary) < len(vocabulary):
            raise ValueError("a word piece occurs twice in the vocabulary")
        named = (settings.unknown, settings.first, settings.last)
        if any(number is not None and number >= len(vocabulary) for number in named):
            raise ValueError(f"expected ids below {len(vocabulary)}, the size of the vocabulary")
        self._longest = max(map(len, vocabulary))
        self._of_stretch = lru_cache(maxsize=_CACHED_STRETCHES)(self._ids_of_stretch)

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, at most `max_tokens`.

        >>> pieces = WordPiece(WordPieceSettings(unknown=0), ["?", "un", "##known", "words", "!"])
        >>> pieces.ids("Unknown words!"), pieces.ids("a word")
        ([1, 2, 3, 4], [0, 0])
        """
        first, last = (
            [] if end is None else [end] for end in (self.settings.first, self.settings.last)
        )
        most = self.settings.max_tokens - len(first) - len(last)
        found: list[int] = []
        for stretch in self._stretches(text):
            found += self._of_stretch(stretch)
            if len(found) >= most:
                break
        return first + found[:most] + last

    def words(self, text: str) -> list[str]:
        """Return the words of a text, before they are cut into pieces."""
        return [word for stretch in self._stretches(text) for word in self._words(stretch)]

    def ids_of_word(self, word: str) -> list[int]:
        """Return the pieces of a word, the longest first; the unknown one if the word has none."""
        settings, ids = self.settings, list[int]()
        if len(word) > settings.longest_word:
            return [settings.unknown]
        start, prefix = 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                number = self.vocabulary.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return [settings.unknown]
            ids.append(number)
            start, prefix = end, settings.prefix
        return ids

    def _stretches(self, text: str) -> list[str]:
        """Cut a text at blanks, as far as it can count."""
        most = self.settings.max_tokens
        # A stretch gives a piece at least for every so many characters.
        longest = most * (self.settings.longest_word + 1)
        return [stretch[:longest] for stretch in text.split(maxsplit=most)[:most]]

    def _ids_of_stretch(self, stretch: str) -> tuple[int, ...]:
        return tuple(number for word in self._words(stretch) for number in self.ids_of_word(word))

    def _words(self, stretch: str) -> list[str]:
        settings = self.settings
        if stretch.isascii() and stretch.isprintable():
            words = _ASCII_WORD.findall(stretch)
            return [word.lower() for word in words] if settings.lowercase else words
        kept = "".join(char for char in stretch if _is_seen(char))
        if settings.separate_chinese:
            kept = _CHINESE.sub(r" \g<0> ", kept)
        if settings.strip_accents:
            decomposed = unicodedata.normalize("NFD", kept)
            kept = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
        if settings.lowercase:  # character by character: a sigma at the end of a word is none else
            kept = "".join(char.lower() for char in kept)
        return "".join(f" {char} " if _is_punctuation(char) else char for char in kept).split()


def _is_seen(char: str) -> bool:
    return char != "\ufffd" and unicodedata.category(char) not in _NOT_SEEN


def _is_punctuation(char: str) -> bool:
    if char.isascii():
        return char >= "!" and not char.isalnum()
    return unicodedata.category(char)[0] == "P"
