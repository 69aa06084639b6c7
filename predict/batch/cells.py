"""The cells of a file as values of a request, by the rules with which training reads a file.

`train.data.schema` converts whole columns; this converts one row after another, to the same values and refusals.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

from predict.contract.artefact import Input
from predict.contract.canonical import text_of
from predict.contract.notation import is_missing, read_number
from predict.wording import shorten

Read = Callable[[Any], Any]
Row = Sequence[Any] | Mapping[str, Any]
# Values of typed files that a request does not know, but that have a text.
_OTHERS = (Decimal, date, time)


def readers_of(inputs: Sequence[Input]) -> dict[str, Read]:
    """Return for each input the function from a cell to a value of a request.

    What is not of the input's type stays as it is, for the predictor to refuse. A missing number is None; anything
    else that is missing is the empty string.
    """
    return {column.name: _READERS[column.type](column) for column in inputs}


def as_float(value: Any) -> float | None:
    """Return a number of a typed file; None if it is missing.

    >>> as_float(Decimal("1.5")), as_float(float("nan"))
    (1.5, None)
    """
    return None if value != value else float(value) if isinstance(value, Decimal) else value


def told(message: str, value: Any, column: Input | None) -> str:
    """Return a problem with a value, which shows a cell that was expected to be a number."""
    if column is not None and column.type == "number" and isinstance(value, str):
        return f"expected a number, got {shorten(value)!r}"
    return message


def _number_reader(column: Input) -> Read:
    marks, missing = column.marks, frozenset(column.missing or ())

    def read(value: Any) -> Any:
        if isinstance(value, str):
            number = read_number(value, marks, missing)
            return value if number is not None and number != number else number
        if value is None or isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return value
        return None if missing and text_of(value) in missing else as_float(value)

    return read


def _category_reader(column: Input) -> Read:
    missing = frozenset(column.missing or ())

    def read(value: Any) -> Any:
        if isinstance(value, str):
            text = value.strip()
            return "" if text in missing else text
        if value is None or value != value:
            return ""
        if isinstance(value, bool | int | float):
            return "" if missing and text_of(value) in missing else value
        return text_of(value) if isinstance(value, _OTHERS) else value

    return read


def _date_reader(column: Input) -> Read:
    missing = frozenset(column.missing or ())

    def read(value: Any) -> Any:
        if value is None or value != value:
            return ""
        if isinstance(value, int | float | date) and not isinstance(value, bool):
            value = text_of(value)
        if not isinstance(value, str):
            return value
        text = value.strip()
        return "" if is_missing(text, missing) else text

    return read


def _text_reader(column: Input) -> Read:
    def read(value: Any) -> Any:
        if isinstance(value, str):
            return value
        if value is None or value != value:
            return ""
        return text_of(value) if isinstance(value, (bool, int, float, *_OTHERS)) else value

    return read


_READERS: dict[str, Callable[[Input], Read]] = {
    "number": _number_reader,
    "category": _category_reader,
    "date": _date_reader,
    "text": _text_reader,
}
