"""Markdown out of values: tables and cells."""

import re
from collections.abc import Iterable, Sequence

_PAGE = re.compile(r"docs/((?:how-to|explanation|reference|adr)/[\w-]+\.md)")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell stays a bar."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def code(text: object) -> str:
    """Return a value as code, or nothing for an empty one; backticks in it become quotation marks."""
    shown = str(text).replace("`", "'")
    return f"`{shown}`" if shown else ""


def prose(words: str) -> str:
    """Return words of a comment or a docstring: angle brackets are shown, and names of our pages are links.

    >>> prose("see docs/how-to/data.md")
    'see [how-to/data.md](../how-to/data.md)'
    """
    return _PAGE.sub(r"[\1](../\1)", words.replace("<", r"\<").replace("*", r"\*"))
