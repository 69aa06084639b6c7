"""A request that arrives: parsed by waitress, refused where proxies might read it differently, and remembered."""

import re
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIEnvironment

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver

from predict.http.connections import limits
from predict.http.inline import may_be_explained

# Headers in which a proxy says who asks. They are believed only where there is one.
_OF_PROXIES = (
    *(
        "X_FORWARDED_FOR",
        "X_FORWARDED_HOST",
        "X_FORWARDED_PROTO",
        "X_FORWARDED_PORT",
        "X_FORWARDED_BY",
    ),
    "FORWARDED",
)


# The path and the headers of a request -> whether its body may be as large as an artefact.
MayUpload = Callable[[str, Mapping[str, str]], bool]


class Known:
    """What a header block means: the attributes of its parser, and the environment of its requests."""

    __slots__ = ("attributes", "environ")

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        self.environ: WSGIEnvironment | None = None


class _WholeBody(BytesIO):
    """A body that arrived at once, in the shape of waitress's receivers."""

    def getfile(self) -> BytesIO:
        """Return what the application reads."""
        return self

    getbuf = getfile


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request that is being received."""

    known: Known | None = None
    # What is not known of a request that could not be parsed.
    command = path = ""
    adj: Any
    # Whether its body may be as large as an artefact.
    is_upload = False
    body_rcv: Any

    def __init__(self, adjustments: Any, known_headers: dict[bytes, Known]) -> None:
        super().__init__(adjustments)
        self._known_headers = known_headers

    def received(self, data: bytes) -> int:
        """Take bytes; a header block that was seen before is not parsed again. Return how many were used."""
        if self.body_rcv is not None or self.header_plus:
            return super().received(data)  # type: ignore[no-any-return]
        end = data.find(b"\r\n\r\n") + 4
        block = data[:end]
        known = self._known_headers.get(block)
        if known is None:
            used: int = super().received(data)
            if 4 < end <= limits.KNOWN_HEADER_BYTES:
                self._remember(block)
            return used
        self.__dict__.update(known.attributes)
        self.known = known
        if not (length := self.content_length):
            return end
        body = data[end : end + length]
        if len(body) < length:
            self.body_rcv = FixedStreamReceiver(length, OverflowableBuffer(self.adj.inbuf_overflow))
            return end
        self.body_rcv = _WholeBody(body)
        self.body_bytes_received, self.completed = length, True
        return end + int(length)

    def may_be_explained(self) -> bool:
        """Return whether an explanation may be asked for."""
        return may_be_explained(self.path, self.query, self._body)

    def _body(self) -> bytes:
        if not self.body_bytes_received:
            return b""
        stream = self.get_body_stream()
        body: bytes = stream.read()
        stream.seek(0)
        return body

    def _remember(self, block: bytes) -> None:
        if (
            self.error
            or self.is_upload
            or self.empty
            or self.chunked
            or self.expect_continue
            or not self.headers_finished
        ):
            return
        if len(self._known_headers) >= limits.KNOWN_HEADERS:
            self._known_headers.clear()
        own = ("adj", "body_rcv", "header_plus", "_known_headers")
        attributes = {name: value for name, value in vars(self).items() if name not in own}
        self.known = self._known_headers[block] = Known(attributes)

    def parse_header(self, header_plus: bytes) -> None:
        """Refuse also what waitress lets pass: requests that a proxy might read in another way (RFC 9112)."""
        try:
            super().parse_header(header_plus)
        except ValueError:  # such as http://[::1, which urllib cannot read
            raise ParsingError("Bad request target") from None
        if why := _ambiguity(self.version, header_plus):
            raise ParsingError(why)
        if not self.path.startswith("/") and (self.command, self.path) != ("OPTIONS", "*"):
            raise ParsingError("Request target: expected a path that begins with /")
        # As the application sees it, so that nobody judges another spelling.
        self.path = "/" + self.path.lstrip("/") if self.path.startswith("/") else self.path
        if not self.adj.believes_proxies:
            for name in _OF_PROXIES:
                self.headers.pop(name, None)
        may_upload = self.adj.may_upload
        if may_upload is not None and may_upload(self.path, self.headers) and not self.chunked:
            # Known by its headers, before anything of the body is kept.
            self.is_upload, self.adj = True, self.adj.of_uploads
            if self.content_length:
                buffer = OverflowableBuffer(self.adj.inbuf_overflow)
                self.body_rcv = FixedStreamReceiver(self.content_length, buffer)


_HOST = re.compile(rb"^host:", re.IGNORECASE | re.MULTILINE)
_TRANSFER_ENCODING = re.compile(
    rb"^transfer-encoding:[ \t]*(.*?)[ \t]*\r$", re.IGNORECASE | re.MULTILINE
)
_CONTENT_LENGTH = re.compile(rb"^content-length:", re.IGNORECASE | re.MULTILINE)


def _ambiguity(version: str, header: bytes) -> str | None:
    """Return why others might see another request in a header block, or None."""
    if version not in ("1.0", "1.1"):
        return "HTTP version: expected 1.0 or 1.1"
    hosts, encodings = len(_HOST.findall(header)), _TRANSFER_ENCODING.findall(header)
    if hosts > 1 or (version == "1.1" and not hosts):
        return f"Host: expected once, got {hosts} times"
    if encodings and version == "1.0":
        return "Transfer-Encoding: not known to HTTP/1.0"
    if encodings and _CONTENT_LENGTH.search(header):
        return "Content-Length and Transfer-Encoding: expected one of them, got both"
    if encodings and (len(encodings) > 1 or encodings[0].lower() != b"chunked"):
        return "Transfer-Encoding: expected chunked once"
    if b"\r\n " in header or b"\r\n\t" in header:
        return "A header continues on another line"
    return None
