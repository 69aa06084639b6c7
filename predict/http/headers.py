"""The headers of every answer, whoever gives it: the application, or the connection before there is a request."""

import re

from predict.settings import Settings
from predict.web.headers import SAFE, id_of_request

# https://www.w3.org/TR/trace-context/, version 00
_TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


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
        name = id_of_request(given_id)
        headers = [*SAFE, ("X-Request-ID", name)]
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
