"""Tables as CSV (RFC 4180): a header unless the type says that there is none, and no value that is guessed."""

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from werkzeug.exceptions import BadRequest, UnprocessableEntity

from predict.contract.artefact import Input
from predict.http.platforms.asking import TEXT, Asked
from predict.scoring.inputs import InstanceError
from predict.scoring.predictor import Predictor
from predict.scoring.values import PROBLEMS_SHOWN
from predict.wording import counted, listed, shorten

CSV = "text/csv"
_ABSENT, _PRESENT = "absent", "present"
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_csv(text: str, header: str | None) -> Asked:
    """Read rows of cells.

    Args:
        text: The table.
        header: The parameter of the type `text/csv`: `absent` where the first line is a row; anything else, also
            nothing, where it has the names of the columns.

    Raises:
        BadRequest: It is not CSV.
        UnprocessableEntity: There is no row, a line is empty, or the parameter is neither `present` nor `absent`.
    """
    if header not in (None, _ABSENT, _PRESENT):
        raise UnprocessableEntity(
            f"Content-Type: expected header=present or header=absent, got {shorten(header)}."
        )
    rows, lines = [], []
    for line, cells in _records(text):
        if not cells:
            raise UnprocessableEntity(f"line {line}: expected a row, got an empty line.")
        rows.append(cells)
        lines.append(line)
    if not rows:
        raise UnprocessableEntity("body: expected at least one row, got none.")
    names = None
    if header != _ABSENT:
        names = rows.pop(0)
        lines.pop(0)

    def place(index: int) -> str:
        return f"line {lines[index]}"

    def typed(predictor: Predictor, rows: Sequence[list[str]]) -> list[dict[str, Any]]:
        columns = _columns_of(names, predictor)
        if not rows:
            raise UnprocessableEntity("line 2: expected a row below the names of the columns.")
        problems = [
            (place(index), f"expected {counted(len(columns), 'cell')}, got {len(cells)}")
            for index, cells in enumerate(rows)
            if len(cells) != len(columns)
        ]
        if problems:
            raise InstanceError(problems[:PROBLEMS_SHOWN])
        return [
            {column.name: _value(cell, column) for column, cell in zip(columns, cells, strict=True)}
            for cells in rows
        ]

    return Asked(rows, place, typed=typed)


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield records, each with the number of its first line."""
    csv.field_size_limit(sys.maxsize)  # a body is bounded already
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadRequest(f"line {line}: not CSV: {error}.") from None


def _columns_of(names: Sequence[str] | None, predictor: Predictor) -> list[Input]:
    """Return the model's columns in the order of the cells."""
    inputs = predictor.metadata.inputs
    if names is None:
        return inputs
    if predictor.text_field is not None and names == [TEXT]:
        return inputs
    columns = {column.name: column for column in inputs}
    if sorted(names) != sorted(columns):
        shown = listed([repr(shorten(name)) for name in names])
        raise UnprocessableEntity(
            f"line 1: expected the names of the columns, {listed(list(columns))}, got {shown}. "
            f"Where no line has names, send Content-Type: {CSV}; header=absent."
        )
    return [columns[name] for name in names]


def _value(cell: str, column: Input) -> Any:
    """Return what a cell means: an empty one is missing, a number has a decimal point and no other marks."""
    if not cell:
        return "" if column.type == "text" else None
    if column.type != "number":
        return cell
    # The check of the model says of what is left a string that a number was expected.
    return float(cell) if _NUMBER.fullmatch(cell.strip()) else (cell if cell.strip() else None)
