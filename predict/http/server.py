"""waitress around the application: limits, errors that come before the application, and an orderly stop."""

import contextlib
import gc
import logging
import select
import signal
import socket
import threading
import time
from collections import deque
from types import FrameType
from typing import Any

from flask import Flask
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, WSGITask

from predict.http.app import problem
from predict.settings import Settings

# A request of up to this size, headers and body, is answered by the main loop itself, if the model is quick.
INLINE_REQUEST_BYTES = 2_000
# How much of what a refused client goes on sending is taken and thrown away.
MOST_DISCARDED_BYTES = 100_000_000
QUICK_MODEL_S = 0.001

MOST_HEADER_BYTES = 65_536
# Connections at once, most of them idle, and how long an idle one is kept.
MOST_CONNECTIONS = 1_000
IDLE_TIMEOUT_S = 60
# A stopping server no longer waits for a request of which nothing has come for so long.
_STALLED_AFTER_S = 5.0
# How long a stopping server goes on taking connections that are already waiting.
_LAST_CONNECTIONS_S = 1.0
# How long a stopping server listens on quiet connections at least: their clients may just be about to ask.
_LAST_REQUESTS_S = 0.25

log = logging.getLogger("predict")


class ServerError(Exception):
    """The server cannot start. The message says why and what to do."""


class _ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress has no types for it
    """Answers what never reached the application (malformed HTTP, a body too large) as the application would."""

    def execute(self) -> None:
        error = self.request.error
        answer = problem(error.code, error.body.strip())
        body = answer.get_data()
        self.status = answer.status
        self.content_length = len(body)
        self.response_headers.append(("Content-Type", answer.content_type or ""))
        self.set_close_on_finish()
        self.channel.refused = True
        self.write(body)


