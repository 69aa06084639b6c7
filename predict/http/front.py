"""What every request meets first: its id, the keys, compressed bodies, and the headers of every answer."""

import os
import re
import zlib
from collections.abc import Iterable
from io import BytesIO
from time import perf_counter
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from predict.http.environment import ANSWERED, REQUEST_ID, ROUTE
from predict.http.failure import leave_failure
from predict.http.keys import Keys
from predict.monitoring.metrics import OTHER, Metrics
from predict.settings import Settings
from predict.wording import shorten

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
_GZIP = 16 + zlib.MAX_WBITS
# Of one gzip file. Each costs as much as all that follow it.
_MOST_PARTS = 16


class Front:
    """A WSGI application around another one."""

    def __init__(
        self, application: WSGIApplication, settings: Settings, keys: Keys, metrics: Metrics
    ) -> None:
        """Put it before an application.

        Args:
            application: What answers; it raises the failures that are left in the environment.
            settings: Origins and limits.
            keys: Those who may ask.
            metrics: Where requests are counted.
        """
        self._application, self._record = application, metrics.record
        self._keys = keys
        self._origins = frozenset(settings.cors_origins)
        self._max_body_bytes = settings.max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand a request on, or leave in it why it is to be refused; count it when it is answered."""
        started = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID")
        # 96 random bits: nobody guesses the id of another one's request.
        name = given if given and _ID.fullmatch(given) else os.urandom(12).hex()
        environ[REQUEST_ID] = name
        headers = [*_SAFE, ("X-Request-ID", name)]
        trace = environ.get("HTTP_TRACEPARENT")
        if trace is not None and _TRACE.fullmatch(trace):
            headers.append(("traceparent", trace))
        if self._origins and (origin := environ.get("HTTP_ORIGIN")):
            headers += self._for_origin(origin, environ)
            if _is_preflight(environ):
                start_response("204 No Content", [*headers, ("Content-Length", "0")])
                return []

        def start_with_headers(status: str, more: list[tuple[str, str]], *rest: Any) -> Any:
            seconds = perf_counter() - started
            route = environ.get(ROUTE, OTHER)
            asked = environ["REQUEST_METHOD"], int(status[:3]), seconds, *environ.get(ANSWERED, ())
            self._record(route, *asked)
            return start_response(status, more + headers, *rest)

        refusal = self._keys.refusal(environ)
        if refusal is None and "HTTP_CONTENT_ENCODING" in environ:
            refusal = self._decompress(environ)
        if refusal is not None:
            leave_failure(environ, refusal)
        return self._application(environ, start_with_headers)

    def _for_origin(self, origin: str, environ: WSGIEnvironment) -> list[tuple[str, str]]:
        headers = [("Vary", "Origin")]
        if origin in self._origins or "*" in self._origins:
            headers.append(("Access-Control-Allow-Origin", origin))
            headers.append(("Access-Control-Expose-Headers", "X-Request-ID, Retry-After"))
            if _is_preflight(environ):
                asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
                headers.append(("Access-Control-Allow-Methods", "GET, POST"))
                headers.append(("Access-Control-Allow-Headers", asked or "Content-Type"))
                headers.append(("Access-Control-Max-Age", "600"))
        return headers

    def _decompress(self, environ: WSGIEnvironment) -> HTTPException | None:
        """Replace a compressed body by what it holds; return why it cannot be, if it cannot."""
        encoding = environ["HTTP_CONTENT_ENCODING"].strip().lower()
        if encoding in ("", "identity"):
            return None
        if encoding != "gzip":
            return UnsupportedMediaType(
                f"Content-Encoding: expected gzip or none, got {shorten(encoding)}."
            )
        most = self._max_body_bytes
        try:
            body = _gunzip(environ["wsgi.input"].read(), most)
        except (zlib.error, EOFError) as error:
            return BadRequest(f"body: not gzip, as Content-Encoding says: {error}.")
        if len(body) > most:
            return RequestEntityTooLarge(f"body: expected at most {most} bytes when decompressed.")
        del environ["HTTP_CONTENT_ENCODING"]
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        return None


def _is_preflight(environ: WSGIEnvironment) -> bool:
    return (
        environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )


def _gunzip(packed: bytes, most: int) -> bytes:
    """Return what a gzip file of one or more parts holds, and no more than a byte above the most allowed.

    Raises:
        zlib.error, EOFError: It is no gzip file, or not a whole one.
    """
    unpacked = b""
    for _ in range(_MOST_PARTS):
        if not packed or len(unpacked) > most:
            return unpacked
        part = zlib.decompressobj(_GZIP)
        unpacked += part.decompress(packed, most + 1 - len(unpacked))
        if not part.eof and len(unpacked) <= most:
            raise EOFError("it ends too early")
        packed = part.unused_data
    raise EOFError(f"it has more than {_MOST_PARTS} parts")
