"""What answers a request: the application, or a problem where there is no request or no time for it."""

import logging
from collections.abc import Mapping
from wsgiref.types import WSGIEnvironment

from flask import Response
from pydantic_core import to_json
from waitress.task import ErrorTask, WSGITask

from predict.http.content import JSON
from predict.http.environment import ON_MAIN_LOOP, WAITED_S
from predict.http.headers import AnswerHeaders
from predict.web.problems import problem
from predict.wording import shorten

log = logging.getLogger("predict")


class Refusal:
    """Why a request that has not arrived is not answered, in the shape of waitress's own errors."""

    def __init__(self, code: int, body: str) -> None:
        self.code, self.body = code, body


class AnswerTask(WSGITask):  # type: ignore[misc]
    """A request for the application."""

    def get_environment(self) -> WSGIEnvironment:
        """Return the WSGI environment, with the seconds that the request waited for its turn."""
        channel, known = self.channel, self.request.known
        if known is None or known.environ is None:
            environ: WSGIEnvironment = super().get_environment()
            if known is not None:
                own = ("wsgi.input", "waitress.client_disconnected")
                known.environ = {name: value for name, value in environ.items() if name not in own}
        else:
            environ = known.environ.copy()
            environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = channel.addr[0]
            environ["REMOTE_PORT"] = str(channel.addr[1])
            environ["wsgi.input"] = self.request.get_body_stream()
            environ["waitress.client_disconnected"] = channel.check_client_disconnected
        environ[WAITED_S] = channel.waited_s
        environ[ON_MAIN_LOOP] = channel.loop.on_main_thread
        return environ

    def build_response_header(self) -> bytes:
        """Tell the client if the connection closes; build a plain header quickly."""
        if self.channel.closes_next():
            self.set_close_on_finish()
        plain = self.version == "1.1" and self.content_length is not None and self.has_body
        if not plain or self.close_on_finish or "CONNECTION" in self.request.headers:
            return super().build_response_header()  # type: ignore[no-any-return]
        names = "".join(f"{name}: {value}\r\n" for name, value in self.response_headers)
        if not any(name.lower() == "content-length" for name, _ in self.response_headers):
            names += f"Content-Length: {self.content_length}\r\n"
        date = self.channel.server.date_now()
        return f"HTTP/1.1 {self.status}\r\n{names}Date: {date}\r\n\r\n".encode("latin-1")

    def write(self, data: bytes) -> None:
        """Send an answer that is whole together with its header: two packets cost two system calls on either side."""
        if self.wrote_header or not data or len(data) != self.content_length or not self.has_body:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header: bool = True
        self.content_bytes_written = len(data)


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """The answer to what never reached the application: malformed HTTP, or a body that is too large."""

    def execute(self) -> None:
        """Answer as the application would."""
        code, detail = self.request.error.code, self.request.error.body.strip()
        if code == 413:  # waitress would say our limit and one
            most = self.request.adj.max_request_body_size - 1
            detail = f"body: expected at most {most} bytes."
        answer = problem(code, detail)
        method, path = self.request.command, self.request.path
        told = self.channel.server.platform_errors.of(method, path, code, detail)
        if told is not None:
            status, content = told
            answer = Response(to_json(content), status, content_type=JSON)
        body = answer.get_data()
        self.status = answer.status
        self.content_length = len(body)
        name, headers = _headers_of(self.request.headers, self.channel.server.headers)
        self.response_headers += [("Content-Type", answer.content_type or ""), *headers]
        if code == 503:
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        self.channel.refused = True
        self.channel.loop.load.rejected += 1
        if self.channel.server.log_requests:
            # As Python writes it: a line break in a path must not look like another line.
            asked = f"{shorten(method)!r} {shorten(path)!r}"
            log.info("%s rejected: %d %r %s", asked, code, shorten(detail), name)
        self.write(body)


def too_busy(
    asked: Mapping[str, str], known: AnswerHeaders, closes: bool, with_body: bool = True
) -> bytes:
    """Return the whole answer to a request for which there is no time.

    Args:
        asked: The headers of the request, by their names in capitals.
        known: Says which headers every answer has.
        closes: Whether the connection closes.
        with_body: Whether the client expects one.
    """
    _, headers = _headers_of(asked, known)
    if closes:
        headers.append(("Connection", "close"))
    names = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    return _TOO_BUSY_HEADER % (len(_TOO_BUSY), names) + (_TOO_BUSY if with_body else b"")


def _headers_of(
    asked: Mapping[str, str], known: AnswerHeaders
) -> tuple[str, list[tuple[str, str]]]:
    return known.of(asked.get("X_REQUEST_ID"), asked.get("TRACEPARENT"), asked.get("ORIGIN"))


_TOO_BUSY_HEADER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Content-Length: %d\r\n%b\r\n"
)
_TOO_BUSY = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,'
    b'"detail":"The server has more requests than it can answer. Ask again later."}'
)
