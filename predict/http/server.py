"""The server process around the application: where it listens, its signals, and an orderly stop."""

import gc
import logging
import signal
import socket
import time
from types import FrameType
from wsgiref.types import WSGIApplication

from predict.http.channel import EventLoop
from predict.settings import Settings
from predict.wording import counted

QUICK_MODEL_S = 0.001

# How long a stopping server goes on taking connections that are already waiting.
_LAST_CONNECTIONS_S = 1.0
# A stopping server listens on quiet connections for at least this long: their clients may be about to ask.
_LAST_REQUESTS_S = 0.25

log = logging.getLogger("predict")


class Server:
    """One listening socket; `run` returns after SIGTERM or SIGINT, when requests in flight are answered."""

    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings,
        listening: socket.socket,
        quick_model: bool = False,
    ) -> None:
        """Take over a listening socket, without answering yet.

        Args:
            app: The application.
            settings: Limits and threads.
            listening: Where clients connect.
            quick_model: Whether one answer takes less than `QUICK_MODEL_S`, so that handing a small request to
                another thread, and the interpreter lock with it, would cost more than the answer.
        """
        self._drain_timeout_s = settings.drain_timeout_s
        self._loop = EventLoop(app, listening, settings, inline=quick_model)
        self.port = self._loop.port

    def run(self) -> None:
        """Serve until a signal asks to stop; then finish what is in flight."""
        # What is loaded by now stays: the garbage collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._loop.stopping:
            self._loop.poll(timeout_s=1.0)
        self._drain()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._loop.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl-C does not wait
        self._loop.stop()

    def _drain(self) -> None:
        """Take what is queued on the socket, close it, and let every open request finish."""
        # waitress's own way, stopping the loop and then the workers, loses answers that are still to be sent.
        loop, deadline = self._loop, time.monotonic() + self._drain_timeout_s
        last_connections = time.monotonic() + _LAST_CONNECTIONS_S
        while loop.has_waiting_connections() and time.monotonic() < last_connections:
            loop.poll(timeout_s=0)
        loop.close_listening_socket()
        loop.poll(timeout_s=0)
        last_requests = time.monotonic() + _LAST_REQUESTS_S
        while time.monotonic() < min(last_requests, deadline) or (
            loop.busy_connections() and time.monotonic() < deadline
        ):
            loop.poll(timeout_s=0.05)
        if unfinished := loop.busy_connections():
            log.warning(
                "stopping with %s unfinished after %.0f s",
                counted(unfinished, "request"),
                self._drain_timeout_s,
            )
        loop.end_threads()
