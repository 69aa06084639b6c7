"""Values of fields: what each type of column takes, and the message for what it does not take."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

from predict.contract.artefact import Input
from predict.contract.canonical import iso_date, zone_of
from predict.contract.columns import parse_date
from predict.wording import closest, listed, shorten

PROBLEMS_SHOWN = 10
# Every whole number with fewer bits has a double.
_MOST_BITS = 1_023

# What a message expects of a field of each type.
_EXPECTED = {
    "text": "a text",
    "number": "a number",
    "category": "a string, a whole number or a boolean",
    "date": "a date such as 2026-01-31 or 2026-01-31T13:05",
}


def kind_of(value: object) -> str:
    """Return what JSON calls a value, with its article."""
    kinds = {
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


def missing(column: Input) -> str:
    """Return the message for a field that is missing."""
    return f"missing; expected {_EXPECTED[column.type]}{' or null' if column.nullable else ''}"


def unknown_fields(instance: Mapping[str, object], fields: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, message) pairs for the first few names that are not fields."""
    problems: list[tuple[str, str]] = []
    for name in instance:
        if len(problems) >= PROBLEMS_SHOWN:
            break
        if name not in fields:
            shown = shorten(str(name))
            close = closest(shown, fields)
            hint = f"known: {listed(fields)}" if close is None else f"did you mean {close}?"
            problems.append((shown, f"unknown field; {hint}"))
    return problems


def _number_problem(value: object, column: Input) -> str | None:
    if isinstance(value, float):
        return None if isfinite(value) else "expected a finite number"
    if type(value) is int:  # a boolean is an int too
        return None if value.bit_length() <= _MOST_BITS else "expected a number below 1e308"
    return _null_or_other(value, column)


def _category_problem(value: object, column: Input) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if value.bit_length() <= _MOST_BITS else "expected a whole number below 1e308"
    if isinstance(value, float):  # 1.0 is 1; another is a category only where the file had it
        if value.is_integer() or str(value) in (column.categories or ()):
            return None
        return f"expected {_EXPECTED['category']}, got a number with a point"
    if not isinstance(value, str):
        return _null_or_other(value, column)
    if not value or value.isspace() or value.strip() in (column.missing or ()):
        return None if "" in (column.categories or ()) else _empty(column)
    return None if _is_unicode(value) else "expected Unicode, got a lone surrogate"


def _text_problem(value: object, column: Input) -> str | None:
    if not isinstance(value, str):
        return _null_or_other(value, column)
    return _empty(column) if not value or value.isspace() else None


def _date_problem(value: object, column: Input) -> str | None:
    if not isinstance(value, str):
        return _null_or_other(value, column)
    text = as_iso_date(value, column)
    if not text:
        return _empty(column)
    try:
        parse_date(text, zone_of(column.timezone))
    except ValueError:
        also = f", or as {column.date_format} writes it" if column.date_format else ""
        return f"expected {_EXPECTED['date']}{also}, got {shorten(text)!r}"
    return None


def as_iso_date(value: str | None, column: Input) -> str:
    """Return a date as ISO 8601 as far as it is one; the empty string for a missing one."""
    text = (value or "").strip()
    return "" if text in (column.missing or ()) else iso_date(text, column.date_format)


def _null_or_other(value: object, column: Input) -> str | None:
    if value is None and column.nullable:
        return None
    why = ": it was never missing in training" if value is None else ""
    return f"expected {_EXPECTED[column.type]}, got {kind_of(value)}{why}"


def _empty(column: Input) -> str | None:
    return None if column.nullable else "empty: it was never missing in training"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Type -> function that returns what is wrong with a value for a column; None if nothing is.
PROBLEM_OF: dict[str, Callable[[object, Input], str | None]] = {
    "number": _number_problem,
    "category": _category_problem,
    "text": _text_problem,
    "date": _date_problem,
}
