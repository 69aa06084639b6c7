"""Texts as words, for text models and for the text columns of tables; training and serving share it.

A text is cut at blanks into pieces, and a piece, once normalised, gives its words. Where a script has no blanks
between words (Chinese, Japanese, Thai …), each character is a word, and so is each emoji.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any, Literal, NamedTuple

# How a text becomes words. 1 is what artefacts were made with that do not say: there, combining marks separated words,
# emoji were none, and a stretch without blanks was one word in every script.
Version = Literal[1, 2]
LATEST: Version = 2

# A word with what belongs to it: node.js, don't, c++, c#; and a leading dot: .net
_WORD = re.compile(r"\.?\w+(?:[.'’]\w+)*(?:\+\+|\#)?")
# Scripts that put no blanks between words. Katakana has words of many characters, as UAX 29 has it.
_WITHOUT_BLANKS = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# Longer stretches (Chinese, base64, attacks) are cut into pieces: what is cached must stay small.
_MAX_PIECE_LENGTH = 40


class Tokenizer(NamedTuple):
    """The two steps from a piece to its words.

    Attributes:
        normalise: Folds characters that look the same into one. Pieces are normalised, not texts: the time of
            NFKC grows with the square of a run of combining marks.
        words: Returns the words of a normalised piece.
    """

    normalise: Callable[[str], str]
    words: Callable[[str], list[str]]


def split_pieces(text: str, max_pieces: int) -> list[str]:
    """Cut a text at blanks, and every 40 characters where there are none."""
    pieces = text.split(maxsplit=max_pieces)[:max_pieces]
    if max(map(len, pieces), default=0) <= _MAX_PIECE_LENGTH:
        return pieces
    cut = (
        piece[start : start + _MAX_PIECE_LENGTH]
        for piece in pieces
        for start in range(0, len(piece), _MAX_PIECE_LENGTH)
    )
    return list(islice(cut, max_pieces))


def most_characters(max_pieces: int) -> int:
    """Return how many characters of a text can count at most, not counting blanks."""
    return (_MAX_PIECE_LENGTH + 1) * max_pieces


def tokenize(text: str, max_pieces: int, version: Version = LATEST) -> list[str]:
    """Return the normalised words of a text.

    >>> tokenize("C++ and Node.js: don't!", max_pieces=100)
    ['c++', 'and', 'node.js', "don't"]
    >>> tokenize("हिन्दी 电影 😀😀", max_pieces=100)
    ['हिन्दी', '电', '影', '😀', '😀']
    """
    normalise, words = TOKENIZERS[version]
    return [word for piece in split_pieces(text, max_pieces) for word in words(normalise(piece))]


def _normalise_1(piece: str) -> str:
    if piece.isascii():  # NFKC leaves ASCII alone, and lower() is then the same as casefold()
        return piece.lower()
    # One character can become eighteen.
    return unicodedata.normalize("NFKC", piece).casefold()[: 2 * _MAX_PIECE_LENGTH]


def _normalise_2(piece: str) -> str:
    """Unicode's NFKC_Casefold: without what is not seen either, such as soft hyphens and variation selectors."""
    if piece.isascii():
        return piece.lower()
    folded = _unicode().invisible.sub("", unicodedata.normalize("NFKC", piece)).casefold()
    return unicodedata.normalize("NFKC", folded)[: 2 * _MAX_PIECE_LENGTH]


def _words_2(piece: str) -> list[str]:
    words: list[str] = (_WORD if piece.isascii() else _unicode().word).findall(piece)
    return words


class _Unicode(NamedTuple):
    invisible: Any
    word: Any


@cache
def _unicode() -> _Unicode:
    # It takes a tenth of a second and 10 MB, which a service of ASCII alone never needs.
    import regex

    letter = rf"[\w--[{_WITHOUT_BLANKS}]]"
    emoji = r"(?=[\p{Extended_Pictographic}\p{Regional_Indicator}])\X"
    character = rf"[{_WITHOUT_BLANKS}]\p{{M}}*"
    word = rf"\.?{letter}+(?:[.'’]{letter}+)*(?:\+\+|\#)?"
    return _Unicode(
        regex.compile(r"\p{Default_Ignorable_Code_Point}+"),
        regex.compile(f"{emoji}|{character}|{word}", regex.V1),
    )


TOKENIZERS: dict[Version, Tokenizer] = {
    1: Tokenizer(_normalise_1, _WORD.findall),
    2: Tokenizer(_normalise_2, _words_2),
}
