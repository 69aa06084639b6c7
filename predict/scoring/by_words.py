"""The words of texts as parts of an explanation: where they are, what each adds to a sum, and texts without them."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predict.contract.features import TextFeatures
from predict.contract.text_table import SMALLEST_SQUARE, TextTable
from predict.contract.words import Version
from predict.scoring.inputs import Instance
from predict.scoring.places import PlacedPiece, PlacedWord, place_pieces
from predict.scoring.text_head import TextHead
from predict.scoring.text_sums import TextSums

Floats = npt.NDArray[np.float64]

# So many stretches of a text are left out in turn, at most: in a longer text each has several words.
_MOST_STRETCHES = 256
# What sums in single precision may differ by from those in double precision.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Reader:
    """How a text model reads texts.

    Attributes:
        features: Its words.
        sums: What these add up to; None for a model that reads their ids.
        head: What makes probabilities of the sums; None if it is not known.
        has_encoder: Whether it also reads texts in another way.
    """

    features: TextFeatures
    sums: TextSums | None = None
    head: TextHead | None = None
    has_encoder: bool = False


class Part(NamedTuple):
    """A word, or several that are explained together: where it is in a field, in code points, and as it is read."""

    field: str
    start: int
    end: int
    word: str


class Sum(NamedTuple):
    """A margin as the sum of a bias and of what each part adds."""

    bias: float
    margin: float
    added: list[float]


class Words:
    """Takes the texts of instances apart."""

    def __init__(self, fields: Sequence[str], reader: Reader, tokenizer: Version) -> None:
        """Take the names of the fields that a model reads as one text of several lines, and how it reads it."""
        self._fields, self._reader, self._tokenizer = list(fields), reader, tokenizer

    def parts_of(self, instance: Instance) -> list[Part]:
        """Return what the model reads of the texts, in order: their words.

        Words that share a character are one part; what has no words between two blanks, such as `!!!`, is one too.
        """
        return self._take_apart(instance).parts

    def stretches_of(self, instance: Instance) -> list[Part]:
        """Return the same, but neighbours together where there are too many."""
        parts = self.parts_of(instance)
        size = ceil(len(parts) / _MOST_STRETCHES)
        if size <= 1:
            return parts
        by_field: dict[str, list[Part]] = defaultdict(list)
        for part in parts:
            by_field[part.field].append(part)
        return [
            _joined(some[at : at + size])
            for some in by_field.values()
            for at in range(0, len(some), size)
        ]

    def read_of(self, instance: Instance, parts: Sequence[Part]) -> dict[str, str]:
        """Return the texts as far as the model reads them, lest it read on where something is left out."""
        texts = {name: instance[name] or "" for name in self._fields}
        if self._reader.has_encoder:  # which reads on
            return texts
        ends = {part.field: part.end for part in parts}
        return {name: text[: ends.get(name, 0)] for name, text in texts.items()}

    def sum_of(self, instance: Instance, place: int) -> tuple[list[Part], Sum] | None:
        """Return what each part adds to the margin of a label; None if the margin is no sum over the parts.

        What a piece adds that occurs several times, which counts once, is shared by its occurrences; what a pair adds,
        by its two words; and what the characters of a piece add, by its words according to their length.

        Args:
            instance: One that the model can take.
            place: Of the label, among the outputs.
        """
        reader = self._reader
        if reader.sums is None or reader.head is None or reader.head.linear is None:
            return None
        kernel, biases = reader.head.linear
        taken = self._take_apart(instance)
        text, column = self._text(instance), kernel[:, place].astype(np.float64)
        added = _added(reader.features, reader.sums.table, column, text, taken)
        bias = float(biases[place])
        margin = float(reader.head.margins(reader.sums.of([text]))[place])
        largest = max(1.0, abs(bias), abs(margin), float(np.abs(added).sum()))
        if abs(bias + added.sum() - margin) > _TOLERANCE * largest:
            return None
        return taken.parts, Sum(bias, margin, added.tolist())

    def _text(self, instance: Instance) -> str:
        return "\n".join([instance[name] or "" for name in self._fields])

    def _take_apart(self, instance: Instance) -> "_Taken":
        text, most = self._text(instance), self._reader.features.settings.max_tokens
        pieces = place_pieces(text, most, self._tokenizer)
        parts: list[Part] = []
        owners = []
        fields, first = iter(self._fields), 0
        field = next(fields)
        for piece in pieces:
            while piece.start > first + len(instance[field] or ""):
                first += len(instance[field] or "") + 1
                field = next(fields)
            end = piece.start + len(piece.typed)
            words = piece.words or [PlacedWord(piece.typed, piece.start, end)]
            own: list[int] = []
            for word, start, end in words:
                part = Part(field, start - first, end - first, word)
                if own and part.start < parts[-1].end:
                    parts[-1] = _joined([parts[-1], part])
                else:
                    parts.append(part)
                own.append(len(parts) - 1)
            owners.append(own)
        return _Taken(parts, pieces, owners)


def without(texts: Instance, part: Part) -> dict[str, Any]:
    """Return texts without a part: a blank is there instead, so that its neighbours do not become one word."""
    text = texts[part.field]
    return {**texts, part.field: f"{text[: part.start]} {text[part.end :]}"}


def _joined(parts: Sequence[Part]) -> Part:
    first = parts[0]
    end = max(part.end for part in parts)
    return Part(first.field, first.start, end, " ".join(part.word for part in parts))


class _Taken(NamedTuple):
    """The parts of a text, its pieces, and for each of these the part of each word, or the one of a piece without."""

    parts: list[Part]
    pieces: list[PlacedPiece]
    owners: list[list[int]]


def _added(
    features: TextFeatures, table: TextTable, column: Floats, text: str, taken: _Taken
) -> Floats:
    """Return what each part of a text adds to a margin, <float64>[num_parts].

    Args:
        features: Those of the model.
        table: What each id adds to the sums.
        column: What the margin is of each number of a sum, <float64>[width].
        text: The text.
        taken: The same text, taken apart.
    """
    _, pieces, owners = taken
    num_parts, contents = len(taken.parts), features.pieces(text)
    speaking = list(pairwise(at for at, piece in enumerate(pieces) if piece.words))
    # What occurs several times counts once.
    times = Counter[Hashable](piece.typed for piece in pieces)
    times.update((pieces[left].typed, pieces[right].typed) for left, right in speaking)
    # Ids of words and pairs, how much of each counts here, and the two parts that have half of it each.
    tokens: list[tuple[int | None, float, int, int]] = []
    for piece, content, own in zip(pieces, contents, owners, strict=True):
        once = 1 / times[piece.typed]
        words = zip(content.words, own, strict=False)
        tokens += [(word.id, once, part, part) for word, part in words]
        two_words = zip(pairwise(content.words), pairwise(own), strict=True)
        tokens += [(features.pair_id(*two), once, *parts) for two, parts in two_words]
    for left, right in speaking:
        pair = features.pair_id(contents[left].words[-1], contents[right].words[0])
        once = 1 / times[pieces[left].typed, pieces[right].typed]
        tokens.append((pair, once, owners[left][-1], owners[right][0]))
    known = np.array([token for token in tokens if token[0] is not None]).reshape(-1, 4)
    values = _scaled(table, known[:, 0].astype(np.int32), known[:, 1], column)
    added = np.zeros(num_parts)
    for side in (2, 3):
        added += np.bincount(known[:, side].astype(int), values / 2, num_parts)
    # And what the n-grams of each piece add, for its words by their length.
    ids = np.frombuffer(b"".join(content.ngram_ids for content in contents), np.int32)
    of_piece = np.repeat(
        np.arange(len(pieces)), [len(content.ngram_ids) // 4 for content in contents]
    )
    once_each = np.array([1 / times[piece.typed] for piece in pieces])
    values = _scaled(table, ids + table.num_token_ids, once_each[of_piece], column)
    for value, piece, own in zip(
        np.bincount(of_piece, values, len(pieces)), pieces, owners, strict=True
    ):
        lengths = [len(word.word) for word in piece.words] or [1]
        for part, length in zip(own, lengths, strict=True):
            added[part] += value * length / sum(lengths)
    return added


def _scaled(table: TextTable, ids: npt.NDArray[np.int32], shares: Floats, column: Floats) -> Floats:
    """Return what ids of one kind add to a margin, each by its share: their sum has the length of one."""
    rows = table.rows[ids]
    length = sqrt(float(table.squares[rows] @ shares) + SMALLEST_SQUARE)
    values: Floats = table.vectors[rows].astype(np.float64) @ column * shares / length
    return values
