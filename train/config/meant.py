"""The meaning of what was written: a text where a configuration means a text or a category, else the value."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from train.config.paths import split_path
from train.config.problems import ConfigError
from train.config.written import Written

_ANY = None
# Where names of columns, labels and categories are.
_TEXTS = (
    ("columns", "label"),
    ("columns", "text"),
    ("columns", "text", _ANY),
    ("columns", "inputs", _ANY, "categories", _ANY),
    ("features", _ANY, "ratio", _ANY),
    ("features", _ANY, "cross", _ANY),
    ("features", _ANY, "bins"),
    ("features", _ANY, "date"),
    ("decision", "positive"),
    ("evaluation", "slices", _ANY),
    ("behaviour", "must_be", _ANY, "label"),
    ("behaviour", "must_be", _ANY, "text"),
    ("behaviour", "swaps", _ANY, _ANY),
    ("behaviour", "directions", _ANY, "column"),
    ("behaviour", "directions", _ANY, "label"),
    ("behaviour", "directions", _ANY, "to"),
)
# Where cells of a table are, which may be numbers or texts.
_CELLS = (("where", _ANY), ("behaviour", "must_be", _ANY, "instance", _ANY))

Path = tuple[str | int, ...]


def settle(content: object, path: Path = ()) -> Any:
    """Return a parsed configuration without `Written` values.

    Raises:
        ConfigError: A cell is written such that a number and a text are equally likely.

    >>> content = {"where": {"store": Written(10, "010")}, "split": {"seed": Written(10, "010")}}
    >>> settle(content)
    {'where': {'store': '010'}, 'split': {'seed': 10}}
    """
    if isinstance(content, Mapping):
        return {key: settle(value, (*path, key)) for key, value in content.items()}
    if isinstance(content, list):
        return [settle(value, (*path, index)) for index, value in enumerate(content)]
    if not isinstance(content, Written):
        return content
    place = _searched(path)
    if _matches(place, _TEXTS):
        return None if content.value is None else content.text
    return _cell(content, path) if _matches(place, _CELLS) else content.value


def _cell(cell: Written, path: Path) -> str | int | float | bool | None:
    """Return a number that is written as numbers are, and else the text; `1.50` is a number, `010` is none."""
    value, text = cell.value, cell.text
    if isinstance(value, bool):
        return value if path[0] == "where" or text in ("true", "false") else text
    if isinstance(value, int) and str(value) != text:
        return text
    if isinstance(value, float) and path[0] == "where":
        if "e" in text.lower() and "e" not in repr(value):
            raise ConfigError(
                f'where.{path[1]}: {text} may be a number or a text. Write {value:.15g}, or quote it: "{text}".'
            )
        if re.match(r"[-+]?0\d", text):
            return text
    return value


def _searched(path: Path) -> Path:
    """Return what a search tries: `search.decision.positive` lists values of `decision.positive`."""
    if path[:1] != ("search",) or not isinstance(path[-1], int):
        return path
    rest = path[2:-1] if path[1:2] == ("parameters",) else path[1:-1]
    return tuple(part for key in rest for part in split_path(str(key)))


def _matches(path: Path, patterns: Sequence[tuple[str | None, ...]]) -> bool:
    return any(
        len(path) == len(pattern)
        and all(part in (_ANY, key) for part, key in zip(pattern, path, strict=True))
        for pattern in patterns
    )
