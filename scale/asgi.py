"""An ASGI application around our WSGI application, for servers that speak ASGI alone, as Ray Serve does.

It answers small requests for a quick model in the event loop itself, as the plain server does: a hand-over to a thread
costs more than the answer. All others go to a bounded number of threads, and are refused when they would wait too long.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable

from predict.http.connections import limits
from predict.http.environment import WAITED_S
from predict.http.failure import leave_failure
from predict.http.inline import METRICS, may_be_explained, may_wait
from predict.http.load import Line, Load
from predict.http.probes import Probes
from predict.settings import Settings

Scope = Mapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_RETRY_AFTER_S = 1
_TOO_BUSY = "This replica has more requests than it can answer; ask again in a moment."
# What belongs to one connection, which is not ours.
_OF_CONNECTIONS = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})


@dataclass(frozen=True)
class Served:
    """What answers.

    Attributes:
        application: The WSGI application.
        settings: Its limits and threads.
        is_quick: Tells whether the models are so quick that the event loop answers small requests itself.
        load: Where refusals are counted.
    """

    application: WSGIApplication
    settings: Settings
    is_quick: Callable[[], bool]
    load: Load = field(default_factory=Load)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Adapter:
    """The ASGI application. What it serves may be replaced at any time; a request is answered by one of them."""

    def __init__(self) -> None:
        """Make one that serves nothing yet, and must not be asked before it does."""
        self._current: _Current | None = None

    def serve(self, served: Served) -> None:
        """Let something answer from now on, whatever answered before; to be called in the event loop."""
        before, self._current = self._current, _Current(served, _Threads(served))
        if before is not None:
            before.threads.end()

    @property
    def _now(self) -> "_Current":
        assert self._current is not None
        return self._current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see the ASGI specification."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            answer = await self._answer(scope, receive)
            if answer is None:
                return
            start = {"status": answer.status, "headers": answer.headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer | None:
        """Return the answer to a request; None if the client is gone."""
        body, refusal = b"", None
        try:
            body = await _read_body(receive, self._now.served.settings.max_body_bytes, scope)
        except RequestEntityTooLarge as error:
            refusal = error
        except _GoneError:
            return None
        now, environ = self._now, _environment(scope, body)
        application = now.served.application
        if refusal is not None:
            leave_failure(environ, refusal)
        elif not (now.served.is_quick() and _is_small(environ, body)):
            answer = await now.threads.answer(application, environ)
            if answer is not None:
                return answer
            leave_failure(environ, ServiceUnavailable(_TOO_BUSY, retry_after=_RETRY_AFTER_S))
            # Nothing is to be read of the body of a request that is refused.
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(), "0"
            environ.pop("HTTP_CONTENT_ENCODING", None)
        return _answer_of(application, environ)


class _Threads:
    """The threads that answer what would keep the event loop from answering others."""

    def __init__(self, served: Served) -> None:
        settings = served.settings
        self._executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="answer")
        self._line = Line(settings.max_wait_s, settings.threads, patience=limits.PATIENCE)
        # The event loop alone writes it.
        self._load = served.load
        self._probes = Probes(settings)

    async def answer(
        self, application: WSGIApplication, environ: WSGIEnvironment
    ) -> _Answer | None:
        """Return the answer to a request, or None if it would wait for too long or has done so."""
        load = self._load
        path = environ["PATH_INFO"]
        refusable = path != METRICS and path not in self._probes
        if refusable and self._line.is_full(load.waiting):
            load.count_refusal()
            return None
        loop, queued = asyncio.get_running_loop(), time.perf_counter()

        def leave() -> None:
            load.waiting -= 1
            load.count_refusal()

        def begin() -> None:
            load.waiting -= 1
            load.in_flight += 1

        def work() -> _Answer | None:
            started = time.perf_counter()
            environ[WAITED_S] = waited_s = started - queued
            # The estimate was wrong.
            late = refusable and self._line.is_late(waited_s, load.waiting)
            loop.call_soon_threadsafe(leave if late else begin)
            if late:
                return None
            try:
                return _answer_of(application, environ)
            finally:
                loop.call_soon_threadsafe(end, waited_s, time.perf_counter() - started)

        def end(waited_s: float, took_s: float) -> None:
            load.in_flight -= 1
            load.answered += 1
            load.waited_s += waited_s
            self._line.measure(took_s)

        load.waiting += 1
        return await loop.run_in_executor(self._executor, work)

    def end(self) -> None:
        """Take no more requests; those that wait are answered."""
        self._executor.shutdown(wait=False)


@dataclass(frozen=True)
class _Current:
    served: Served
    threads: _Threads


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the start and the end of the server."""
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return


class _GoneError(Exception):
    """The client has closed its connection."""


async def _read_body(receive: Receive, most: int, scope: Scope) -> bytes:
    """Return the body.

    Raises:
        RequestEntityTooLarge: It is larger than `most` bytes, or says that it will be.
        _GoneError: The client has not sent all of it.
    """
    too_large = RequestEntityTooLarge(f"body: expected at most {most} bytes.")
    if any(name == b"content-length" and int(value) > most for name, value in scope["headers"]):
        raise too_large
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > most:
            raise too_large
    return b"".join(parts)


def _environment(scope: Scope, body: bytes) -> WSGIEnvironment:
    """Return the WSGI environment of a request."""
    prefix = scope.get("root_path", "")
    path = unquote_to_bytes(scope.get("raw_path") or quote(scope["path"])).decode("latin-1")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": prefix,
        "PATH_INFO": path.removeprefix(prefix) if prefix else path,
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        WAITED_S: 0.0,
    }
    server, client = scope.get("server"), scope.get("client")
    environ["SERVER_NAME"], environ["SERVER_PORT"] = (
        ("localhost", "80") if server is None else (server[0], str(server[1] or ""))
    )
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
    for name, value in scope["headers"]:
        if b"_" in name or name in _OF_CONNECTIONS:  # an underscore would pass for a dash
            continue
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]}, {text}" if key in environ else text
    if body and "CONTENT_LENGTH" not in environ:  # it came in chunks
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _is_small(environ: WSGIEnvironment, body: bytes) -> bool:
    """Return whether the event loop may answer a request for a quick model: it is small, and waits for nobody."""
    path = environ["PATH_INFO"]
    # A compressed body is as large as it likes.
    small = len(body) <= limits.INLINE_REQUEST_BYTES and "HTTP_CONTENT_ENCODING" not in environ
    if not small or may_wait(path):
        return False
    return not may_be_explained(path, environ["QUERY_STRING"], lambda: body)


def _answer_of(application: WSGIApplication, environ: WSGIEnvironment) -> _Answer:
    """Let the application answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return written.append

    written: list[bytes] = []
    parts = application(environ, start_response)
    try:
        written += parts
    finally:
        if (close := getattr(parts, "close", None)) is not None:
            close()
    [(status, names)] = started
    # Ray gives an answer the id of its request itself. A second one is needed only where that is not the one we use.
    known = environ.get("HTTP_X_REQUEST_ID")
    headers = [
        (name.encode("latin-1").lower(), value.encode("latin-1"))
        for name, value in names
        if not (value == known and name == "X-Request-ID")
    ]
    return _Answer(int(status[:3]), headers, b"".join(written))
