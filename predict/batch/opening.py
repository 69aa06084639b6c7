"""The opening of a file that is to be scored: its format, its encoding, and what it is not."""

import codecs
import gzip
import os
import stat
import zlib
from dataclasses import dataclass
from io import BufferedReader, FileIO, RawIOBase, TextIOWrapper
from typing import Any, Self, cast

from predict.batch.errors import BatchError, as_batch_error
from predict.batch.formats import PIPE, Format
from predict.batch.json_lines import JsonTable
from predict.batch.lines import Lines
from predict.batch.parquet import ParquetTable
from predict.batch.separated import Expected, Quotes, SeparatedTable
from predict.batch.tables import Table
from predict.contract.artefact import FileFormat
from predict.contract.reading import BYTE_ORDER_MARKS

_HEAD_BYTES = 4096
_BUFFER_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
# How files of other kinds begin.
_OTHERS = {
    b"PAR1": "a Parquet file. Rename it to .parquet",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook. Unpack it, or save the sheet as CSV",
    b"%PDF": "a PDF file. Expected one with a row a line",
    b"BZh": "a file packed with bzip2. Unpack it",
    b"\xfd7zXZ": "a file packed with xz. Unpack it",
    b"\x28\xb5\x2f\xfd": "a file packed with zstandard. Unpack it",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml")


@dataclass(frozen=True)
class Wanted:
    """What a person says of a file; what is None is found out."""

    separator: str | None = None
    quotes: Quotes | None = None
    encoding: str | None = None


@dataclass
class Source:
    """A file that is being read.

    Attributes:
        shown: What messages call it.
        format: Its format.
        table: Its rows.
        raw: The file, as it is on the disk.
        has_mark: Whether it begins with the byte order mark of UTF-8.
    """

    shown: str
    format: Format
    table: Table
    raw: FileIO
    has_mark: bool = False

    def __enter__(self) -> Self:
        """Do nothing: it is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.raw.close()

    @property
    def size(self) -> int | None:
        """Its bytes, as far as that is known."""
        found = os.fstat(self.raw.fileno())
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    @property
    def position(self) -> int:
        """How many of its bytes have been read."""
        return self.raw.tell()


def open_source(
    path: str, kind: Format, wanted: Wanted, trained: FileFormat | None, chunk_rows: int
) -> Source:
    """Open a file, and read as far as the names of its columns.

    Args:
        path: A path, or a dash for standard input.
        kind: Its format.
        wanted: What a person says of it.
        trained: How the training file was written, if that is known.
        chunk_rows: How many rows are handled at once.

    Raises:
        BatchError: It cannot be read, is empty, or is not what its name says.
    """
    shown = "standard input" if path == PIPE else path
    with as_batch_error(shown, "read"):
        raw = FileIO(0, closefd=False) if path == PIPE else FileIO(path)
    try:
        return opened(raw, shown, kind, wanted, trained, chunk_rows)
    except BaseException:
        raw.close()
        raise


def opened(
    raw: Any,
    shown: str,
    kind: Format,
    wanted: Wanted,
    trained: FileFormat | None,
    chunk_rows: int,
) -> Source:
    """Do as `open_source` does, with a file of bytes that is open already."""
    with as_batch_error(shown, "read"):
        if kind.kind == "parquet":
            if not raw.seekable():
                raise BatchError(f"{shown}: Parquet is not read from a pipe. Name a file.")
            return Source(shown, kind, ParquetTable(raw, shown, chunk_rows), raw)
        file: BufferedReader[Any] = BufferedReader(raw, _BUFFER_BYTES)
        head = file.peek(_HEAD_BYTES)
        if kind.is_packed:
            if head and not head.startswith(_GZIP):
                raise BatchError(f"{shown}: not a gzip file. Leave out .gz if it is not packed.")
            file = BufferedReader(cast(RawIOBase, gzip.GzipFile(fileobj=file)), _BUFFER_BYTES)
            head = _unpacked_head(file, shown)
    _refuse_other_kinds(shown, head, kind)
    encoding, has_mark = _encoding_of(head, wanted, trained, kind)
    _refuse_binary(shown, head, encoding)
    text = TextIOWrapper(file, encoding, errors="surrogateescape", newline="")
    lines = Lines(text, shown)
    if kind.kind == "json":
        return Source(shown, kind, JsonTable(lines, shown, chunk_rows), raw, has_mark)
    expected = Expected(wanted.separator, wanted.quotes, trained, kind.separator)
    return Source(shown, kind, SeparatedTable(lines, shown, expected, chunk_rows), raw, has_mark)


def _unpacked_head(file: "BufferedReader[Any]", shown: str) -> bytes:
    try:
        return file.peek(_HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BatchError(f"{shown}: not a complete gzip file ({error}).") from None


def _refuse_other_kinds(shown: str, head: bytes, kind: Format) -> None:
    if head.startswith(_GZIP):
        advice = "Unpack it" if kind.is_packed else "Add .gz to its name"
        raise BatchError(f"{shown}: a gzip file, not {kind.suffix}. {advice}.")
    for start, what in _OTHERS.items():
        if head.startswith(start):
            raise BatchError(f"{shown}: {what}.")
    if head.lstrip().lower().startswith(_PAGES):
        raise BatchError(
            f"{shown}: this is a web page, not {kind.suffix}. Was a login page downloaded instead?"
        )


def _refuse_binary(shown: str, head: bytes, encoding: str) -> None:
    """Refuse a file with NUL bytes unless its encoding has them in every other character."""
    if b"\0" not in head or b"\0" in "a".encode(encoding):
        return
    is_wide = len(head) > 3 and (head[1] == head[3] == 0 or head[0] == head[2] == 0)
    likely = "le" if head[1:2] == b"\0" else "be"
    hint = f" If it is UTF-16, set --encoding utf-16-{likely}." if is_wide else ""
    line = head.count(b"\n", 0, head.index(b"\0")) + 1
    raise BatchError(f"{shown}, line {line}: a NUL byte; this is not a text file.{hint}")


def _encoding_of(
    head: bytes, wanted: Wanted, trained: FileFormat | None, kind: Format
) -> tuple[str, bool]:
    """Return an encoding, and whether a byte order mark of UTF-8 is there.

    A mark goes before UTF-8, and one of UTF-8 before everything. Training files tell how separated values are encoded,
    but JSON is UTF-8.
    """
    trained_encoding = trained.encoding if trained and kind.kind == "separated" else "utf-8"
    encoding = wanted.encoding or trained_encoding
    mark = next((mark for mark in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    try:
        is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        "a".encode(encoding)
    except (LookupError, UnicodeError):
        raise BatchError(f"--encoding: Python does not know {encoding!r}.") from None
    if mark == codecs.BOM_UTF8 or (mark is not None and is_utf8):
        return BYTE_ORDER_MARKS[mark], mark == codecs.BOM_UTF8
    return encoding, False
