"""The headers of every answer, whoever gives it: the application, or the connection before there is a request."""

import os
import re

from predict.settings import Settings

_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# https://www.w3.org/TR/trace-context/, version 00
_TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# A browser that is led here shall neither guess another type nor keep, frame or follow anything.
_SAFE = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
]


class AnswerHeaders:
    """Says which headers an answer has because of its request's."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)

    def of(
        self, given_id: str | None, trace: str | None, origin: str | None
    ) -> tuple[str, list[tuple[str, str]]]:
        """Return the id of a request, and the headers of its answer.

        Args:
            given_id: The request's `X-Request-ID`; it gets a new one if that is None or no id.
            trace: Its `traceparent`, which is passed on if it is one of W3C's.
            origin: Its `Origin`, for a browser's page on another site.
        """
        # 96 random bits: nobody guesses the id of another one's request.
        name = given_id if given_id and _ID.fullmatch(given_id) else os.urandom(12).hex()
        headers = [*_SAFE, ("X-Request-ID", name)]
        if trace is not None and _TRACE.fullmatch(trace):
            headers.append(("traceparent", trace))
        if origin and self._origins:
            headers.append(("Vary", "Origin"))
            if self.knows(origin):
                headers.append(("Access-Control-Allow-Origin", origin))
                headers.append(("Access-Control-Expose-Headers", "X-Request-ID, Retry-After"))
        return name, headers

    def knows(self, origin: str) -> bool:
        """Return whether pages of an origin may ask."""
        return origin in self._origins or "*" in self._origins
