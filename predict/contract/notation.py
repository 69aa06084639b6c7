"""How numbers and missing values are written in files; training and the scoring of files share it."""

import math
import re
from collections.abc import Container
from functools import cache
from typing import Literal, NamedTuple

Decimal = Literal[".", ","]
Thousands = Literal[",", ".", "'", " "]

# What stands for the blank between groups of three digits.
BLANKS = " \u00a0\u202f"
MINUS = "\N{MINUS SIGN}"  # what word processors and web pages write for a hyphen before a number
# What `plain_number` makes of something else.
NO_NUMBER = "—"
# What files have in place of a missing number or date. In a column of texts these may be words.
MISSING_TOKENS = frozenset(("", "?", "-", "na", "n/a", "nan", "null", "none", "#n/a"))


class Marks(NamedTuple):
    """What stands before decimals, between thousands (a blank is any blank), and before or after a number."""

    decimal: str | None = None
    thousands: str | None = None
    unit: str | None = None

    @property
    def are_pythons(self) -> bool:
        """Whether numbers are written as Python writes them."""
        return not any(self)


def is_missing(text: str, also: Container[str] = ()) -> bool:
    """Return whether a text, without blanks around it, means a missing number or date; `also` are declared to.

    >>> is_missing("N/A"), is_missing("-1", ["-1"]), is_missing("0")
    (True, True, False)
    """
    return text in also or text.lower() in MISSING_TOKENS


def plain_number(text: str, marks: Marks) -> str:
    """Return a number as Python writes it; a dash for a text that is not a number in this notation.

    >>> plain_number("€ 1.163,74", Marks(",", ".", "€")), plain_number("1.163.74", Marks(",", "."))
    ('1163.74', '—')
    """
    bare = without_unit(text, marks.unit)
    pattern, signs = _pattern_of(marks.decimal or ".", marks.thousands or "")
    match = pattern.fullmatch(bare)
    if match is None or not any(map(str.isdigit, bare)):
        return NO_NUMBER
    digits = "".join(sign for sign in match[1] if sign not in signs or not signs)
    return f"{digits}{'.' + match[2] if match[2] else ''}{match[3] or ''}"


def as_number(text: str) -> float:
    """Read a number as Python and JSON do; NaN for anything else.

    >>> as_number(" 1e3 "), as_number("1_2")
    (1000.0, nan)
    """
    try:
        # Python reads 1_2 as 12, and does not know the minus sign of Unicode.
        return math.nan if "_" in text else float(text.replace(MINUS, "-"))
    except ValueError:
        return math.nan


def read_number(text: str, marks: Marks, missing: Container[str] = ()) -> float | None:
    """Read a cell of a column of numbers: None if it is missing, NaN if it is something else.

    >>> read_number(" 1.163,74 ", Marks(",", ".")), read_number("?", Marks()), read_number("x", Marks())
    (1163.74, None, nan)
    """
    bare = text.strip()
    if is_missing(bare, missing):
        return None
    return as_number(bare if marks.are_pythons else plain_number(bare, marks))


def without_unit(text: str, unit: str | None) -> str:
    """Return a number without its unit, before or after it, and without blanks around it."""
    bare = text.strip().replace(MINUS, "-")
    if not unit:
        return bare
    sign = bare[:1] if bare[:1] in ("+", "-") and bare[1:].startswith(unit) else ""
    return sign + bare.removeprefix(sign).removeprefix(unit).removesuffix(unit).strip()


@cache
def _pattern_of(decimal: str, thousands: str) -> tuple[re.Pattern[str], str]:
    """Return what a number looks like, and the characters that may stand between its thousands."""
    signs = BLANKS if thousands == " " else "'’" if thousands == "'" else thousands
    whole = rf"\d{{1,3}}(?:[{re.escape(signs)}]\d{{3}})+|\d+" if signs else r"\d+"
    number = rf"([+-]?(?:{whole})?)(?:{re.escape(decimal)}(\d*))?([eE][+-]?\d+)?"
    return re.compile(number, re.ASCII), signs
