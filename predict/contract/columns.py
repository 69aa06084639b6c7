"""The columns that a table model reads, made of raw ones by training and serving alike.

A column is an array with one element a row: <float64>[n] for numbers, missing ones being NaN; <object>[n] of
str for everything else, missing ones being "". Dates are ISO 8601.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Derived, Input
from predict.contract.canonical import zone_of
from predict.contract.words import Version, tokenize

# How many words of a text count, from the start; text models keep as many by default.
MAX_TEXT_PIECES = 256

Column = npt.NDArray[Any]

_DATE_PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda date: date.year,
    "month": lambda date: date.month,
    "day": lambda date: date.day,
    "weekday": datetime.weekday,  # Monday is 0
    "hour": lambda date: date.hour,
    "minute": lambda date: date.minute,
    "day_of_year": lambda date: date.timetuple().tm_yday,
}


def model_columns(
    raw: Mapping[str, Column], inputs: Sequence[Input], derived: Sequence[Derived]
) -> dict[str, Column]:
    """Compute every column that a model may read.

    Args:
        raw: A column for each input, by name. Numbers are not copied; nothing is changed.
        inputs: Describe the raw columns.
        derived: The columns to compute, each after those that it is made of.

    Returns:
        The raw columns by name, with texts normalised and without dates; and the derived ones.

    Raises:
        ValueError: A date is not ISO 8601.
    """
    columns: dict[str, Column] = {}
    dates: dict[str, list[datetime | None]] = {}
    for column in inputs:
        name = column.name
        if column.type == "text":
            words = (normalise_text(text, column.tokenizer) for text in raw[name])
            columns[name] = _strings(words, len(raw[name]))
        elif column.type == "date":
            zone = zone_of(column.timezone)
            dates[name] = [parse_date(text, zone) for text in raw[name]]
        else:
            columns[name] = raw[name]
    for made in derived:
        if made.kind == "date_part":
            columns[made.name] = _date_part(dates[made.of[0]], str(made.part))
        else:
            columns[made.name] = _MAKERS[made.kind](made, [columns[name] for name in made.of])
    return columns


def normalise_text(text: str, tokenizer: Version) -> str:
    """Return the words of a text as a model's text column holds them."""
    return " ".join(tokenize(text, MAX_TEXT_PIECES, tokenizer))


def parse_date(text: str, zone: tzinfo | None = None) -> datetime | None:
    """Read an ISO 8601 date, with or without a time; None for "".

    One with a UTC offset is converted to the zone; one without an offset is taken to be in the zone already.

    Raises:
        ValueError: It is not a date.
    """
    if not text:
        return None
    date = datetime.fromisoformat(text)
    if zone is None or date.tzinfo is None:
        return date
    try:
        return date.astimezone(zone)
    except OverflowError:
        raise ValueError("the year is outside 1 to 9999 in the zone of the column") from None


def bin_names(edges: Sequence[float]) -> list[str]:
    """Return the names of the bins between ascending edges, one more than there are edges."""
    ends = [f"{edge:.15g}" for edge in edges]
    starts = ["(-inf", *(f"[{end}" for end in ends)]
    return [f"{start}, {end})" for start, end in zip(starts, [*ends, "inf"], strict=True)]


def _date_part(dates: Sequence[datetime | None], part: str) -> Column:
    part_of = _DATE_PARTS[part]
    return np.array([np.nan if date is None else part_of(date) for date in dates], np.float64)


def _ratio(made: Derived, columns: Sequence[Column]) -> Column:
    numerator, divisor = columns
    ratio = np.full(len(divisor), np.nan)
    with np.errstate(over="ignore"):
        np.divide(numerator, divisor, out=ratio, where=divisor != 0)
    # A ratio too large for a double: libraries refuse infinity, but many accept NaN.
    ratio[np.isinf(ratio)] = np.nan
    return ratio


def _cross(made: Derived, columns: Sequence[Column]) -> Column:
    return _strings(map("|".join, zip(*columns, strict=True)), len(columns[0]))


def _bins(made: Derived, columns: Sequence[Column]) -> Column:
    [numbers] = columns
    edges = made.edges or []
    names = _strings([*bin_names(edges), ""], len(edges) + 2)
    places = np.searchsorted(edges, numbers, side="right")
    places[np.isnan(numbers)] = len(edges) + 1
    return names[places]


def _strings(values: Any, count: int) -> Column:
    return np.fromiter(values, dtype=object, count=count)


_MAKERS: dict[str, Callable[[Derived, Sequence[Column]], Column]] = {
    "ratio": _ratio,
    "cross": _cross,
    "bins": _bins,
}
