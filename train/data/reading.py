"""The reading of a file into a table, whatever its format."""

import codecs
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from predict.contract.artefact import FileFormat
from predict.wording import listed, plural
from train.config import TrainConfig
from train.data.formats import read_excel, read_json, read_parquet
from train.data.separated import Dialect, Quotes, is_number, read_separated
from train.errors import DatasetError
from train.progress import Progress, SilentProgress

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xlsx", ".parquet")
_JSON = (".jsonl", ".ndjson", ".json")
# Not read: python-calamine, which could, gives a formula's error and a lacking result as an empty cell.
_OTHER_WORKBOOKS = (".xls", ".xlsb", ".xlsm", ".ods", ".numbers")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_CHUNK_BYTES = 1 << 20
# How many times larger than a gzip file its content can be.
_MOST_PACKED = 1032
# The longest first: UTF-32 begins as UTF-16 does.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What a file that is not UTF-8 may be; the last one takes any byte.
_LIKELY_ENCODINGS = ("cp1252", "latin-1")
_NAMES_SHOWN = 5
# Endings of files that hold rows as a rule.
_LIKE_CSV = (".txt", ".tab", ".dat", ".data")
# So many lines of titles may be above a header.
_TITLE_ROWS = 10
# What pandas and spreadsheets call a column without a name.
_NO_NAME = re.compile(r"|Unnamed: \d+")


@dataclass(frozen=True)
class Reading:
    """How a file is to be read; what is None depends on the file."""

    encoding: str = "utf-8"
    separator: str | None = None
    quotes: Quotes = "auto"
    # Of an Excel workbook; by default the first.
    sheet: str | None = None
    # The largest file that is read, once it is unpacked.
    max_bytes: int = TrainConfig.model_fields["max_dataset_bytes"].default
    # Columns that the configuration names.
    named: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: TrainConfig) -> "Reading":
        """Return how a configuration says that its dataset is read."""
        columns = config.columns
        named = {*config.where}
        if columns is not None:
            named |= {columns.label, *(columns.text or ()), *columns.inputs}
        return cls(
            encoding=config.encoding,
            separator=config.separator,
            quotes=config.quotes,
            sheet=config.sheet,
            max_bytes=config.max_dataset_bytes,
            named=frozenset(named),
        )


@dataclass(frozen=True)
class ReadTable:
    """A file that was read.

    Attributes:
        frame: The rows, numbered from 0; the names of its columns are distinct texts.
        decided: Key of the configuration -> what was guessed from the file.
        file: How a file of separated values is written; None for other formats.
    """

    frame: pd.DataFrame
    decided: dict[str, Any] = field(default_factory=dict)
    file: FileFormat | None = None


def read_table(
    path: Path, reading: Reading | None = None, progress: Progress | None = None
) -> ReadTable:
    """Read CSV, TSV, JSON, Excel or Parquet, gzipped or not.

    Args:
        path: A file whose ending says its format.
        reading: How to read it.
        progress: Is told what was guessed, and what was left out.

    Returns:
        The table; values are strings from CSV and TSV, and keep their types from other formats.

    Raises:
        DatasetError: It is not what its name says, has undecodable bytes, rows of different lengths, or columns
            of the same name.
    """
    reading, progress = reading or Reading(), progress or SilentProgress()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind in _OTHER_WORKBOOKS:
        raise DatasetError(
            f"{path}: a workbook in the format {kind} is not read. Open it in a spreadsheet program and save it as "
            ".xlsx, or the sheet as CSV."
        )
    if kind not in FORMATS:
        advice = " Rename a text file with a row a line to .csv; `separator` may say what is between its fields."
        raise DatasetError(
            f"{path}: expected a file ending in {', '.join(FORMATS)} (or with .gz after it)."
            f"{advice if kind in _LIKE_CSV else ''}"
        )
    raw = _bytes_of(path, suffixes[-1] == ".gz", reading.max_bytes)
    decided: dict[str, Any] = {}
    file = None
    if kind == ".parquet":
        frame = read_parquet(path, raw, reading.max_bytes)
    elif kind == ".xlsx":
        frame = read_excel(path, raw, reading.sheet, reading.max_bytes, progress)
    else:
        frame, file = _read_text(path, raw, kind, reading, progress)
        if file is not None and file.separator != _SEPARATORS[kind]:
            decided = {"separator": file.separator}
    return ReadTable(_with_named_columns(path, frame, reading, progress), decided, file)


