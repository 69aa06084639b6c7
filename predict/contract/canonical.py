"""The one form of a value, however a file, a configuration or a request writes it; training and serving share it."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from typing import Literal
from unicodedata import is_normalized, normalize
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# What all categories of a column are, or all labels: true and false, or whole numbers.
Form = Literal["boolean", "whole"]

_BOOLEANS = ("true", "false")
# Not 02134, which is a code, nor +49: a sign says that it is more than a number.
_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(?:\.0+)?", re.ASCII)

_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}", re.ASCII)


def text_of(value: object) -> str:
    """Return a single value as a text, without deciding what it means.

    >>> text_of(True), text_of(3.0), text_of(None), text_of(" x ")
    ('true', '3', '', ' x ')
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"  # as JSON has it
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def form_of(texts: Iterable[str]) -> Form | None:
    """Return what all texts but the empty one are; None if they are neither or there is none.

    >>> form_of(["True", "false", ""]), form_of(["1", "2.0"]), form_of(["1", "02"])
    ('boolean', 'whole', None)
    """
    known = [text for text in texts if text]
    if not known:
        return None
    if all(text.lower() in _BOOLEANS for text in known):
        return "boolean"
    return "whole" if all(map(_WHOLE.fullmatch, known)) else None


def canonical(text: str, form: Form | None) -> str:
    """Return a category or a label as it is kept: composed Unicode, and in the form of its column.

    >>> canonical("TRUE", "boolean"), canonical("1.0", "whole"), canonical("1.0", None)
    ('true', '1', '1.0')
    """
    text = text.strip()
    if form == "boolean":
        return text.lower() if text.lower() in _BOOLEANS else text
    if form == "whole":
        whole = _WHOLE.fullmatch(text)
        return whole[1] if whole else text
    return text if text.isascii() else normalize("NFC", text)


def iso_date(text: str, date_format: str | None) -> str:
    """Return a date in the column's format as ISO 8601; anything else, ISO 8601 included, as it is.

    >>> iso_date("13/01/2022", "%d/%m/%Y"), iso_date("2022-01-13", "%d/%m/%Y")
    ('2022-01-13', '2022-01-13')
    """
    if date_format is None:
        return text
    try:
        date = datetime.strptime(text, date_format)
    except ValueError:
        return text
    has_time = any(part in date_format for part in ("%H", "%I", "%M", "%S", "%X", "%c"))
    return date.isoformat() if has_time else date.date().isoformat()


@cache
def zone_of(name: str | None) -> tzinfo | None:
    """Return the zone of a name such as UTC, +02:00 or Europe/Berlin; None for None.

    Raises:
        ValueError: There is no such zone.

    >>> zone_of("+02:00")
    datetime.timezone(datetime.timedelta(seconds=7200))
    """
    if name is None or name == "UTC":
        return None if name is None else UTC
    if _OFFSET.fullmatch(name):
        return datetime.strptime(name, "%z").tzinfo
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"no time zone {name!r}; expected UTC, an offset such as +02:00, or a name such as Europe/Berlin"
        ) from None


def category_reader(
    form: Form | None, missing: Iterable[str], categories: Iterable[str]
) -> Callable[[object], str]:
    """Return the function that turns a value of a request into the category that the model knows.

    The categories of an older artefact are perhaps not composed: requests to it then stay as they are.
    """
    if not all(is_normalized("NFC", category) for category in categories):
        return lambda value: text_of(value).strip()
    return partial(_category, form=form, missing=frozenset(missing))


def _category(value: object, form: Form | None, missing: frozenset[str]) -> str:
    text = canonical(text_of(value), form)
    return "" if text in missing else text
