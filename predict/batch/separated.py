"""Files of separated values, row by row: what is between the fields, and what quotation marks mean."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from predict.batch.errors import BatchError
from predict.batch.lines import MOST_CHARACTERS, Lines, undecoded
from predict.batch.tables import Chunk
from predict.contract.artefact import FileFormat
from predict.wording import counted

Quotes = Literal["enclose", "literal"]

SEPARATORS = (",", ";", "\t", "|")
_SAYS_SEPARATOR = re.compile(r'"?sep=([^"\r\n])"?(?:\r\n|\n|\r)?')


@dataclass(frozen=True)
class Dialect:
    """How the fields of a row are written."""

    separator: str
    quotes: Quotes

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Read rows from lines with their ends."""
        csv.field_size_limit(MOST_CHARACTERS)
        if self.quotes == "literal":
            return csv.reader(lines, delimiter=self.separator, quoting=csv.QUOTE_NONE)
        return csv.reader(lines, delimiter=self.separator)


@dataclass(frozen=True)
class Expected:
    """What a person or the artefact says of a file.

    Attributes:
        separator: Between the fields; None if nobody says so.
        quotes: What quotation marks mean; None if nobody says so.
        trained: How the training file was written, if that is known.
        by_suffix: The separator that goes with the file's name.
    """

    separator: str | None
    quotes: Quotes | None
    trained: FileFormat | None
    by_suffix: str


class SeparatedTable:
    """A file of separated values."""

    of_objects = False

    def __init__(self, lines: Lines, shown: str, expected: Expected, chunk_rows: int) -> None:
        """Read as far as the header; raise BatchError if there is none."""
        self._lines, self._shown, self._chunk_rows = lines, shown, chunk_rows
        first = self._first_line(expected)
        self.dialect = first
        self._rows = self.dialect.reader(lines)
        names = next(self._rows)
        _, self.header = lines.take()
        if byte := undecoded(self.header):
            raise BatchError(
                f"{shown}, line {lines.number}: {byte}. Set --encoding, such as cp1252."
            )
        self.columns = [name if name.strip() else f"Unnamed: {i}" for i, name in enumerate(names)]

    def chunks(self) -> Iterator[Chunk]:
        """See `Table`."""
        rows = self._all_rows()
        while some := list(islice(rows, self._chunk_rows)):
            lines, raws, values, problems = zip(*some, strict=True)
            wrong = {place: why for place, why in enumerate(problems) if why}
            yield Chunk(lines, values, raws, wrong)

    def _all_rows(self) -> Iterator[tuple[int, str, list[str], str]]:
        """Yield for each row its line, its text, its fields, and what is wrong with it."""
        lines, width, rows = self._lines, len(self.columns), self._rows
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise BatchError(
                    f"{self._shown}, line {lines.number}: {error}. Does a quotation mark open a field that none "
                    "closes? Close it, or set --quotes literal."
                ) from None
            # Only a row whose last field is open asks for a line when there is no more.
            is_open = lines.has_ended
            first, raw = lines.take()
            if is_open:
                yield first, raw, row, _UNCLOSED
            elif len(row) != width:
                if not raw.strip(self._blanks):
                    continue
                yield first, raw, row, _length_problem(width, len(row), self.dialect.separator)
            elif width == 1 and not row[0].strip():
                continue
            elif not raw.isascii() and (byte := undecoded(raw)):
                yield first, raw, row, byte
            else:
                yield first, raw, row, ""

    @property
    def _blanks(self) -> str:
        return " \t\r\n".replace(self.dialect.separator, "")

    def _first_line(self, expected: Expected) -> Dialect:
        """Skip what is before the header, and find out how fields are written."""
        line = next((line for line in self._lines if line.strip()), None)
        if line is None:
            raise BatchError(f"{self._shown}: the file is empty.")
        if says := _SAYS_SEPARATOR.fullmatch(line):
            self._lines.of_row.clear()
            header = next((line for line in self._lines if line.strip()), None)
            if header is None:
                raise BatchError(f"{self._shown}: the file is empty.")
            return self._dialect(header, says[1], expected)
        trained = expected.trained.separator if expected.trained else None
        by_name = (expected.by_suffix, trained)
        likely = by_name if expected.by_suffix == "\t" else by_name[::-1]
        candidates = [expected.separator] if expected.separator else [*filter(None, likely)]
        bare = re.sub('"[^"]*"', "", line)
        separator = next((one for one in candidates if one in bare), None)
        if separator is None:
            others = [one for one in SEPARATORS if one in bare and not expected.separator]
            separator = max(others, key=bare.count, default=candidates[0])
        return self._dialect(line, separator, expected)

    def _dialect(self, header: str, separator: str, expected: Expected) -> Dialect:
        self._lines.put_back(header)
        self._lines.of_row.clear()
        trained = expected.trained
        quotes = expected.quotes
        if quotes is None and trained is not None and trained.separator == separator:
            quotes = trained.quotes
        if quotes is None:
            is_evident = separator != "\t" or header.startswith('"')
            quotes = "enclose" if is_evident else "literal"
        return Dialect(separator, quotes)


_UNCLOSED = (
    "a quotation mark opens a field and none closes it. Close or remove it, or set --quotes literal"
)


def _length_problem(expected: int, actual: int, separator: str) -> str:
    return f"expected {counted(expected, 'field')} (separated by {separator!r}), got {actual}"
