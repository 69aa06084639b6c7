"""Conditions on a value, as people write them in the gate and after `--where`: a sign and a limit."""

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(rf"\s*({'|'.join(_SIGNS)})\s*(.*?)\s*")
_NUMBER = re.compile(r"(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-zA-Z]*)")
_NO_UNITS = {"": 1}


@dataclass(frozen=True)
class Condition:
    """What a value must be: `>=0.9`, `<50MB`, `=titan*`."""

    sign: str
    # As it was written.
    limit: str
    # The limit as a number, times its unit; None if it is a text.
    number: float | None

    @classmethod
    def parse(cls, text: str, units: Mapping[str, int] = _NO_UNITS) -> "Condition | None":
        """Read a condition.

        Args:
            text: A sign and a limit, with or without blanks between them.
            units: What may follow a number, and how much it is; the empty unit for a number alone.

        Returns:
            The condition; None if the text does not begin with a sign.

        >>> Condition.parse(">= 0.90")
        Condition(sign='>=', limit='0.90', number=0.9)
        >>> Condition.parse("<50kB", {"kB": 1000})
        Condition(sign='<', limit='50kB', number=50000.0)
        """
        match = _CONDITION.fullmatch(text)
        return match and cls(match[1], match[2], _read_number(match[2], units))

    def meets(self, value: float | str) -> bool:
        """Return whether a value meets the condition; the limit of a text may have `*`, `?` and `[…]`.

        >>> Condition.parse("!=titan*").meets("titanic")
        False
        >>> Condition.parse(">=2026-01-03").meets("2026-01-03T12:00:00")
        True
        """
        compare = _SIGNS[self.sign]
        if not isinstance(value, str):
            return compare(value, self.number)
        if self.sign in ("=", "!="):
            return compare(fnmatch.fnmatchcase(value, self.limit), True)
        return compare(value, self.limit)


def _read_number(limit: str, units: Mapping[str, int]) -> float | None:
    match = _NUMBER.fullmatch(limit)
    return float(match[1]) * units[match[2]] if match and match[2] in units else None
