"""Rows with their answers as the bytes of a file."""

import csv
import gzip
import json
from collections.abc import Sequence
from io import StringIO
from typing import Any, Protocol

from predict.batch.answers import AnswerColumns, as_json
from predict.batch.errors import BatchError
from predict.batch.tables import Chunk, as_cell
from predict.contract.canonical import text_of

_PACKING_LEVEL = 6
_BYTE_ORDER_MARK = "\ufeff"


class Encoder(Protocol):
    """What makes bytes of rows with answers; the bytes of all chunks after another are the file."""

    def header(self) -> bytes:
        """Return what comes before the first row."""
        ...

    def encode(self, chunk: Chunk, good: Sequence[int], answers: Sequence[Sequence[Any]]) -> bytes:
        """Return rows of a chunk, by their places in it, each with its answer."""
        ...


class SeparatedEncoder:
    """Separated values. A row that was read as they are written is copied as it stands."""

    def __init__(
        self,
        answers: AnswerColumns,
        columns: Sequence[str],
        separator: str,
        *,
        decimal: str = ".",
        header: str | None = None,
        is_literal: bool = False,
        has_mark: bool = False,
    ) -> None:
        """Take how values are written.

        Args:
            answers: The columns of the answers.
            columns: Those of the rows.
            separator: Between fields.
            decimal: Before decimals.
            header: The header as it stands in a file whose rows are copied; None if rows are written anew.
            is_literal: Whether quotation marks are characters like any other.
            has_mark: Whether a byte order mark comes first.
        """
        self._answers, self._columns, self._separator = answers, list(columns), separator
        self._decimal, self._header, self._is_literal = decimal, header, is_literal
        self._mark = _BYTE_ORDER_MARK if has_mark else ""

    def header(self) -> bytes:
        """See `Encoder`."""
        names = self._answers.names
        if self._header is None:
            text = self._written([[*self._columns, *names]])
        else:
            text = f"{self._header}{self._separator}{self._written([names])}"
        return (self._mark + text).encode()

    def encode(self, chunk: Chunk, good: Sequence[int], answers: Sequence[Sequence[Any]]) -> bytes:
        """See `Encoder`."""
        cells = [self._answers.cells(values, self._decimal) for values in answers]
        if self._header is None:
            rows = [self._cells_of(chunk.rows[place]) for place in good]
            joined = [[*row, *answer] for row, answer in zip(rows, cells, strict=True)]
            return self._written(joined).encode()
        assert chunk.raws is not None  # of a text file
        raws, separator = chunk.raws, self._separator
        tails = self._tails(cells)
        pairs = zip(good, tails, strict=True)
        return "".join([f"{raws[place]}{separator}{tail}" for place, tail in pairs]).encode()

    def _cells_of(self, row: Any) -> list[str]:
        if isinstance(row, dict):
            row = map(row.get, self._columns)
        return [as_cell(value) for value in row]

    def _tails(self, cells: Sequence[Sequence[str]]) -> list[str]:
        """Return the written answers, one by one, for a cell may have a line end in it."""
        if self._is_literal:
            return [self._written([answer]) for answer in cells]
        sink = StringIO()
        write, tails = self._writer(sink).writerow, []
        for answer in cells:
            write(answer)
            tails.append(sink.getvalue())
            sink.seek(0)
            sink.truncate()
        return tails

    def _written(self, rows: Sequence[Sequence[str]]) -> str:
        if self._is_literal:
            return "".join([self._literal(row) for row in rows])
        sink = StringIO()
        self._writer(sink).writerows(rows)
        return sink.getvalue()

    def _writer(self, sink: StringIO) -> Any:
        return csv.writer(sink, delimiter=self._separator, lineterminator="\n")

    def _literal(self, row: Sequence[str]) -> str:
        for cell in row:
            if self._separator in cell or "\n" in cell or "\r" in cell:
                raise BatchError(
                    f"the answer {cell!r} cannot be written without quotation marks around it. "
                    "Write .jsonl instead, or set --quotes enclose."
                )
        return self._separator.join(row) + "\n"


class JsonEncoder:
    """JSON Lines. An object that was read is copied as it stands, with the answer as more keys."""

    def __init__(self, answers: AnswerColumns, columns: Sequence[str], copies: bool) -> None:
        """Take the columns of answers and of rows; `copies` says whether the rows are JSON Lines too."""
        self._answers, self._columns, self._copies = answers, list(columns), copies

    def header(self) -> bytes:
        """See `Encoder`."""
        return b""

    def encode(self, chunk: Chunk, good: Sequence[int], answers: Sequence[Sequence[Any]]) -> bytes:
        """See `Encoder`."""
        names, lines = self._answers.names, []
        for place, values in zip(good, answers, strict=True):
            answer = as_json(dict(zip(names, values, strict=True)))
            if self._copies:
                assert chunk.raws is not None  # of a text file
                row = chunk.raws[place]
            else:
                row = _dumped(dict(zip(self._columns, chunk.rows[place], strict=True)))
            head = row[:-1].rstrip()
            lines.append(f"{head}{'' if head == '{' else ', '}{answer[1:]}\n")
        return "".join(lines).encode()


class PackedEncoder:
    """What another encoder writes, gzipped: a member for each chunk, which unpack to one file."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner

    def header(self) -> bytes:
        """See `Encoder`."""
        return _packed(self._inner.header())

    def encode(self, chunk: Chunk, good: Sequence[int], answers: Sequence[Sequence[Any]]) -> bytes:
        """See `Encoder`."""
        return _packed(self._inner.encode(chunk, good, answers))


def _packed(content: bytes) -> bytes:
    # The time would make each run's bytes others.
    return gzip.compress(content, _PACKING_LEVEL, mtime=0) if content else b""


def _dumped(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, default=text_of)