def _read_text(
    path: Path, raw: bytes, kind: str, reading: Reading, progress: Progress
) -> tuple[pd.DataFrame, FileFormat | None]:
    """Read a format that is text; also return how separated values are written."""
    raw = _as_utf8(path, raw, reading.encoding, progress)
    _refuse_other_formats(path, raw)
    if kind in _JSON:
        return read_json(path, raw.decode()), None
    expected = reading.separator or _SEPARATORS[kind]
    dialect = Dialect(expected, reading.quotes, is_tsv=kind == ".tsv")
    frame, file = read_separated(path, raw, dialect, progress)
    return frame, file.model_copy(update={"encoding": reading.encoding})


def _bytes_of(path: Path, is_packed: bool, max_bytes: int) -> bytes:
    """Return the content of a file, unpacked; a file that is too large is not kept in memory."""
    try:
        size = path.stat().st_size
        if is_packed and size * _MOST_PACKED > max_bytes:
            size = _unpacked_size(path, max_bytes)
        if size > max_bytes:
            unpacked = "unpacks to" if is_packed else "has"
            raise DatasetError(
                f"{path}: {unpacked} more than {max_bytes:,} bytes. If that is meant, set `max_dataset_bytes:`."
            )
        raw = path.read_bytes()
        return gzip.decompress(raw) if is_packed else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: not a complete gzip file ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}.") from None


def _unpacked_size(path: Path, most: int) -> int:
    """Return how large a gzip file is once it is unpacked; something above `most` as soon as it is more."""
    size = 0
    with gzip.open(path) as packed:
        while size <= most and (chunk := packed.read(_CHUNK_BYTES)):
            size += len(chunk)
    return size


# ------------------------------------------------------------------- encoding


def _as_utf8(path: Path, raw: bytes, encoding: str, progress: Progress) -> bytes:
    """Return the text of a file in UTF-8, without a byte order mark, which goes before what is configured."""
    mark = next((mark for mark in _BYTE_ORDER_MARKS if raw.startswith(mark)), None)
    if mark is not None and mark != codecs.BOM_UTF8 and _is_utf8(encoding):
        encoding = _BYTE_ORDER_MARKS[mark]
        progress.say(f"dataset: {path.name} is {encoding.upper()}, by its byte order mark")
    elif mark == codecs.BOM_UTF8:
        if not _is_utf8(encoding):
            progress.warn(f"{path}: UTF-8 by its byte order mark, and read so, not as {encoding}")
        raw, encoding = raw[len(mark) :], "utf-8"
    try:
        text = raw.decode(encoding)
        return raw if _is_utf8(encoding) else text.removeprefix("\ufeff").encode()
    except UnicodeDecodeError as error:
        raise DatasetError(_describe_undecodable(path, raw, encoding, error)) from None
    except (LookupError, UnicodeError):  # UnicodeError: of codecs that are not for files
        raise DatasetError(f"encoding: Python does not know {encoding!r}.") from None


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    except LookupError:
        return False


