"""The reading of a file into a table, whatever its format."""

import csv
import gzip
import json
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from train.errors import DatasetError

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def read_table(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Read CSV, TSV, JSON Lines or Parquet, gzipped or not.

    Returns:
        The rows, numbered from 0; values are strings from CSV and TSV, and keep their types from other formats.

    Raises:
        DatasetError: It is not what its name says, has undecodable bytes, rows of different lengths, or columns
            without a distinct name.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in FORMATS:
        raise DatasetError(
            f"{path}: expected a file ending in {', '.join(FORMATS)} (or with .gz after it)."
        )
    try:
        raw = gzip.decompress(path.read_bytes()) if suffixes[-1] == ".gz" else path.read_bytes()
        if kind == ".parquet":
            return _with_named_columns(path, _parse_parquet(raw))
        text = raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: not a Parquet file ({error}).") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: not a complete gzip file ({error}).") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is not {encoding}. "
            "Save the file as UTF-8, or set `encoding:` (such as latin-1)."
        ) from None
    except (LookupError, UnicodeError):  # UnicodeError: of codecs that are not for files
        raise DatasetError(f"encoding: Python does not know {encoding!r}.") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}.") from None
    _refuse_other_formats(path, text)
    del raw  # as large as all of the table
    frame = (
        _parse_jsonl(path, text)
        if kind == ".jsonl"
        else _parse_separated(path, text, "\t" if kind == ".tsv" else ",")
    )
    return _with_named_columns(path, frame)


def _with_named_columns(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(name) for name in frame.columns]
    _refuse_equal_names(path, names)
    if "" in names:
        raise DatasetError(f"{path}: column {names.index('') + 1} has no name.")
    return frame.set_axis(names, axis=1)


def _refuse_equal_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DatasetError(
            f"{path}: more than one column is called {', '.join(map(repr, twice))}. Rename or remove one."
        )


def _refuse_other_formats(path: Path, text: str) -> None:
    start = text[:200].lstrip().lower()
    if not start:
        raise DatasetError(f"{path}: the file is empty.")
    if start.startswith(("<!doctype", "<html", "<?xml")):
        raise DatasetError(
            f"{path}: this is a web page, not {path.suffix}. Was a login page downloaded instead?"
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DatasetError(f"{path}, line {line}: a NUL byte; this is not a text file.")


def _parse_parquet(raw: bytes) -> pd.DataFrame:
    frame: pd.DataFrame = pyarrow.parquet.read_table(BytesIO(raw)).to_pandas()
    # What pandas wrote as an index is a column if it has a name, else just the row number.
    has_name = any(name is not None for name in frame.index.names)
    return frame.reset_index(drop=not has_name)


def _parse_separated(path: Path, text: str, separator: str) -> pd.DataFrame:
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    header = next(_rows_of(text, separator), [])
    _refuse_equal_names(path, header)
    if len(header) == 1 and (other := next((char for char in ";\t,|" if char in header[0]), "")):
        raise DatasetError(
            f"{path}: the header has no {separator!r}, but {other!r}. Separate the fields with {separator!r}; "
            "give a file with tabs the ending .tsv."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            frame = pd.read_csv(
                BytesIO(text.encode()),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values=[],
                index_col=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DatasetError(f"{path}: ragged or broken rows: {str(error).strip()}") from None
    # pandas reads a missing field as an empty one.
    if (frame.iloc[:, -1] == "").any():
        _refuse_short_rows(path, _rows_of(text, separator), frame.shape[1])
    return frame


def _rows_of(text: str, separator: str) -> Iterator[list[str]]:
    """Yield the rows, header first, without blank ones."""
    for row in csv.reader(StringIO(text, newline=""), delimiter=separator):
        if len(row) > 1 or "".join(row).strip():
            yield row


def _refuse_short_rows(path: Path, rows: Iterable[list[str]], expected: int) -> None:
    lengths = enumerate(map(len, rows))
    short = [(number, length) for number, length in lengths if length < expected]
    if short:
        raise DatasetError(
            f"{path}: row {short[0][0]} (below the header) has {short[0][1]} fields, "
            f"expected {expected}; {len(short)} rows are too short."
        )


def _parse_jsonl(path: Path, text: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}, line {number}: not JSON ({error}).") from None
        if not isinstance(row, dict):
            raise DatasetError(
                f"{path}, line {number}: expected an object, got {type(row).__name__}."
            )
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)  # a missing number would make all of them floats
