"""The paths of keys, such as `training.epochs`: a name with a dot in it goes into quotes."""

import re
from collections.abc import Iterable

# Names that a path may have.
DEEPEST = 20
# A name in quotes, up to what ends it.
_IN_QUOTES = re.compile(r'"((?:[^"\\]|\\.)*)"(?=[.=]|\Z)|\'([^\']*)\'(?=[.=]|\Z)', re.DOTALL)


def split_path(path: str) -> list[str]:
    r"""Return the names of a path.

    >>> split_path("training.epochs"), split_path('columns.inputs."a.b".type')
    (['training', 'epochs'], ['columns', 'inputs', 'a.b', 'type'])
    >>> split_path(r'where."say \"hi\""')
    ['where', 'say "hi"']
    """
    if path.count(".") > DEEPEST:  # no key is meant
        return [path]
    names: list[str] = []
    rest = f".{path}"
    while rest:
        name, rest = _first_name(rest[1:], ends=".")
        names.append(name)
    return names


def join_path(names: Iterable[str | int]) -> str:
    """Return the path of names, as it can be typed.

    >>> join_path(["columns", "inputs", "a.b", "categories", 0])
    'columns.inputs."a.b".categories.0'
    """
    return ".".join(_quoted(str(name)) for name in names)


def split_override(override: str) -> tuple[list[str], str] | None:
    """Return the names and the value of `path=value`; None if there is no equals sign.

    >>> split_override('where."a=b.c"=1')
    (['where', 'a=b.c'], '1')
    """
    names: list[str] = []
    rest = f".{override}"
    while rest.startswith(".") and len(names) <= DEEPEST:
        name, rest = _first_name(rest[1:], ends=".=")
        names.append(name)
    return (names, rest[1:]) if rest.startswith("=") else None


def _first_name(text: str, ends: str) -> tuple[str, str]:
    """Return the name that a text begins with, and what is left, beginning with what ended the name."""
    if match := _IN_QUOTES.match(text):
        double, single = match.groups()
        name = single if double is None else re.sub(r"\\(.)", r"\1", double, flags=re.DOTALL)
        if text[match.end() : match.end() + 1] in (*ends, ""):
            return name, text[match.end() :]
    end = next((index for index, character in enumerate(text) if character in ends), len(text))
    return text[:end], text[end:]


def _quoted(name: str) -> str:
    if not re.search(r'[.="\']', name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