class _Task(WSGITask):  # type: ignore[misc]
    def build_response_header(self) -> Any:
        if self.channel.server.stopping:  # or a busy client would keep us from ever stopping
            self.set_close_on_finish()
        return super().build_response_header()


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # of urllib, on an address such as http://[::1
            raise ParsingError("Bad request target") from None


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that lets a client which is still sending read why it was refused."""

    error_task_class = _ProblemTask
    task_class = _Task
    parser_class = _Parser
    refused = False
    _discarding = False
    _discarded = 0

    def busy(self) -> bool:
        """Whether a request is being received, worked on or answered."""
        arriving = self.request is not None and time.time() - self.last_activity < _STALLED_AFTER_S
        return bool(self.requests or arriving or self.total_outbufs_len)

    def _flush_outbufs_below_high_watermark(self) -> None:
        # It waits for the main loop to send, which must not wait for itself.
        if threading.get_ident() != self.server.main_thread:
            super()._flush_outbufs_below_high_watermark()

    def handle_close(self) -> None:
        # To close with input unread resets the connection, and the client may never see the answer.
        if self.refused and self.connected and not self._discarding:
            self._discarding, self.will_close = True, False
            with contextlib.suppress(OSError):  # gone already
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()

    def readable(self) -> bool:
        return self._discarding or super().readable()

    def handle_read(self) -> None:
        if not self._discarding:
            super().handle_read()
            return
        # recv closes the channel when the client has; silent ones are closed by waitress's maintenance.
        self._discarded += len(self.recv(65_536))
        if self._discarded > MOST_DISCARDED_BYTES:
            self.handle_close()


class Server:
    """One listening socket; `run` returns after SIGTERM or SIGINT, when requests in flight are answered."""

    def __init__(self, app: Flask, settings: Settings, quick_model: bool = False) -> None:
        """Listen, without answering yet.

        Args:
            app: The application.
            settings: Address, limits and threads.
            quick_model: Whether one answer takes less than `QUICK_MODEL_S`, so that handing a small request to
                another thread, and the interpreter lock with it, would cost more than the answer.

        Raises:
            ServerError: The address cannot be listened on.
        """
        self._drain_timeout_s = settings.drain_timeout_s
        self._waitress: Any = create_server(
            app,
            sockets=[_listen(settings.host, settings.port)],
            threads=settings.threads,
            # waitress refuses from this size on, we above ours.
            max_request_body_size=settings.max_body_bytes + 1,
            max_request_header_size=MOST_HEADER_BYTES,
            # Texts may be private, and a container may have no place to write: nothing goes to a file.
            inbuf_overflow=settings.max_body_bytes + 2,
            outbuf_overflow=1 << 30,
            connection_limit=MOST_CONNECTIONS,
            channel_timeout=IDLE_TIMEOUT_S,
            asyncore_use_poll=True,
            ident=None,
        )
        self._waitress.channel_class = _Channel
        self._waitress.stopping = False
        self._waitress.main_thread = threading.get_ident()
        self._inline: deque[_Channel] = deque()
        if quick_model:
            self._threads_add_task = self._waitress.add_task
            self._waitress.add_task = self._add_task
            self._threads_pull_trigger = self._waitress.pull_trigger
            self._waitress.pull_trigger = self._pull_trigger
        self.port: int = int(self._waitress.effective_port)

    def run(self) -> None:
        """Serve until a signal asks to stop; then finish what is in flight."""
        # What was loaded stays: the garbage collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._waitress.stopping:
            self._poll(timeout_s=1.0)
        self._drain()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._waitress.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl-C does not wait
        self._waitress.stopping = True
        self._waitress.trigger.pull_trigger()

    def _poll(self, timeout_s: float) -> None:
        wasyncore.loop(
            timeout=0 if self._inline else timeout_s,
            use_poll=True,
            map=self._waitress._map,
            count=1,
        )
        for _ in range(len(self._inline)):
            self._inline.popleft().service()

    def _add_task(self, channel: _Channel) -> None:
        """Keep a small request for the main loop; give any other to the worker threads."""
        # What is still to be sent to this client might make the answer wait for the main loop.
        request = channel.requests[0]
        size = request.header_bytes_received + request.body_bytes_received
        inline = size <= INLINE_REQUEST_BYTES and not channel.total_outbufs_len
        if inline and threading.get_ident() == self._waitress.main_thread:
            self._inline.append(channel)
        else:
            self._threads_add_task(channel)

    def _pull_trigger(self) -> None:
        # The main loop need not wake itself up.
        if threading.get_ident() != self._waitress.main_thread:
            self._threads_pull_trigger()

    def _drain(self) -> None:
        """Take what is queued on the socket, close it, and let every open request finish."""
        # waitress's own way, stopping the loop and then the workers, loses answers that are still to be sent.
        deadline = time.monotonic() + self._drain_timeout_s
        last_connections = time.monotonic() + _LAST_CONNECTIONS_S
        while self._somebody_waits() and time.monotonic() < last_connections:
            self._poll(timeout_s=0)
        self._waitress.del_channel()
        self._waitress.socket.close()
        self._poll(timeout_s=0)
        last_requests = time.monotonic() + _LAST_REQUESTS_S
        while time.monotonic() < min(last_requests, deadline) or (
            self._busy() and time.monotonic() < deadline
        ):
            self._poll(timeout_s=0.05)
        if unfinished := self._busy():
            log.warning(
                "stopping with %d requests unfinished after %.0f s",
                unfinished,
                self._drain_timeout_s,
            )
        self._waitress.task_dispatcher.shutdown(timeout=1)

    def _somebody_waits(self) -> bool:
        if self._waitress.in_connection_overflow:  # nobody is let in
            return False
        poll = select.poll()
        poll.register(self._waitress.socket, select.POLLIN)
        return bool(poll.poll(0))

    def _busy(self) -> int:
        return sum(channel.busy() for channel in self._waitress.active_channels.values())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror or error}. Set HOST and PORT in conf/predict.conf."
        ) from None
