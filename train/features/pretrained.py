"""Files of word vectors, read line by line: only the words that are asked for are kept, whatever the size of the file.

Two formats: text, as word2vec, GloVe and fastText (.vec) write it, and word2vec's binary one. Either may be gzipped.
"""

import gzip
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from predict.wording import shorten
from train.data.separated import is_number
from train.errors import UserError

Vector = npt.NDArray[np.float32]

# More are a damaged header, and would be asked of memory.
_MOST_NUMBERS = 100_000
_LONGEST_WORD = 10_000
_LONGEST_LINE = 20 * _MOST_NUMBERS
_EXPECTED = (
    "Expected word2vec or GloVe text format, or word2vec binary format in a file ending in .bin."
)


class EmbeddingError(UserError):
    """Vectors that cannot be read or do not fit."""


@dataclass
class WordVectors:
    """The vectors of the words that were asked for.

    Attributes:
        size: The numbers of a vector.
        of: Word -> <float32>[size], finite.
        repeated: Words that the file has more than once; the first vector counts.
    """

    size: int = 0
    of: dict[str, Vector] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)

    def add(self, word: str, vector: Vector, place: str) -> None:
        """Keep a vector; raise ValueError unless it is finite."""
        if word in self.of:
            self.repeated.append(word)
            return
        if not np.isfinite(vector).all():
            raise ValueError(f"{place}: the vector of {shorten(word)!r} is not finite")
        self.of[word] = vector


def read_vectors(path: Path, words: Collection[str]) -> WordVectors:
    """Read the vectors of some words.

    Args:
        path: Of a file; one that ends in .bin or .bin.gz is binary.
        words: Those that are asked for; a set, or a dict.

    Raises:
        EmbeddingError: The file cannot be read. The message says where, and what was expected.
    """
    read = _read_binary if ".bin" in path.suffixes else _read_text
    try:
        with open_unpacked(path) as file:
            return read(file, words)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise EmbeddingError(
            f"embeddings.pretrained: {path}: cannot be read ({error}). {_EXPECTED}"
        ) from None


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


# ---------------------------------------------------------------------- text


def _read_text(file: BinaryIO, words: Collection[str]) -> WordVectors:
    found, announced, rows = WordVectors(), None, 0
    for number, line in enumerate(_lines(file), start=1):
        place, fields = f"line {number}", line.split(" ")
        if (
            number == 1 and len(fields) == 2
        ):  # word2vec's header: how many vectors of how many numbers
            announced, found.size = _header(fields, place)
            continue
        if not found.size:
            found.size = _numbers_at_end(fields)
            if not found.size:
                raise ValueError("its first line has no numbers")
        rows += 1
        word, numbers = " ".join(fields[: -found.size]), fields[-found.size :]
        if len(fields) <= found.size or (
            len(fields) > found.size + 1 and all(map(is_number, fields[1 : -found.size]))
        ):
            raise ValueError(
                f"{place}: expected a word and {found.size} numbers, got {len(fields) - 1} numbers"
            )
        if word in words:
            found.add(word, _numbers(numbers, place), place)
    if not found.size:
        raise ValueError("it is empty")
    if announced is not None and rows != announced:
        raise ValueError(f"its header announces {announced:,} vectors, and it has {rows:,}")
    return found


def _lines(file: BinaryIO) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"line {number}: longer than {_LONGEST_LINE:,} bytes")
        try:
            # Blanks at the end are GloVe's and fastText's; other kinds of blanks may be part of a word.
            text = line.decode("utf-8").rstrip(" \r\n").replace("\t", " ")
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number}: not UTF-8: {error}") from None
        if text:
            yield text


def _header(fields: list[str], place: str) -> tuple[int, int]:
    try:
        count, size = int(fields[0]), int(fields[1])
    except ValueError:
        raise ValueError("its first line has no numbers") from None
    if count < 0 or not 1 <= size <= _MOST_NUMBERS:
        raise ValueError(
            f"{place}: expected the number of vectors and that of their numbers, got {' '.join(fields)!r}"
        )
    return count, size


def _numbers_at_end(fields: list[str]) -> int:
    """Return how many numbers end a line, after a word that may have blanks or be a number itself."""
    numbers = takewhile(is_number, reversed(fields[1:]))
    return sum(1 for _ in numbers)


def _numbers(fields: list[str], place: str) -> Vector:
    try:
        with np.errstate(over="ignore"):  # it is not finite then
            return np.array(fields, np.float64).astype(np.float32)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


# -------------------------------------------------------------------- binary


def _read_binary(file: BinaryIO, words: Collection[str]) -> WordVectors:
    header = file.readline(_LONGEST_WORD).decode("latin-1").split()
    if len(header) != 2:
        raise ValueError("its first line is no header of two numbers")
    found = WordVectors()
    announced, found.size = _header(header, "line 1")
    length = 4 * found.size
    for number in range(1, announced + 1):
        place = f"vector {number:,} of {announced:,}"
        word = _word(file, place)
        raw = file.read(length)
        if len(raw) < length:
            raise ValueError(f"it ends within {place}")
        if word in words:
            found.add(word, np.frombuffer(raw, "<f4").astype(np.float32), place)
    if file.read(2).strip():
        raise ValueError(f"it goes on after the {announced:,} vectors of its header")
    return found


def _word(file: BinaryIO, place: str) -> str:
    raw = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte:
            raise ValueError(f"it ends within {place}")
        if len(raw) == _LONGEST_WORD:
            raise ValueError(f"{place}: its word is longer than {_LONGEST_WORD:,} bytes")
        if byte != b"\n" or raw:  # some writers end a vector with a line break
            raw += byte
    return raw.decode("utf-8", "replace")
