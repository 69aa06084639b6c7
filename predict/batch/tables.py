"""The rows of a file on their way: in chunks, which are scored and written one after another."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from predict.contract.canonical import text_of


class Chunk(NamedTuple):
    """Some rows of a file, in order.

    Attributes:
        lines: Where each row begins: the line, or the row of a Parquet file, from 1.
        rows: The values of each: a list with one a column, of JSON Lines an object. None where it cannot be read.
        raws: The text of each row without its line end; of Parquet none.
        problems: Why a row cannot be read, by its place in the chunk.
        batch: Of Parquet, the rows as pyarrow has them.
    """

    lines: Sequence[int]
    rows: Sequence[Any]
    raws: Sequence[str] | None = None
    problems: Mapping[int, str] = MappingProxyType({})
    batch: Any = None


class Table(Protocol):
    """A file that is being read."""

    # The names of the columns; of JSON Lines, those in the first chunk.
    columns: list[str]
    # Whether rows are objects, each with names of its own, rather than lists in the order of the columns.
    of_objects: bool

    def chunks(self) -> Iterator[Chunk]:
        """Yield all rows, once; all chunks but the last have the same number of rows."""
        ...


def as_cell(value: Any) -> str:
    """Return a value of a typed file as a cell of separated values.

    >>> as_cell(None), as_cell(True), as_cell(3.0), as_cell(["a"])
    ('', 'true', '3.0', '["a"]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=text_of)
    return repr(value) if isinstance(value, float) else text_of(value)
