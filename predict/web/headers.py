"""The headers that every answer has."""

import os
import re

_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# A browser that is led here shall neither guess another type nor keep, frame or follow anything.
SAFE = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)


def id_of_request(given: str | None) -> str:
    """Return the id that a request has given itself, or a new one if that is None or no id."""
    # 96 random bits: nobody guesses the id of another one's request.
    return given if given and _ID.fullmatch(given) else os.urandom(12).hex()
