"""Files of separated values, CSV and TSV: the separator, what quotation marks mean, and the rows."""

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow
import pyarrow.csv

from predict.contract.artefact import FileFormat
from predict.wording import counted
from train.errors import DatasetError
from train.progress import Progress

SEPARATORS = (",", ";", "\t", "|")
# auto: they enclose fields where that is evident; enclose: wherever a field opens with one; literal: never.
Quotes = Literal["auto", "enclose", "literal"]

_BLOCK_BYTES = 1 << 22
_RAGGED_SHOWN = 3
# As much of a file, and at least as many rows, show which values a column has.
_HEAD_BYTES, _FEWEST_SAMPLED = 1 << 18, 4
# A line with as many separators is a row, whatever its values are.
_MANY_SEPARATORS = 3
_QUOTE, _LINE_FEED, _CARRIAGE_RETURN = b'"\n\r'

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dialect:
    """How a file of separated values is to be read; `separator` is the expected one."""

    separator: str
    quotes: Quotes
    is_tsv: bool


def read_separated(
    path: Path, raw: bytes, dialect: Dialect, progress: Progress
) -> tuple[pd.DataFrame, FileFormat]:
    """Read the rows of a file; values are strings.

    Args:
        path: Where it comes from, for messages.
        raw: Its content, in UTF-8 without a byte order mark.
        dialect: How to read it.
        progress: Is told what was guessed.

    Returns:
        The rows, and how the file is written; names of columns may be empty.

    Raises:
        DatasetError: Rows of different lengths, or a quotation mark that swallows rows.
    """
    skipped, raw, separator = _choose_separator(path, raw, dialect.separator, progress)
    text = _Text(path, raw, separator, skipped)
    encloses = _quotes_enclose(text, dialect, progress)
    literal = dialect.quotes == "literal" or (len(text.fields.opens) > 0 and not encloses)
    quotes: Literal["enclose", "literal"] | None = (
        "literal" if literal else "enclose" if encloses else None
    )
    written = FileFormat(separator=separator, quotes=quotes)
    return _read_rows(text, encloses, progress), written


# ----------------------------------------------------------------- separator


def _choose_separator(
    path: Path, raw: bytes, expected: str, progress: Progress
) -> tuple[int, bytes, str]:
    """Return how many lines come before the header, the rest of the file, and its separator."""
    if first := re.match(rb'"?sep=([^"\r\n])"?(?:\r\n|\n|\r)', raw):
        return 1, raw[first.end() :], first[1].decode()
    header, *following = _first_lines(raw)
    if expected in header:
        return 0, raw, expected
    counts = {one: header.count(one) for one in SEPARATORS if one in header}
    fitting = [one for one in counts if all(one in line for line in following)]
    if not fitting:
        return 0, raw, expected
    separator = max(fitting, key=counts.__getitem__)
    progress.warn(
        f"{path}: the header has no {expected!r}; the fields are read as separated by {separator!r} "
        "(`separator:` says so)"
    )
    return 0, raw, separator


def _first_lines(raw: bytes) -> list[str]:
    """Return the first line that is not blank and the one after it, without what is in quotation marks."""
    start = raw.lstrip(b"\r\n ")
    lines = re.split(rb"[\r\n]+", start[: 1 << 16], maxsplit=2)[:2]
    texts = [re.sub('"[^"]*"', "", line.decode(errors="replace")) for line in lines]
    return [texts[0], *(text for text in texts[1:] if text.strip())]


# ------------------------------------------------------------ quotation marks


