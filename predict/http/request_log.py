"""The request log: one line a request, and the bodies only where somebody asked for them."""

import contextlib
import json
import logging
import time
from collections.abc import Iterable
from typing import Any, TextIO
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import request

from predict.http.environment import ANSWERED, REQUEST_ID
from predict.http.keys import ADMIN_PATH
from predict.settings import LOG_TIME
from predict.wording import iso_time

# The parameters of addresses that are logged where bodies are.
_ASKED = ("text", "texts", "instances", "top_k", "number")

log = logging.getLogger("predict")


class RequestLog:
    """A WSGI application around another one that logs the time, the request, the status and the duration.

    It writes the line itself: the logging module takes 30 µs for one, twenty times as long, which is a fifth of an
    answer.
    """

    def __init__(self, application: WSGIApplication, stream: TextIO, as_json: bool = False) -> None:
        self._application, self._write = application, stream.write
        self._log = self._log_json if as_json else self._log_text
        self._second, self._time = 0, ""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the application does, and log it when the status is known."""
        started = time.perf_counter()

        def start_and_log(status: str, *more: Any) -> Any:
            elapsed_ms = (time.perf_counter() - started) * 1000
            # The client gets its answer even when nobody reads the log any more.
            with contextlib.suppress(OSError, ValueError):
                self._log(environ, status[:3], elapsed_ms)
            return start_response(status, *more)

        return self._application(environ, start_and_log)

    def _log_text(self, environ: WSGIEnvironment, status: str, elapsed_ms: float) -> None:
        if (second := int(time.time())) != self._second:
            # In this order: another thread that reads between the two would get the old time, never none.
            self._time, self._second = time.strftime(LOG_TIME, time.localtime(second)), second
        # The path as Python writes it: a line break in it must not look like another line.
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']!r}"
        self._write(
            f"{self._time} INFO {asked} {status} {elapsed_ms:.1f} ms {environ[REQUEST_ID]}\n"
        )

    def _log_json(self, environ: WSGIEnvironment, status: str, elapsed_ms: float) -> None:
        model, instances, _ = environ.get(ANSWERED, (None, None, None))
        line = {
            "time": iso_time(time.time()),
            "level": "INFO",
            "request_id": environ[REQUEST_ID],
            "traceparent": environ.get("HTTP_TRACEPARENT"),
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "status": int(status),
            "ms": round(elapsed_ms, 3),
            "model": model,
            "instances": instances,
        }
        known = {key: value for key, value in line.items() if value is not None}
        self._write(json.dumps(known) + "\n")


def log_body() -> None:
    """Log the body of Flask's current request, and what its address asks; a key may be in the rest of it."""
    if request.path.startswith(ADMIN_PATH):  # it may be an artefact
        return
    asked = {name: request.args.getlist(name) for name in _ASKED if name in request.args}
    # As Python writes it: a line break in a path or in a text must not look like another line.
    log.info("%s %r %r %r", request.method, request.path, asked, request.get_data(as_text=True))
