"""The labels of a row in one cell, as files write them; training and the scoring of files share it."""

import ast
import json
import re
from typing import Any

from predict.contract.canonical import canonical, text_of

# A longer text is not read as a list, and NaN is no literal of Python.
_LONGEST_LIST, _NAN = 100_000, re.compile(r"\bnan\b(?=\s*[,\]])")


def labels_in(cell: Any, separator: str) -> list[str]:
    """Return the labels of a cell, in order: a text with separators, or a list as JSON, Python and Parquet know them.

    >>> labels_in("b, a", ","), labels_in('["a", null]', ","), labels_in(None, ",")
    (['a', 'b'], ['a'], [])
    """
    if isinstance(cell, str):
        parts = listed_in(cell)
        parts = list(cell.split(separator)) if parts is None else parts
    elif isinstance(cell, list | tuple):
        parts = list(cell)
    else:
        parts = [] if cell is None or cell != cell else list(text_of(cell).split(separator))
    texts = ["" if part is None or part != part else text_of(part) for part in parts]
    return sorted({label for text in texts if (label := canonical(text, None))})


def listed_in(cell: str) -> list[Any] | None:
    """Return the elements of a list that is written as JSON or as Python writes it; None if the text is none.

    >>> listed_in("['a', None]"), listed_in('["a", null]'), listed_in("[a]")
    (['a', None], ['a', None], None)
    """
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")) or len(text) > _LONGEST_LIST:
        return None
    for read in (json.loads, ast.literal_eval):  # neither runs anything
        try:
            parts = read(_NAN.sub("None", text) if read is ast.literal_eval else text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if all(part is None or isinstance(part, (str, int, float)) for part in parts):
            return list(parts)
    return None