@dataclass(frozen=True)
class _Fields:
    """Fields that open with a quotation mark: where, and where they close (the end of the file if never)."""

    opens: Positions
    closes: Positions
    # Whether the closing mark ends the field, as it should.
    whole: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Text:
    """The content of a file and where its lines and quotation marks are."""

    path: Path
    raw: bytes
    separator: str
    skipped_lines: int

    @cached_property
    def array(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.raw, np.uint8)

    @cached_property
    def line_ends(self) -> Positions:
        """Where lines end: at a line feed, or at a carriage return that has none after it."""
        ends = np.flatnonzero(self.array == _LINE_FEED)
        if b"\r" in self.raw:
            returns = np.flatnonzero(self.array == _CARRIAGE_RETURN)
            alone = (self._following(returns) != _LINE_FEED) | (returns == len(self.array) - 1)
            ends = np.sort(np.concatenate([ends, returns[alone]]))
        return ends

    @cached_property
    def fields(self) -> _Fields:
        """The fields that open with a quotation mark."""
        marks = np.flatnonzero(self.array == _QUOTE) if b'"' in self.raw else np.empty(0, np.int64)
        return self._well_formed(marks) or self._any_formed()

    @cached_property
    def columns(self) -> int:
        """How many columns the header has."""
        header = self.raw.lstrip(b"\r\n ")[:_HEAD_BYTES].decode(errors="replace")
        return len(_fields_of(header, self.separator, encloses=True))

    @cached_property
    def usual_values(self) -> dict[int, set[str]]:
        """The values of the columns in which values recur or are numbers, as far as a part of the file shows."""
        head = self.raw[:_HEAD_BYTES].decode(errors="replace")
        csv.field_size_limit(max(_HEAD_BYTES, csv.field_size_limit()))
        reader = csv.reader(StringIO(head, newline=""), delimiter=self.separator)
        rows = [row for row in reader if len(row) == self.columns][1:]
        if len(rows) < _FEWEST_SAMPLED:
            return {}
        columns = [{value.strip() for value in column} for column in zip(*rows, strict=True)]
        return {
            position: values
            for position, values in enumerate(columns)
            if len(values) * 2 <= len(rows) or all(map(is_number, values))
        }

    def line_of(self, position: int) -> int:
        """Return the number of the line, from 1, in which a position is."""
        return int(np.searchsorted(self.line_ends, position)) + 1 + self.skipped_lines

    def lines_within(self, fields: _Fields) -> Positions:
        """Return how many line ends each field has in it."""
        after = np.searchsorted(self.line_ends, fields.closes)
        return np.asarray(after - np.searchsorted(self.line_ends, fields.opens), np.int64)

    def _following(self, positions: Positions) -> npt.NDArray[np.uint8]:
        """Return the byte after each position; a line end after the last one."""
        last = len(self.array) - 1
        return np.where(
            positions < last, self.array[np.minimum(positions + 1, last)], np.uint8(_LINE_FEED)
        )

    def _ends_field(self, following: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        return np.isin(following, [ord(self.separator), _LINE_FEED, _CARRIAGE_RETURN])

    def _well_formed(self, marks: Positions) -> _Fields | None:
        """Return the fields if every mark opens a field, closes it, or is doubled; else None."""
        if len(marks) % 2:
            return None
        opens, closes = marks[0::2], marks[1::2]
        before = np.where(opens > 0, self.array[opens - 1], _LINE_FEED) if len(opens) else opens
        after = self._following(closes)
        starts, ends = before != _QUOTE, after != _QUOTE
        fit = self._ends_field(before[starts]).all() and self._ends_field(after[ends]).all()
        if not fit or (starts[1:] != ends[:-1]).any() or starts[:1].sum() < len(starts[:1]):
            return None
        return _Fields(opens[starts], closes[ends], np.ones(int(starts.sum()), bool))

    def _any_formed(self) -> _Fields:
        separator = re.escape(self.separator.encode())
        pattern = rb'(?:(?<=[\r\n])|(?<=%b)|\A)"(?:[^"]++|"")*+("|\Z)' % separator
        spans = [(match.start(), match.start(1)) for match in re.finditer(pattern, self.raw)]
        opens, closes = np.array(spans, np.int64).reshape(-1, 2).T
        closed = closes < len(self.raw)
        whole = closed.copy()
        whole[closed] = self._ends_field(self._following(closes[closed]))
        return _Fields(opens, closes, whole)


def _quotes_enclose(text: _Text, dialect: Dialect, progress: Progress) -> bool:
    """Return whether quotation marks enclose fields, rather than being characters like any other."""
    if dialect.quotes == "literal" or not len(text.fields.opens):
        return False
    if dialect.quotes == "enclose":
        _refuse_unclosed(text)
        return True
    return _tsv_is_quoted(text, progress) if dialect.is_tsv else _csv_is_quoted(text, progress)


def _tsv_is_quoted(text: _Text, progress: Progress) -> bool:
    fields = text.fields
    if fields.whole.all() and _swallows(text) is None and _is_evident(text):
        return True
    count = len(fields.opens)
    progress.warn(
        f"{text.path}: {counted(count, 'field')} with a quotation mark at the start, the first in line "
        f"{text.line_of(fields.opens[0])}; these marks are read literally, and each line is a row "
        "(`quotes: enclose` if the marks enclose fields)"
    )
    return False


def _is_evident(text: _Text) -> bool:
    """Return whether a quoted field holds what must be quoted, or the names of the columns are quoted."""
    fields = text.fields
    if fields.opens[0] == len(text.raw) - len(text.raw.lstrip(b"\r\n")):
        return True
    contents = (
        text.raw[start + 1 : end] for start, end in zip(fields.opens, fields.closes, strict=True)
    )
    special = re.compile(b'[\r\n"]|' + re.escape(text.separator.encode()))
    return any(special.search(content) for content in contents)


def _csv_is_quoted(text: _Text, progress: Progress) -> bool:
    _refuse_unclosed(text)
    if (swallowing := _swallows(text)) is not None:
        start, end = int(text.fields.opens[swallowing]), int(text.fields.closes[swallowing])
        raise DatasetError(
            f"{text.path}, line {text.line_of(start)}: a quotation mark opens a field that runs to line "
            f"{text.line_of(end)}, over lines that look like rows. Close or double the mark; or set `quotes: literal` "
            "if marks are characters like any other, `quotes: enclose` if the field is meant to be that long."
        )
    broken = np.flatnonzero(~text.fields.whole)
    if len(broken):
        progress.warn(
            f"{text.path}: in {counted(len(broken), 'field')} a quotation mark closes before the field ends, the first "
            f"in line {text.line_of(text.fields.opens[broken[0]])}; these marks are dropped. Double the marks within a "
            "field, or set `quotes: literal` to keep all of them"
        )
    return True


def _refuse_unclosed(text: _Text) -> None:
    fields = text.fields
    if fields.closes[-1] >= len(text.raw):
        raise DatasetError(
            f"{text.path}, line {text.line_of(fields.opens[-1])}: a quotation mark opens a field and none closes it. "
            "Close or remove it, or set `quotes: literal` if marks are characters like any other."
        )


def _swallows(text: _Text) -> int | None:
    """Return the first quoted field that seems to hold whole rows."""
    fields = text.fields
    for index in np.flatnonzero(text.lines_within(fields) > 0).tolist():
        if not fields.whole[index] or _looks_like_rows(text, *_span(text, index)):
            return int(index)
    return None


def _span(text: _Text, index: int) -> tuple[int, int]:
    """Return where the first line of a field starts, and where its last line ends."""
    ends = text.line_ends
    first = int(np.searchsorted(ends, text.fields.opens[index]))
    last = int(np.searchsorted(ends, text.fields.closes[index]))
    return (
        int(ends[first - 1]) + 1 if first else 0,
        int(ends[last]) if last < len(ends) else len(text.raw),
    )


def _looks_like_rows(text: _Text, start: int, end: int) -> bool:
    """Return whether the first and the last of some lines, and half of those between, look like rows."""
    lines = [line for line in _split_lines(text.raw[start:end]) if line.strip()]
    first, *between, last = [_looks_like_a_row(text, line) for line in lines]
    return first and last and sum(between) * 2 >= len(between)


def _looks_like_a_row(text: _Text, line: str) -> bool:
    values = line.split(text.separator)
    if len(values) != text.columns or len(values) == 1:
        return False
    if len(values) > _MANY_SEPARATORS:
        return True
    return all(
        _is_usual(values[position].strip(' "'), known)
        for position, known in text.usual_values.items()
    )


def _is_usual(value: str, known: set[str]) -> bool:
    return value in known or (is_number(value) and all(map(is_number, known)))


def is_number(value: str) -> bool:
    """Return whether Python reads a text as a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def _split_lines(raw: bytes) -> list[str]:
    """Split at line ends alone; str.splitlines knows others, such as the form feed."""
    return re.split("\r\n|\n|\r", raw.decode(errors="replace"))


# ----------------------------------------------------------------------- rows


@dataclass(frozen=True)
class _Rows:
    """Where the rows of a text start and end, line ends within quoted fields aside; the header comes first."""

    starts: Positions
    ends: Positions
    # How many lines are within rows that began before them.
    continuing: int
    blank_before_header: int


def _read_rows(text: _Text, encloses: bool, progress: Progress) -> pd.DataFrame:
    rows = _find_rows(text, encloses)
    header_text = text.raw[rows.starts[0] : rows.ends[0]].decode()
    header = _fields_of(header_text, text.separator, encloses)
    content = memoryview(text.raw)[min(int(rows.ends[0]) + 1, len(text.raw)) :]
    odd: list[str] = []
    frame = _parse(content, len(header), text.separator, encloses, rows, odd)
    if any(row.strip(_blanks(text)) for row in odd):
        raise DatasetError(_describe_ragged(text, rows, len(header), encloses))
    blank = len(odd) + _count_empty(text, rows)
    if len(header) == 1:  # where a line of blanks is a row to the parser
        filled = frame.iloc[:, 0].str.strip() != ""
        blank += int((~filled).sum())
        frame = frame[filled].reset_index(drop=True)
    if len(frame) + blank != len(rows.starts) - 1:
        raise DatasetError(
            f"{text.path}: {len(rows.starts) - 1:,} rows were found, but {len(frame) + blank:,} read. "
            "Please report this; `quotes: literal` may help."
        )
    _tell_lines(text, rows, len(frame), blank, progress)
    return frame.set_axis(header, axis=1)


def _blanks(text: _Text) -> str:
    """Return the characters of a line that is blank."""
    return " \t\r\n".replace(text.separator, "")


def _fields_of(row: str, separator: str, encloses: bool) -> list[str]:
    """Return the fields of the first row of a text."""
    csv.field_size_limit(max(len(row), csv.field_size_limit()))
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if encloses else csv.QUOTE_NONE
    return next(csv.reader(StringIO(row, newline=""), delimiter=separator, quoting=quoting))


def _find_rows(text: _Text, encloses: bool) -> _Rows:
    ends, continuing = text.line_ends, 0
    if encloses:
        opened = np.searchsorted(text.fields.opens, ends)
        closed = np.searchsorted(text.fields.closes, ends)
        continuing = int((opened > closed).sum())
        ends = ends[opened == closed]
    if not len(ends) or ends[-1] != len(text.raw) - 1:
        ends = np.append(ends, len(text.raw))
    starts = np.append(0, ends[:-1] + 1)
    header = next(
        number
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
        if text.raw[start:end].strip()
    )
    return _Rows(starts[header:], ends[header:], continuing, header)


def _parse(
    content: memoryview,
    columns: int,
    separator: str,
    encloses: bool,
    rows: _Rows,
    odd: list[str],
) -> pd.DataFrame:
    """Read the rows below the header; those of another length go into `odd`."""
    names = list(map(str, range(columns)))

    def leave_out(row: pyarrow.csv.InvalidRow) -> str:
        odd.append(row.text)
        return "skip"

    if not content:
        return pd.DataFrame({name: pd.Series(dtype=str) for name in names})
    longest = int((rows.ends - rows.starts).max())
    table = pyarrow.csv.read_csv(
        pyarrow.BufferReader(content),
        pyarrow.csv.ReadOptions(column_names=names, block_size=max(_BLOCK_BYTES, 2 * longest)),
        pyarrow.csv.ParseOptions(
            delimiter=separator,
            quote_char='"' if encloses else False,
            newlines_in_values=rows.continuing > 0,
            invalid_row_handler=leave_out,
        ),
        pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pyarrow.large_string()),
            null_values=[],
        ),
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _count_empty(text: _Text, rows: _Rows) -> int:
    """Count the rows that are nothing but a line end; the parser leaves them out."""
    starts, ends = rows.starts[1:], rows.ends[1:]
    empty = starts == ends
    if b"\r\n" in text.raw:
        empty |= (ends - starts == 1) & (
            text.array[np.minimum(starts, len(text.raw) - 1)] == _CARRIAGE_RETURN
        )
    return int(empty.sum())


def _describe_ragged(text: _Text, rows: _Rows, expected: int, encloses: bool) -> str:
    """Say which lines have another number of fields than the header."""
    found = []
    for start, end in zip(rows.starts[1:], rows.ends[1:], strict=True):
        row = text.raw[start:end].decode()
        if not row.strip(_blanks(text)):
            continue
        fields = _fields_of(row, text.separator, encloses)
        if len(fields) != expected:
            found.append((text.line_of(start), len(fields)))
    shown = ", ".join(f"line {line} has {count}" for line, count in found[:_RAGGED_SHOWN])
    more = f" and {len(found) - _RAGGED_SHOWN:,} more lines" if len(found) > _RAGGED_SHOWN else ""
    return (
        f"{text.path}: the header has {counted(expected, 'field')} (separated by {text.separator!r}), "
        f"but {shown}{more}. {_advice_on_ragged(text, rows, expected)}"
    )


def _advice_on_ragged(text: _Text, rows: _Rows, expected: int) -> str:
    header = text.raw[rows.starts[0] : rows.ends[0]].decode()
    other = max(SEPARATORS, key=header.count)
    if header.count(other) > header.count(text.separator):
        return f"If {other!r} separates the fields, set `separator:`."
    if text.separator == " " and b"  " in text.raw:
        return "Two blanks have an empty field between them: write one blank between two fields."
    title = "If it is a title, remove the lines above the header. " if expected == 1 else ""
    return f"{title}Put fields that hold the separator into quotation marks."


def _tell_lines(text: _Text, rows: _Rows, made: int, blank: int, progress: Progress) -> None:
    """Account for every line that is neither the header nor a row of its own."""
    rest = {
        "before the header": text.skipped_lines,
        "blank": blank + rows.blank_before_header,
        "within quoted fields": rows.continuing,
    }
    if any(rest.values()):
        lines = len(rows.starts) + sum(rest.values()) - blank
        listed = ", ".join(f"{count:,} {what}" for what, count in rest.items() if count)
        progress.say(f"dataset: {lines:,} lines: 1 header, {counted(made, 'row')}, {listed}")
