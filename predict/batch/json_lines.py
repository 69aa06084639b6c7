"""JSON Lines, row by row: an object a line."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from predict.batch.errors import BatchError
from predict.batch.lines import Lines, undecoded
from predict.batch.tables import Chunk
from predict.scoring.values import kind_of


class JsonTable:
    """A file with an object a line."""

    of_objects = True

    def __init__(self, lines: Lines, shown: str, chunk_rows: int) -> None:
        """Read the first chunk, whose keys are the columns; raise BatchError if the file is empty or an array."""
        self._lines, self._chunk_rows = lines, chunk_rows
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise BatchError(f"{shown}: the file is empty.")
        if first.lstrip().startswith("["):
            raise BatchError(
                f"{shown}: an array, not JSON Lines. Write one object a line, without commas between them."
            )
        lines.put_back(first)
        lines.of_row.clear()
        self._first = self._next_chunk()
        keys = (key for row in self._first.rows if row is not None for key in row)
        self.columns = list(dict.fromkeys(keys))

    def chunks(self) -> Iterator[Chunk]:
        """See `Table`."""
        chunk = self._first
        while chunk.lines:
            yield chunk
            chunk = self._next_chunk()

    def _next_chunk(self) -> Chunk:
        numbers: list[int] = []
        rows: list[Any] = []
        raws: list[str] = []
        problems: dict[int, str] = {}
        for line in islice(filter(str.strip, self._lines), self._chunk_rows):
            # Blank lines before it are of no row.
            number, raw = self._lines.number, line.strip()
            self._lines.of_row.clear()
            row, problem = _read(raw)
            if problem:
                problems[len(rows)] = problem
            numbers.append(number)
            rows.append(row)
            raws.append(raw)
        return Chunk(numbers, rows, raws, problems)


def _read(line: str) -> tuple[dict[str, Any] | None, str]:
    """Return an object, or what is wrong with the line."""
    if not line.isascii() and (byte := undecoded(line)):
        return None, byte
    try:
        row = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        return None, f"not JSON ({error})"
    if not isinstance(row, dict):
        return None, f"expected an object, got {kind_of(row)}"
    if "\\ud" in line or "\\uD" in line:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return None, "a text holds half a character (a lone surrogate)"
    return row, ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, none of whose keys is given twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return content
