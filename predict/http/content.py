"""What an answer consists of, whoever sends it: Flask or the shortcut before it."""

from typing import NamedTuple

JSON = "application/json"


class Content(NamedTuple):
    """The body of a good answer, its type, and headers beside that."""

    body: bytes
    type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