def _describe_undecodable(path: Path, raw: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    start = error.start
    before = raw[:start]
    line = (before.count(b"\n") or before.count(b"\r")) + 1
    what = f"{path}, line {line}: byte {raw[start]:#04x} is not {encoding}. "
    around = (
        re.search(rb"[^\s,;\t|\"]*\Z", before[-20:]),
        re.match(rb"[^\s,;\t|\"]*", raw[start:][:20]),
    )
    word = b"".join(match[0] for match in around if match)
    for likely in _LIKELY_ENCODINGS if _is_utf8(encoding) else ():
        try:
            raw.decode(likely)
        except UnicodeDecodeError:
            continue
        return (
            f"{what}In {likely} the word there is {word.decode(likely)!r}: if that is right, set `encoding: {likely}`; "
            "else save the file as UTF-8."
        )
    return f"{what}Save the file as UTF-8, or set `encoding:` (such as latin-1)."


def _refuse_other_formats(path: Path, raw: bytes) -> None:
    start = raw[:200].lstrip().lower()
    if not start:
        raise DatasetError(f"{path}: the file is empty.")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DatasetError(
            f"{path}: this is a web page, not {path.suffix}. Was a login page downloaded instead?"
        )
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        is_wide = len(raw) > 3 and (raw[1] == raw[3] == 0 or raw[0] == raw[2] == 0)
        likely = "le" if raw[1:2] == b"\0" else "be"
        hint = f" If it is UTF-16, set `encoding: utf-16-{likely}`." if is_wide else ""
        raise DatasetError(f"{path}, line {line}: a NUL byte; this is not a text file.{hint}")


# -------------------------------------------------------------------- columns


def _with_named_columns(
    path: Path, frame: pd.DataFrame, reading: Reading, progress: Progress
) -> pd.DataFrame:
    """Refuse equal names, and leave out columns without a name unless the configuration has that name."""
    names = [str(name) for name in frame.columns]
    names = [name if name.strip() else f"Unnamed: {number}" for number, name in enumerate(names)]
    _refuse_equal_names(path, names)
    frame = frame.set_axis(names, axis=1)
    if row := _header_below(frame, reading):
        raise DatasetError(
            f"{path}: row {row} has the names that the configuration gives to columns "
            f"({listed(sorted(reading.named), _NAMES_SHOWN)}), and the line read as the header has "
            f"{listed([name for name in names if not _NO_NAME.fullmatch(name)], _NAMES_SHOWN)}. "
            "Remove the lines above the header."
        )
    if _look_like_values(frame):
        progress.warn(
            f"{path}: the names of the columns look like values ({listed(names, _NAMES_SHOWN)}): is the header "
            "missing? Put a line with names before the first row"
        )
    alike = [name for name in names if name != name.strip() and name.strip() in names]
    if alike:
        shown = listed(list(map(repr, alike)), _NAMES_SHOWN)
        progress.warn(
            f"{path}: blanks alone make the {plural(len(alike), 'name')} {shown} "
            "differ from another column's. Rename or remove one"
        )
    nameless = [name for name in names if _NO_NAME.fullmatch(name) and name not in reading.named]
    if nameless:
        numbers = listed([str(names.index(name) + 1) for name in nameless])
        progress.warn(
            f"{path}: {plural(len(nameless), 'column')} {numbers} without a name (a saved index?) "
            f"{plural(len(nameless), 'is')} left out; declare {nameless[0]!r} in columns.inputs to keep it"
        )
    return frame.drop(columns=nameless)


def _header_below(frame: pd.DataFrame, reading: Reading) -> int | None:
    """Return the row, counted from 1, that has the names of all columns where the header has none of them."""
    if not reading.named or not reading.named.isdisjoint(frame.columns):
        return None
    for number, row in enumerate(frame.head(_TITLE_ROWS).itertuples(index=False), start=1):
        if reading.named <= {str(value) for value in row}:
            return number
    return None


def _look_like_values(frame: pd.DataFrame) -> bool:
    """Return whether every name is a number or a value of its own column, and at least one is a number."""
    names = frame.columns.tolist()
    numbers = [name for name in names if is_number(name)]
    return bool(numbers) and all(
        name in numbers or bool((frame[name] == name).any()) for name in names
    )


def _refuse_equal_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        hint = " Or is the header missing?" if all(map(is_number, twice)) else ""
        raise DatasetError(
            f"{path}: more than one column is called {', '.join(map(repr, twice))}. Rename or remove one.{hint}"
        )
