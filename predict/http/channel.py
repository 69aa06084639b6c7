"""The inside of waitress: every name of it that this server uses, changes or replaces.

waitress documents `create_server` and its arguments. The rest is private to it, and no other module may touch it.
`RELIED_ON` lists the same names for a test, which asks the installed waitress for each of them.

- waitress: create_server
- waitress.wasyncore: loop
- waitress.channel: HTTPChannel
- waitress.parser: HTTPRequestParser, ParsingError
- waitress.task: ErrorTask, WSGITask
- arguments: sockets, threads, max_request_body_size, max_request_header_size, inbuf_overflow, outbuf_overflow,
  connection_limit, channel_timeout, asyncore_use_poll, ident
- server: channel_class, add_task, pull_trigger, trigger, task_dispatcher, effective_port, socket, active_channels,
  in_connection_overflow, del_channel, _map
- trigger: pull_trigger
- threads: shutdown
- channel: error_task_class, task_class, parser_class, server, socket, connected, will_close, request, requests,
  last_activity, total_outbufs_len, service, readable, recv, write_soon, handle_read, handle_close,
  _flush_outbufs_below_high_watermark
- parser: parse_header, header_bytes_received, body_bytes_received, error
- error: code, body
- task: channel, request, execute, write, build_response_header, set_close_on_finish, status, has_body, content_length,
  content_bytes_written, wrote_header, response_headers
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, WSGITask

from predict.http.problems import problem
from predict.settings import Settings

RELIED_ON = {
    "waitress": ("create_server",),
    "waitress.wasyncore": ("loop",),
    "waitress.channel": ("HTTPChannel",),
    "waitress.parser": ("HTTPRequestParser", "ParsingError"),
    "waitress.task": ("ErrorTask", "WSGITask"),
    "arguments": (
        *("sockets", "threads", "max_request_body_size", "max_request_header_size"),
        *("inbuf_overflow", "outbuf_overflow", "connection_limit", "channel_timeout"),
        *("asyncore_use_poll", "ident"),
    ),
    "server": (
        *("channel_class", "add_task", "pull_trigger", "trigger", "task_dispatcher"),
        *("effective_port", "socket", "active_channels", "in_connection_overflow"),
        *("del_channel", "_map"),
    ),
    "trigger": ("pull_trigger",),
    "threads": ("shutdown",),
    "channel": (
        *("error_task_class", "task_class", "parser_class", "server", "socket", "connected"),
        *("will_close", "request", "requests", "last_activity", "total_outbufs_len", "service"),
        *("readable", "recv", "write_soon", "handle_read", "handle_close"),
        "_flush_outbufs_below_high_watermark",
    ),
    "parser": ("parse_header", "header_bytes_received", "body_bytes_received", "error"),
    "error": ("code", "body"),
    "task": (
        *("channel", "request", "execute", "write", "build_response_header"),
        *("set_close_on_finish", "status", "has_body", "content_length"),
        *("content_bytes_written", "wrote_header", "response_headers"),
    ),
}

# A request of up to this size, headers and body, is answered by the main loop itself, if the model is quick.
INLINE_REQUEST_BYTES = 2_000
# How much of what a refused client goes on sending is read and thrown away.
MOST_DISCARDED_BYTES = 100_000_000

MOST_HEADER_BYTES = 65_536
# Connections at once, most of them idle, and how long an idle one is kept.
MOST_CONNECTIONS = 1_000
IDLE_TIMEOUT_S = 60
# A stopping server no longer waits for a request when nothing of it has arrived for this long.
_STALLED_AFTER_S = 5.0


class EventLoop:
    """The listening socket, its connections and the worker threads, all of them waitress's.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self, app: WSGIApplication, listening: socket.socket, settings: Settings, inline: bool
    ) -> None:
        """Take over a listening socket; connections are answered while `poll` is called.

        Args:
            app: The application.
            listening: Bound already.
            settings: Limits and threads.
            inline: Whether `poll` answers small requests itself instead of handing them to a worker thread.
        """
        # A queue while all threads are busy is normal.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._waitress: Any = create_server(
            app,
            sockets=[listening],
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
        # Two attributes of ours, where the channels find them.
        self._waitress.stopping = False
        self._waitress.main_thread = threading.get_ident()
        self._inline: deque[_Channel] = deque()
        if inline:
            self._threads_add_task = self._waitress.add_task
            self._waitress.add_task = self._add_task
            self._threads_pull_trigger = self._waitress.pull_trigger
            self._waitress.pull_trigger = self._pull_trigger
        self.port: int = int(self._waitress.effective_port)

    @property
    def stopping(self) -> bool:
        """Whether `stop` has been called."""
        return bool(self._waitress.stopping)

    def stop(self) -> None:
        """Close each connection after its next answer, and wake `poll` up; safe in a signal handler."""
        self._waitress.stopping = True
        self._waitress.trigger.pull_trigger()

    def poll(self, timeout_s: float) -> None:
        """Wait for something to happen, and handle it."""
        wasyncore.loop(
            timeout=0 if self._inline else timeout_s,
            use_poll=True,
            map=self._waitress._map,
            count=1,
        )
        for _ in range(len(self._inline)):
            self._inline.popleft().service()

    def has_waiting_connections(self) -> bool:
        """Return whether a connection waits on the listening socket and may be taken."""
        if self._waitress.in_connection_overflow:  # nobody is let in
            return False
        poll = select.poll()
        poll.register(self._waitress.socket, select.POLLIN)
        return bool(poll.poll(0))

    def close_listening_socket(self) -> None:
        """Take no more connections; those that are open stay open."""
        self._waitress.del_channel()
        self._waitress.socket.close()

    def busy_connections(self) -> int:
        """Count the connections with a request that is being received, worked on or answered."""
        return sum(channel.busy() for channel in self._waitress.active_channels.values())

    def end_threads(self) -> None:
        """End the worker threads; one that is still at work gets a second."""
        self._waitress.task_dispatcher.shutdown(timeout=1)

    def _add_task(self, channel: "_Channel") -> None:
        """Keep a small request for the main loop; give any other to the worker threads."""
        request = channel.requests[0]
        size = request.header_bytes_received + request.body_bytes_received
        # Output that is still to be sent to this client might make the answer wait for the main loop.
        inline = size <= INLINE_REQUEST_BYTES and not channel.total_outbufs_len
        if inline and threading.get_ident() == self._waitress.main_thread:
            self._inline.append(channel)
        else:
            self._threads_add_task(channel)

    def _pull_trigger(self) -> None:
        # The main loop need not wake itself up.
        if threading.get_ident() != self._waitress.main_thread:
            self._threads_pull_trigger()


