"""What the reader of datasets and that of files to be scored both go by."""

import codecs
from typing import Any

# The longest first: UTF-32 begins as UTF-16 does.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, none of whose keys is given twice, for `json.loads`; raise ValueError if one is."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return content
