"""The notation of numbers and dates in a file: as declared, or as it is evident from the values."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pandas as pd

from predict.contract.canonical import iso_date
from predict.contract.notation import BLANKS, NO_NUMBER, plain_number, without_unit
from train.config.sections import Notation, NumberNotation

_UNITS = "%$€£¥"
# A notation is evident only if nearly all values have it; the others are then named.
_NEARLY_ALL = 0.9
# How thousands and decimals may be marked, and what only such a number looks like.
_NUMBERS = {
    (".", ","): re.compile(r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}"),
    (",", "."): re.compile(r"\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}"),
    (",", None): re.compile(r"\d+,(\d{1,2}|\d{4,})|(0|\d{4,}),\d+"),
    (".", " "): re.compile(rf"\d{{1,3}}([{BLANKS}]\d{{3}})+(\.\d+)?"),
    (",", " "): re.compile(rf"\d{{1,3}}([{BLANKS}]\d{{3}})+,\d+"),
    (".", "'"): re.compile(r"\d{1,3}(['’]\d{3})+(\.\d+)?"),
    (".", None): None,
}
_AMBIGUOUS_NUMBER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_LIKE_A_DATE = re.compile(
    rf"\d{{1,4}}([-/. ])\d{{1,2}}\1\d{{1,4}}([ T].*)?"
    rf"|(\d{{1,2}}[- ]{_MONTH}|{_MONTH} \d{{1,2}}),?[- ]\d{{2,4}}( .*)?",
    re.IGNORECASE,
)
_DATES = [
    order + time
    for order in (
        *(
            order.replace("-", sign)
            for sign in "-/."
            for order in ("%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d")
        ),
        *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d %Y", "%b %d, %Y"),
        *("%d-%B-%Y", "%d %B %Y", "%B %d %Y", "%B %d, %Y"),
    )
    for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
]
_HALF_OF_A_DAY = re.compile(r" [AP]M\b", re.IGNORECASE)
# A whole number that is a day, such as 20240131, and how many of them are no coincidence.
_COMPACT_DATE, _COMPACT_FORMAT = re.compile(r"(?:19|20)\d{6}", re.ASCII), "%Y%m%d"
_FEWEST_COMPACT_DATES = 10


@dataclass(frozen=True)
class Sniffed:
    """A notation that is evident from values, as keys of the configuration; or why it is not."""

    keys: Mapping[str, str]
    doubt: str = ""


def show_keys(keys: Mapping[str, str]) -> str:
    """Return keys of a notation as a configuration has them.

    >>> show_keys({"decimal": ",", "unit": "€"})
    'decimal: ",", unit: "€"'
    """
    return ", ".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()
    )


def plain_numbers(texts: "pd.Series[str]", notation: NumberNotation) -> "pd.Series[str]":
    """Return numbers as Python writes them; what is not written in the notation becomes a dash.

    >>> plain_numbers(pd.Series(["$1,163.74", "-5", "1.163,74"]), Notation(thousands=",", unit="$")).tolist()
    ['1163.74', '-5', '—']
    """
    if not notation.of_numbers:
        return texts
    known = {text: plain_number(text, notation.marks) for text in texts.unique().tolist()}
    return texts.map(known)


def sniff_numbers(known: "pd.Series[str]") -> Sniffed | None:
    """Return the notation of numbers that values, none of them missing, have; None if they have none."""
    different = known.unique().tolist()
    values = [text for text in different if any(map(str.isdigit, text))]
    if not values or len(values) < _NEARLY_ALL * len(different):
        return None
    unit = next((sign for sign in _UNITS if all(sign in text for text in values)), None)
    bare = [without_unit(text, unit) for text in values]
    evident = list(_evident_numbers(bare, unit))
    if len(evident) == 1:
        return Sniffed(evident[0] | ({"unit": unit} if unit else {}))
    doubtful = [text for text in bare if _AMBIGUOUS_NUMBER.fullmatch(text)]
    if doubtful and all(text in doubtful or text.isdecimal() for text in bare):
        return Sniffed(
            {}, f'{doubtful[0]!r} has thousands or decimals: set thousands: "," or decimal: ","'
        )
    return None


def sniff_dates(known: "pd.Series[str]") -> Sniffed | None:
    """Return the format that dates, none of them missing, have; None if they are no dates."""
    values = known.drop_duplicates()
    if not len(values) or values.str.fullmatch(_LIKE_A_DATE).mean() < _NEARLY_ALL:
        return None
    has_halves = bool(_HALF_OF_A_DAY.search(values.iloc[0]))
    shares = {
        date_format: float(
            pd.to_datetime(values, format=date_format, errors="coerce").notna().mean()
        )
        for date_format in _DATES
        if date_format.endswith("%p") == has_halves  # each that is tried takes time
    }
    best = max(shares.values())
    if best < _NEARLY_ALL:
        return None
    formats = [date_format for date_format, share in shares.items() if share == best]
    if len(formats) == 1 or _mean_the_same(values, formats):
        return Sniffed({"date_format": formats[0]})
    options = " or ".join(f'"{date_format}"' for date_format in formats)
    return Sniffed(
        {}, f"{values.iloc[0]!r} is a date in more than one way: set date_format: {options}"
    )


def _mean_the_same(texts: "pd.Series[str]", formats: list[str]) -> bool:
    """Return whether all formats read the same dates, as those of `May 1 2024` do."""
    first, *others = (
        pd.to_datetime(texts, format=date_format, errors="coerce") for date_format in formats
    )
    return all(first.equals(other) for other in others)


def sniff_compact_dates(known: "pd.Series[str]") -> Sniffed | None:
    """Return the format of whole numbers, none of them missing, that are all days; None if they are just numbers."""
    if not known.iloc[:_FEWEST_COMPACT_DATES].str.fullmatch(_COMPACT_DATE).all():
        return None  # nearly always, and long before all values are looked at
    values = known.drop_duplicates()
    if len(values) < _FEWEST_COMPACT_DATES or not values.str.fullmatch(_COMPACT_DATE).all():
        return None
    days = pd.to_datetime(values, format=_COMPACT_FORMAT, errors="coerce")
    return Sniffed({"date_format": _COMPACT_FORMAT}) if days.notna().all() else None


def read_dates(texts: "pd.Series[str]", notation: Notation) -> "pd.Series[Any]":
    """Return dates in the declared format as ISO 8601, and everything else as it is."""
    if notation.date_format is None:
        return texts.astype(object)
    known = {text: iso_date(text, notation.date_format) for text in texts.unique().tolist()}
    return texts.map(known).astype(object)


def offsets_of(dates: "pd.Series[Any]") -> set[str]:
    """Return the UTC offsets of ISO 8601 dates, such as {"+02:00"}; those that have none do not count.

    >>> sorted(offsets_of(pd.Series(["2024-01-31T10:00Z", "2024-01-31T10:00+02:00", "2024-01-31"])))
    ['+02:00', 'UTC']
    """
    with_time = [date for date in dates.unique().tolist() if "T" in date or " " in date]
    offsets = {datetime.fromisoformat(date).utcoffset() for date in with_time} - {None}
    return {
        str(timezone(offset)).removeprefix("UTC") or "UTC"
        for offset in offsets
        if offset is not None
    }


def _evident_numbers(bare: list[str], unit: str | None) -> Iterator[dict[str, str]]:
    for (decimal, thousands), evidence in _NUMBERS.items():
        keys = {} if decimal == "." else {"decimal": decimal}
        keys |= {} if thousands is None else {"thousands": thousands}
        notation = NumberNotation.model_validate(keys or {"decimal": "."})
        matching = sum(plain_number(text, notation.marks) != NO_NUMBER for text in bare)
        if matching < _NEARLY_ALL * len(bare):
            continue
        if evidence is None:
            if unit:
                yield {}
        elif any(evidence.fullmatch(text.lstrip("+-")) for text in bare):
            yield keys
