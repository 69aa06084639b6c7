"""What every request meets first: its id, the keys, compressed bodies, and the headers of every answer."""

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

from predict.http.environment import ANSWERED, OWN_HEADERS, REQUEST_ID, ROUTE
from predict.http.failure import leave_failure
from predict.http.headers import AnswerHeaders
from predict.http.keys import Keys
from predict.monitoring.metrics import OTHER, Metrics
from predict.settings import Settings
from predict.wording import shorten

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
        self._headers = AnswerHeaders(settings)
        self._max_body_bytes = settings.max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand a request on, or leave in it why it is to be refused; count it when it is answered."""
        started = perf_counter()
        origin = environ.get("HTTP_ORIGIN")
        environ[REQUEST_ID], headers = self._headers.of(
            environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT"), origin
        )
        if origin and _is_preflight(environ) and self._headers.knows(origin):
            start_response("204 No Content", [*headers, *_allowed(environ)])
            return []

        def start_with_headers(status: str, more: list[tuple[str, str]], *rest: Any) -> Any:
            seconds = perf_counter() - started
            route = environ.get(ROUTE, OTHER)
            asked = environ["REQUEST_METHOD"], int(status[:3]), seconds, *environ.get(ANSWERED, ())
            self._record(route, *asked)
            own: dict[str, str] | None = environ.get(OWN_HEADERS)
            if own is None:
                return start_response(status, more + headers, *rest)
            ours = [header for header in headers if header[0] not in own]
            return start_response(status, [*more, *ours, *own.items()], *rest)

        refusal = self._keys.refusal(environ)
        if refusal is None and "HTTP_CONTENT_ENCODING" in environ:
            refusal = self._decompress(environ)
        if refusal is not None:
            leave_failure(environ, refusal)
        return self._application(environ, start_with_headers)

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


def _allowed(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    return [
        ("Access-Control-Allow-Methods", "GET, POST"),
        ("Access-Control-Allow-Headers", asked or "Content-Type"),
        ("Access-Control-Max-Age", "600"),
        ("Content-Length", "0"),
    ]


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
