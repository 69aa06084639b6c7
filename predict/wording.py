"""The wording of messages, for both sides: lists, suggestions, counts, shortened texts, readable numbers and times."""

import difflib
import io
import re
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice

_MOST_NAMES = 10
_MOST_CHARACTERS = 60
_LONGEST_NAME = 200
_MOST_COMPARED = 10_000
# What moves the cursor, colours, renames the window or turns the reading direction; and halves of characters, which
# stand for bytes of a file's name that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_IRREGULAR = {"category": "categories", "is": "are", "has": "have", "differs": "differ"}


def listed(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Join names for a sentence; if there are many, only the first few.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    >>> listed([])
    'none'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like another one, ignoring case; None if none is close.

    >>> closest("Acuracy", ["accuracy", "recall"])
    'accuracy'
    """
    if len(name) > _LONGEST_NAME:  # comparing takes long, and nobody mistypes so much
        return None
    by_lower = {key.lower(): key for key in islice(known, _MOST_COMPARED)}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the closest known name, with a blank before it; nothing if none is close.

    >>> did_you_mean("titles", ["title", "body"])
    ' Did you mean title?'
    """
    close = closest(name, known)
    return "" if close is None else f" Did you mean {close}?"


def suggestion(name: str, known: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Return the sentence of `did_you_mean`, or one that lists the known names if none is close.

    >>> suggestion("x", ["title", "body"])
    ' Known: title, body.'
    """
    return did_you_mean(name, known) or f" Known: {listed(known, most)}."


def shorten(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Cut a text that is too long for a message.

    >>> shorten("abcdef", most=3)
    'abc…'
    """
    return text if len(text) <= most else f"{text[:most]}…"


def printable(text: str) -> str:
    r"""Return a text that a terminal or a page shows as it is, whoever wrote it.

    Control characters become the escapes of JSON; line breaks and tabs stay.

    >>> print(printable("\x1b[2Jred"))
    \u001b[2Jred
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "category")
    ('1 row', '1,200 rows', '2 categories')
    """
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, word: str) -> str:
    """Return a noun, or a verb such as `is`, in the form that goes with a number.

    >>> plural(1, "is"), plural(2, "is"), plural(2, "row")
    ('is', 'are', 'rows')
    """
    return word if count == 1 else _IRREGULAR.get(word, f"{word}s")


def readable(value: float) -> str:
    """Return a number, large or small, as people read it.

    >>> readable(12345.678), readable(12.3456), readable(0.00123456)
    ('12,346', '12.35', '0.001235')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def replace_unknown_characters() -> None:
    """Let a terminal that does not know a character show a question mark, rather than end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def iso_time(seconds: float) -> str:
    """Return a time, in seconds since 1970, as ISO 8601 in UTC.

    >>> iso_time(0)
    '1970-01-01T00:00:00.000Z'
    """
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03}Z"
