"""The server process around the application: where it listens, its signals, and an orderly stop."""

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from wsgiref.types import WSGIApplication

from predict.http.connections.loop import EventLoop, Share
from predict.http.connections.parsing import MayUpload
from predict.http.listening import begin_no_connections
from predict.http.load import Load
from predict.settings import Settings
from predict.wording import counted

QUICK_MODEL_S = 0.001

# How long a worker thread with a large request may keep the interpreter lock from the main loop, which Python leaves to
# it for 5 ms. With four of them, small requests wait half as long.
_SWITCH_INTERVAL_S = 0.001

# How long a stopping server goes on taking connections that have begun already.
_LAST_CONNECTIONS_S = 0.1
_MOST_LAST_CONNECTIONS_S = 1.0
# A stopping server listens on quiet connections for at least this long: their clients may be about to ask.
_LAST_REQUESTS_S = 0.25
# A process that has not ended this long after it should have is ended.
_OVERDUE_S = 2.0

log = logging.getLogger("predict")


class Server:
    """One listening socket; `run` returns after SIGTERM or SIGINT, when requests in flight are answered."""

    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings,
        listening: socket.socket,
        quick_model: bool = False,
        load: Load | None = None,
        share: Share | None = None,
        may_upload: MayUpload | None = None,
    ) -> None:
        """Take over a listening socket, without answering yet.

        Args:
            app: The application.
            settings: Limits and threads.
            listening: Where clients connect.
            quick_model: Whether one answer takes less than `QUICK_MODEL_S`, so that handing a small request to
                another thread, and the interpreter lock with it, would cost more than the answer.
            load: Where the server counts what it does, for `create_app` to read.
            share: What other processes, if there are any, take of the connections. This one must not keep clients
                from beginning any then.
            may_upload: Whether a request may have a body of up to `max_upload_bytes`; None for never.
        """
        self._grace_s, self._drain_timeout_s = settings.drain_grace_s, settings.drain_timeout_s
        self._listening, self._shared = listening, share is not None
        self._loop = EventLoop(app, listening, settings, quick_model, load, may_upload, share)
        self.port = self._loop.port

    @property
    def quick_model(self) -> bool:
        """Whether the main loop answers small requests itself; it may change."""
        return self._loop.inline

    @quick_model.setter
    def quick_model(self, quick: bool) -> None:
        self._loop.inline = quick

    def run(self) -> bool:
        """Serve until a signal asks to stop; then finish what is in flight.

        Returns:
            Whether all threads have ended. If not, the process should end with `os._exit`: Python ends a thread that
            is inside a model in a way that aborts the process.
        """
        # What is loaded by now stays: the garbage collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with ended_after_signal(self._grace_s + self._drain_timeout_s + _OVERDUE_S):
            while not self._loop.stopping:
                self._loop.poll(timeout_s=1.0)
            return self._drain()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._loop.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl-C does not wait
        self._loop.stop()

    def _drain(self) -> bool:
        """Take connections for a while and those that have begun, then let every open request finish."""
        # waitress's own way, stopping the loop and then the workers, loses answers that are still to be sent.
        loop = self._loop
        self._poll_for(self._grace_s)
        deadline = time.monotonic() + self._drain_timeout_s
        if not self._shared:
            begin_no_connections(self._listening)
        self._poll_for(_LAST_CONNECTIONS_S)
        last_connections = time.monotonic() + _MOST_LAST_CONNECTIONS_S
        while loop.has_waiting_connections() and time.monotonic() < last_connections:
            loop.poll(timeout_s=0)
        loop.close_listening_socket()
        self._poll_for(min(_LAST_REQUESTS_S, self._drain_timeout_s))
        while loop.busy_connections() and time.monotonic() < deadline:
            loop.poll(timeout_s=0.05)
        if unfinished := loop.busy_connections():
            log.warning(
                "stopping with %s unfinished after %.0f s",
                counted(unfinished, "request"),
                self._drain_timeout_s,
            )
        return loop.end_threads()

    def _poll_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._loop.poll(timeout_s=left)


@contextlib.contextmanager
def ended_after_signal(timeout_s: float) -> Iterator[None]:
    """End the process, whatever it does, if the block does not end within `timeout_s` after SIGTERM or SIGINT.

    Python handles signals between two instructions of the main thread, so never while that is inside a model. The
    kernel's part of the handler writes to a socket, which a thread reads.
    """
    written, read = socket.socketpair()
    written.setblocking(False)
    ended = threading.Event()

    def watch() -> None:
        while signals := read.recv(64):
            if {signal.SIGTERM, signal.SIGINT} & set(signals):
                break
        else:  # closed
            return
        if not ended.wait(timeout_s):
            log.error("ending after %.0f s, though a request is still being answered", timeout_s)
            time.sleep(0.2)  # for the log
            os._exit(1)

    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        written.close()
        watcher.join(1)
        read.close()
