"""A connection: reading, answering and closing."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from waitress.channel import ClientDisconnected, HTTPChannel

from predict.http.connections import limits
from predict.http.connections.parsing import Request
from predict.http.connections.tasks import AnswerTask, ProblemTask, Refusal, too_busy
from predict.http.load import Load


class Loop(Protocol):
    """What a connection asks of the event loop."""

    stopping: bool
    load: Load

    def on_main_thread(self) -> bool:
        """Return whether the caller is the thread that owns the sockets."""

    def call(self, function: Callable[..., None], channel: "Channel", *arguments: Any) -> None:
        """Have the main loop do something with a connection soon; any thread may ask for it."""

    def refuse(self, channel: "Channel") -> None:
        """Answer a connection's next request with 503."""

    def settle(self, channel: "Channel") -> None:
        """Wait for what a connection waits for now, or close it."""

    def forget(self, fd: int, watched: bool) -> None:
        """Watch a connection no more, because it closes."""

    def is_late(self, channel: "Channel") -> bool:
        """Return whether a request has waited for too long for a worker thread."""

    def note_answer(self, channel: "Channel", waited_s: float, took_s: float) -> None:
        """Count the answer of a worker thread."""

    def pending_answer_bytes(self) -> int:
        """Return the bytes of answers that clients have not read yet."""

    def hold(self, channel: "Channel", size: int) -> bool:
        """Count bytes of requests that arrive, or are done with; return whether there is room for more."""


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection.

    It knows how long it has waited and for what, and lets a client that is still sending read why it was refused.
    """

    # What of it is waitress's.
    request: Any
    requests: list[Any]
    # What the poller watches it for; 0 for nothing.
    watched = 0
    # Since when it waits for its client to send: a first request, another one, or the rest of one.
    quiet_since = 0.0
    # Since when its client has had something to read, and since when what it sends is thrown away; 0 if not.
    sending_since = discarding_since = 0.0
    # Of the next request: when it joined its line, how long it waited, and since when a worker thread answers it.
    queued_at = waited_s = started_at = 0.0
    held_bytes = 0
    has_asked = for_probes = refused = False
    _discarded = 0

    def __init__(
        self, server: Any, connection: socket.socket, address: Any, adjustments: Any, fds: Any
    ) -> None:
        self.quiet_since = time.monotonic()
        super().__init__(server, connection, address, adjustments, fds)

    @property
    def loop(self) -> Loop:
        """The event loop that it belongs to."""
        return self.server.loop  # type: ignore[no-any-return]

    def task_class(self, channel: "Channel", request: Request) -> AnswerTask:
        """Make the task that answers a request."""
        return AnswerTask(channel, request)

    def error_task_class(self, channel: "Channel", request: Request) -> ProblemTask:
        """Make the task that answers what is no request."""
        return ProblemTask(channel, request)

    def parser_class(self, adjustments: Any) -> Request:
        """Make a request that is to be received."""
        return Request(adjustments, self.server.known_headers)

    def closes_next(self) -> bool:
        """Return whether the connection closes after its next answer."""
        # A busy client would keep a stopping server from ever stopping.
        return self.loop.stopping or self.for_probes

    def busy(self) -> bool:
        """Return whether a request is expected, being received, worked on or answered."""
        arriving = (
            self.request is not None and time.time() - self.last_activity < limits.STALLED_AFTER_S
        )
        fresh = not self.has_asked and time.monotonic() - self.quiet_since < limits.FIRST_REQUEST_S
        return bool(self.requests or arriving or self.total_outbufs_len or fresh)

    def most_arriving_s(self) -> float:
        """Return how long the request that arrives may take."""
        return limits.BODY_TIMEOUT_S if self.request.headers_finished else limits.HEADERS_TIMEOUT_S

    # Reading.

    def readable(self) -> bool:
        """Return whether input is to be read; that of a refused client always is."""
        return bool(self.discarding_since or super().readable())

    def handle_read(self) -> None:
        """Read a request, or throw away what a refused client goes on sending."""
        try:
            # recv closes the channel when the client has.
            data = self.recv(65_536 if self.discarding_since else self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        if self.discarding_since:
            self._discarded += len(data)
            if self._discarded > limits.MOST_DISCARDED_BYTES:
                self.handle_close()
        elif data:
            self.last_activity = time.time()
            self.received(data)

    def received(self, data: bytes) -> bool:
        """Take bytes from the client."""
        if self.request is None:
            self.quiet_since = time.monotonic()
        room = self.loop.hold(self, len(data))
        result: bool = super().received(data)
        arriving = self.request or (self.requests[-1] if self.requests else None)
        if arriving is not None and arriving.is_upload:  # an administrator's, who may
            self.loop.hold(self, -len(data))
        large = self.held_bytes > limits.SMALL_REQUEST_BYTES and self.request is not None
        if large and not room:
            self.loop.load.count_refusal()
            self.refuse_arriving(
                503, "The server holds as many requests as it can. Ask again later."
            )
        return result

    def refuse_arriving(self, status: int, detail: str) -> None:
        """Answer a request that has not arrived yet."""
        with self.requests_lock:
            if self.request is None or self.requests:  # answers are in order
                self.will_close = True
            else:
                request, self.request = self.request, None
                request.error, request.completed = Refusal(status, detail), True
                self.requests.append(request)
                self.server.add_task(self)
        self.loop.settle(self)

    # Answering.

    def service(self) -> None:
        """Answer the next request; from a worker thread, unless it has waited for too long."""
        loop = self.loop
        if loop.on_main_thread():
            super().service()
            self._note_end()
        else:
            started = time.perf_counter()
            self.waited_s = started - self.queued_at
            if loop.is_late(self) or loop.pending_answer_bytes() > limits.MOST_ANSWER_BYTES:
                loop.call(loop.refuse, self)
                return
            self.started_at = time.monotonic()
            super().service()
            self.started_at = 0.0
            self._note_end()
            loop.call(loop.note_answer, self, self.waited_s, time.perf_counter() - started)

    def refuse(self) -> None:
        """Answer the next request with 503, which costs little."""
        if not self.requests:  # closed meanwhile
            return
        request = self.requests[0]
        closes = self.closes_next() or request.connection_close or request.error is not None
        with contextlib.suppress(ClientDisconnected):
            with_body = request.command != "HEAD"
            self.write_soon(too_busy(request.headers, self.server.headers, closes, with_body))
        request.close()
        with self.requests_lock:
            if closes:
                self.close_when_flushed, self.requests = True, []
            elif self.requests:
                self.requests.pop(0)
                if self.requests:
                    self.server.add_task(self)
        self._note_end()

    def give_up(self) -> None:
        """Close a connection whose request a worker thread is still at work on."""
        if not self.total_outbufs_len:
            with contextlib.suppress(OSError):
                asked = self.requests[0].headers if self.requests else {}
                self.send(too_busy(asked, self.server.headers, closes=True), do_close=False)
        self.handle_close()

    def _note_end(self) -> None:
        self.has_asked, self.quiet_since = True, time.monotonic()

    def write_soon(self, data: bytes) -> int:
        """Send what the socket takes at once, and keep the rest."""
        if not self.connected:
            raise ClientDisconnected
        size = len(data)
        with self.outbuf_lock:
            if not self.total_outbufs_len and isinstance(data, bytes):
                try:
                    sent = self.send(data, do_close=False)
                except OSError:
                    sent = 0
                self.last_activity = time.time()
                if sent == size:
                    return size
                data = data[sent:]
            super().write_soon(data)
        if not self.loop.on_main_thread():
            self.loop.call(self.loop.settle, self)
        return size

    def _flush_outbufs_below_high_watermark(self) -> None:
        # It waits for the main loop to send, and the main loop must not wait for itself.
        if not self.loop.on_main_thread():
            self.loop.call(self.loop.settle, self)
            super()._flush_outbufs_below_high_watermark()

    # Closing.

    def handle_close(self) -> None:
        """Close the connection; after a refusal, only its sending half at first."""
        # Closing with input unread resets the connection, and the client may never see the answer.
        if self.refused and self.connected and not self.discarding_since:
            self.discarding_since, self.will_close = time.monotonic(), False
            with contextlib.suppress(OSError):  # gone already
                self.socket.shutdown(socket.SHUT_WR)
            return
        if self._fileno is not None:
            super().handle_close()

    def del_channel(self, map: Any = None) -> None:
        """Leave the event loop."""
        fd, watched = self._fileno, self.watched
        super().del_channel(map)
        self.watched = 0
        self.loop.hold(self, -self.held_bytes)
        self.loop.forget(fd, bool(watched))