class _ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress has no types for it
    """The answer to what never reached the application: malformed HTTP, or a body that is too large."""

    def execute(self) -> None:
        """Answer as the application would."""
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
    """A request for the application."""

    def build_response_header(self) -> Any:
        """Tell the client that the connection closes, if the server is stopping."""
        if self.channel.server.stopping:  # or a busy client would keep us from ever stopping
            self.set_close_on_finish()
        return super().build_response_header()

    def write(self, data: bytes) -> None:
        """Send an answer that is whole together with its header: two packets cost two system calls on either side."""
        if self.wrote_header or not data or len(data) != self.content_length or not self.has_body:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header: bool = True
        self.content_bytes_written = len(data)


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request that is being received."""

    def parse_header(self, header_plus: bytes) -> None:
        """Refuse an address such as http://[::1, which urllib cannot read."""
        try:
            super().parse_header(header_plus)
        except ValueError:
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
        """Return whether a request is being received, worked on or answered."""
        arriving = self.request is not None and time.time() - self.last_activity < _STALLED_AFTER_S
        return bool(self.requests or arriving or self.total_outbufs_len)

    def _flush_outbufs_below_high_watermark(self) -> None:
        # It waits for the main loop to send, and the main loop must not wait for itself.
        if threading.get_ident() != self.server.main_thread:
            super()._flush_outbufs_below_high_watermark()

    def handle_close(self) -> None:
        """Close the connection; after a refusal, only its sending half at first."""
        # Closing with input unread resets the connection, and the client may never see the answer.
        if self.refused and self.connected and not self._discarding:
            self._discarding, self.will_close = True, False
            with contextlib.suppress(OSError):  # gone already
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()

    def readable(self) -> bool:
        """Return whether input is to be read; that of a refused client always is."""
        return self._discarding or super().readable()

    def handle_read(self) -> None:
        """Read a request, or throw away what a refused client goes on sending."""
        if not self._discarding:
            super().handle_read()
            return
        # recv closes the channel when the client has; waitress's maintenance closes silent ones.
        self._discarded += len(self.recv(65_536))
        if self._discarded > MOST_DISCARDED_BYTES:
            self.handle_close()
