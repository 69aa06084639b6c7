"""Where the words of a text stand in it as it was typed, though a model reads them normalised."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from predict.contract.words import TOKENIZERS, Version, split_pieces


class PlacedWord(NamedTuple):
    """A word as the model reads it, and where in the text it was typed: code points, the end excluded."""

    word: str
    start: int
    end: int


class PlacedPiece(NamedTuple):
    """What lies between two blanks: as it was typed, where it begins in the text, and its words."""

    typed: str
    start: int
    words: list[PlacedWord]


def place_pieces(text: str, max_pieces: int, tokenizer: Version) -> list[PlacedPiece]:
    """Return the pieces of a text that a model reads, in order, with the places of their words.

    The words are those of `tokenize`. Two of them may be in one place, for a character may become several words.

    >>> place_pieces("Die ﬁxe Idee", 100, 2)[1]
    PlacedPiece(typed='ﬁxe', start=4, words=[PlacedWord(word='fixe', start=4, end=7)])
    """
    pieces, start = [], 0
    for typed in split_pieces(text, max_pieces):
        # Only blanks are between two pieces, and none is within one.
        start = text.index(typed, start)
        pieces.append(PlacedPiece(typed, start, list(_place_words(typed, start, tokenizer))))
        start += len(typed)
    return pieces


def _place_words(typed: str, first: int, tokenizer: Version) -> Iterator[PlacedWord]:
    normalise, words_of = TOKENIZERS[tokenizer]
    normalised = normalise(typed)
    boundaries = None if typed.isascii() else _boundaries(typed, tokenizer)
    at = 0
    for word in words_of(normalised):
        # Wherever a word stands, the expression finds a word: the next one like it is this one.
        start = normalised.index(word, at)
        at = end = start + len(word)
        if boundaries is not None:
            start = max(typed for typed, known in boundaries if known <= start)
            end = min(typed for typed, known in boundaries if known >= end)
        yield PlacedWord(word, first + start, first + end)


def _boundaries(typed: str, tokenizer: Version) -> Sequence[tuple[int, int]]:
    """Return where a piece may be cut so that its halves are normalised alone: as typed, and as normalised."""
    normalise, _ = TOKENIZERS[tokenizer]
    normalised = normalise(typed)
    boundaries = [(0, 0)]
    for at in range(1, len(typed)):
        left, right = normalise(typed[:at]), normalise(typed[at:])
        # What is very long once normalised is cut off.
        if (left + right)[: len(normalised)] == normalised and len(left) >= boundaries[-1][1]:
            boundaries.append((at, len(left)))
    return [*boundaries, (len(typed), len(normalised))]
