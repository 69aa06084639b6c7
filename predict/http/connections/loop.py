"""The event loop: which connection is read next, which request is answered next, and where."""

import contextlib
import copy
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import build_http_date
from waitress.wasyncore import readwrite

from predict.http.connections import limits, upkeep
from predict.http.connections.channel import Channel
from predict.http.connections.parsing import Known, MayUpload
from predict.http.headers import AnswerHeaders
from predict.http.inline import METRICS, may_wait
from predict.http.load import Line, Load
from predict.http.platforms.errors import PlatformErrors
from predict.http.probes import Probes
from predict.settings import Settings
from predict.wording import counted


class Share(Protocol):
    """What the loop asks about the other processes that take connections from the same socket."""

    def note(self, connections: int) -> None:
        """Note how many connections this one has."""

    def pause_s(self) -> float:
        """Return how long it leaves the next connection to the others; 0 if it is to take it."""
        ...


_READ, _WRITE = select.POLLIN, select.POLLOUT
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

log = logging.getLogger("predict")


class EventLoop:
    """The listening socket, its connections and the worker threads, all of them waitress's.

    One thread, which calls `poll`, owns the sockets. It answers small requests itself; worker threads answer the
    rest. A request that would wait for too long is refused at once.

    Attributes:
        port: Where it listens.
        stopping: Whether `stop` has been called.
        inline: Whether `poll` answers small requests itself; it may change.
        load: What is counted.
    """

    def __init__(
        self,
        app: WSGIApplication,
        listening: socket.socket,
        settings: Settings,
        inline: bool,
        load: Load | None = None,
        may_upload: MayUpload | None = None,
        share: Share | None = None,
    ) -> None:
        """Take over a listening socket; connections are answered while `poll` is called.

        Args:
            app: The application.
            listening: Bound already.
            settings: Limits and threads.
            inline: Whether `poll` answers small requests itself instead of handing them to a worker thread.
            load: Where to count; a new one if None.
            may_upload: Whether a request may have a body of up to `max_upload_bytes`; None for never.
            share: What other processes, if there are any, take of the connections.
        """
        self.load = load or Load()
        self.stopping = False
        self.thread = threading.get_ident()
        self.inline, self._request_timeout_s = inline, settings.request_timeout_s
        self._poller: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._server: Any = Listener(self, app, listening, settings, may_upload)
        self.port: int = int(self._server.effective_port)
        self._dispatcher = self._server.task_dispatcher
        self._connections: dict[int, Channel] = self._server.active_channels
        # Requests that wait for this thread: probes and refusals of bad ones, requests to be refused, and the rest.
        self._urgent: deque[Channel] = deque()
        self._refused: deque[Channel] = deque()
        self._waiting: deque[Channel] = deque()
        # They are few, and are answered whatever waits.
        self._probes = Probes(settings)
        self._line = Line(settings.max_wait_s, few=limits.FEW)
        self._threads_line = Line(settings.max_wait_s, settings.threads, patience=limits.PATIENCE)
        # What other threads want done by this one.
        self._calls: deque[tuple[Callable[..., None], Channel, *tuple[Any, ...]]] = deque()
        self._away_until = self._absence_s = 0.0
        self._next_check, self._next_words, self._refused_said = 0.0, 0.0, 0
        self._accepting, self._held_bytes = True, 0
        self._share, self._left_until = share, 0.0
        self._note_connections()
        for fd in self._server._map:  # the listening socket and the trigger
            self._poller.register(fd, _READ)

    def stop(self) -> None:
        """Close each connection after its next answer, and wake `poll` up; safe in a signal handler."""
        self.stopping = self.load.draining = True
        self._server.trigger.pull_trigger()

    def poll(self, timeout_s: float) -> None:
        """Wait for something to happen, and handle it."""
        if self._waiting or self._urgent or self._calls:
            timeout_s = 0
        elif self._dispatcher.queue or self._shuts_out():
            timeout_s = min(timeout_s, limits.CHECK_SOON_S)
        if self._left_until:
            timeout_s = min(timeout_s, max(0.0, self._left_until - time.perf_counter()))
        events = self._wait(min(timeout_s, limits.CHECK_EVERY_S))
        started, used_s = time.perf_counter(), time.thread_time()
        handlers = self._server._map
        for fd, flags in events:
            if (handler := handlers.get(fd)) is not None:
                if type(handler) is Channel:
                    self._attempt(self._handle, handler, flags)
                else:
                    readwrite(handler, flags)
        if self._left_until and started >= self._left_until:
            self._left_until = 0.0
            self._let_in_again()
            self._server.take_one()  # nobody else has
        if len(events) == limits.EVENTS_A_TURN and self._accepting:
            self._server.handle_accept()  # there are more, and new ones must not wait for their round
        while self._calls:
            self._attempt(*self._calls.popleft())
        load = self.load
        load.connections, load.in_flight = len(self._connections), self._dispatcher.active_count
        load.waiting = len(self._waiting) + len(self._dispatcher.queue)
        for _ in range(min(len(self._urgent), limits.URGENT_A_TURN)):
            self._attempt(self._answer, self._urgent.popleft())
        while self._refused:
            self._attempt(self.refuse, self._refused.popleft())
        if self._waiting:
            self._answer_waiting(started, used_s, pressed=len(events) == limits.EVENTS_A_TURN)
        if started >= self._next_check:
            self._check()
            pressed = self._dispatcher.queue or self._shuts_out()
            self._next_check = started + (limits.CHECK_SOON_S if pressed else limits.CHECK_EVERY_S)

    def _wait(self, timeout_s: float) -> list[tuple[int, int]]:
        events: list[tuple[int, int]]
        if hasattr(select, "epoll"):
            events = self._poller.poll(timeout_s, limits.EVENTS_A_TURN)
        else:
            events = self._poller.poll(timeout_s * 1000)
        return events

    def has_waiting_connections(self) -> bool:
        """Return whether a connection waits on the listening socket and may be taken."""
        if not self._accepting and not self._left_until:  # nobody is let in
            return False
        poll = select.poll()
        poll.register(self._server.socket, select.POLLIN)
        return bool(poll.poll(0))

    def close_listening_socket(self) -> None:
        """Take no more connections; those that are open stay open."""
        self._let_in(False)
        self._server.del_channel()
        self._server.socket.close()

    def busy_connections(self) -> int:
        """Count the connections with a request that is expected, being received, worked on or answered."""
        return sum(channel.busy() for channel in self._connections.values())

    def end_threads(self) -> bool:
        """End the worker threads; return False if one is still at work after a second."""
        self._dispatcher.shutdown(timeout=1)
        return not self._dispatcher.threads

    # What the connections call.

    def on_main_thread(self) -> bool:
        """Return whether the caller is the thread that polls."""
        return threading.get_ident() == self.thread

    def call(self, function: Callable[..., None], channel: Channel, *arguments: Any) -> None:
        """Have the main loop do something with a connection soon; any thread may ask for it."""
        self._calls.append((function, channel, *arguments))
        if len(self._calls) == 1 and not self.on_main_thread():
            self._server.trigger.pull_trigger()

    def put_in_line(self, channel: Channel) -> None:
        """Find the place where a connection's next request waits, or refuse it."""
        if not self.on_main_thread():
            self.call(self.put_in_line, channel)
            return
        if not channel.requests:  # closed meanwhile
            return
        request = channel.requests[0]
        channel.queued_at = time.perf_counter()
        if request.error or request.path in self._probes:
            full = len(self._urgent) >= limits.MOST_URGENT
            (self._refused if full else self._urgent).append(channel)
        elif channel.for_probes:
            self._refused.append(channel)
        elif self._is_for_main_loop(channel, request):
            full = self._line.is_full(len(self._waiting))
            (self._refused if full else self._waiting).append(channel)
        elif request.path != METRICS and self._threads_line.is_full(len(self._dispatcher.queue)):
            self._refused.append(channel)
        else:
            self._dispatcher.add_task(channel)

    def _is_for_main_loop(self, channel: Channel, request: Any) -> bool:
        size = request.header_bytes_received + request.body_bytes_received
        # Output that is still to be sent to this client might make the answer wait for the main loop; and a compressed
        # body is as large as it likes.
        small = size <= limits.INLINE_REQUEST_BYTES and not channel.total_outbufs_len
        small = small and "CONTENT_ENCODING" not in request.headers
        may_be = small and self.inline and channel.queued_at >= self._away_until
        return may_be and not may_wait(request.path) and not request.may_be_explained()

    def refuse(self, channel: Channel) -> None:
        """Answer a connection's next request with 503."""
        self.load.count_refusal()
        channel.refuse()
        self.settle(channel)

    def settle(self, channel: Channel) -> None:
        """Wait for what a connection waits for now, or close it."""
        if channel._fileno is None:
            return
        if channel.held_bytes and channel.request is None and not channel.requests:
            self.hold(channel, -channel.held_bytes)
        if not channel.total_outbufs_len:
            channel.sending_since = 0.0
            if channel.close_when_flushed or channel.will_close:
                channel.handle_write()
                if channel._fileno is None:
                    return
        elif not channel.sending_since:
            channel.sending_since = time.monotonic()
        wanted = (_READ if channel.readable() else 0) | (_WRITE if channel.writable() else 0)
        if wanted != channel.watched:
            if not wanted:
                self._poller.unregister(channel._fileno)
            elif channel.watched:
                self._poller.modify(channel._fileno, wanted)
            else:
                self._poller.register(channel._fileno, wanted)
            channel.watched = wanted

    def forget(self, fd: int, watched: bool) -> None:
        """Watch a connection no more, because it closes."""
        if watched:
            self._poller.unregister(fd)
        self._note_connections()
        self._let_in_again()

    def pending_answer_bytes(self) -> int:
        """Return the bytes of answers that clients have not read yet."""
        return sum(channel.total_outbufs_len for channel in list(self._connections.values()))

    def hold(self, channel: Channel, size: int) -> bool:
        """Count bytes of requests that arrive, or are done with; return whether there is room for more."""
        channel.held_bytes += size
        self._held_bytes += size
        return self._held_bytes <= limits.MOST_REQUEST_BYTES

    def is_late(self, channel: Channel) -> bool:
        """Return whether a request has waited for too long for a worker thread."""
        if channel.requests and channel.requests[0].path == METRICS:
            return False
        waited_s = time.perf_counter() - channel.queued_at
        return self._threads_line.is_late(waited_s, len(self._dispatcher.queue))

    def note_answer(self, channel: Channel, waited_s: float, took_s: float) -> None:
        """Count the answer of a worker thread."""
        self.load.answered += 1
        self.load.waited_s += waited_s
        self._threads_line.measure(took_s)
        self.settle(channel)

    # The main loop's own work.

    def _handle(self, channel: Channel, flags: int) -> None:
        wanted = (_READ if channel.readable() else 0) | (_WRITE if channel.writable() else 0)
        if flags & (wanted | _GONE) and wanted:
            readwrite(channel, flags & (wanted | _GONE))
        if not channel.requests or channel.total_outbufs_len or not wanted:
            self.settle(channel)

    def _attempt(self, function: Callable[..., None], channel: Channel, *arguments: Any) -> None:
        """Do something with a connection; if it fails, which is our fault, only this connection ends."""
        try:
            function(channel, *arguments)
        except Exception:
            log.exception("a connection failed")
            channel.handle_close()

    def _answer(self, channel: Channel) -> None:
        if channel.requests:  # else it was closed meanwhile
            channel.service()
            self.settle(channel)

    def _answer_waiting(self, started: float, used_s: float, pressed: bool) -> None:
        """Answer requests for the length of a turn, or for as long as reading took if there is more to be read."""
        load, answered = self.load, 0
        now = time.perf_counter()
        until = now + (now - started if pressed else limits.TURN_S)
        while self._waiting and now < until:
            channel = self._waiting.popleft()
            channel.waited_s = now - channel.queued_at
            if self._line.is_late(channel.waited_s, len(self._waiting)):
                self._attempt(self.refuse, channel)
                now = time.perf_counter()
                continue
            answered += 1
            load.waited_s += channel.waited_s
            self._attempt(self._answer, channel)
            before, now = now, time.perf_counter()
            if now - before > limits.SLOW_ANSWER_CPU_S:
                self._consider_leaving(now, now - before, time.thread_time() - used_s)
        if answered:
            load.answered += answered
            # With what reading and refusing cost meanwhile.
            self._line.measure((now - started) / answered)

    def _consider_leaving(self, now: float, took_s: float, computed_s: float) -> None:
        """Leave requests to the worker threads for a while, if an answer was slow and not just interrupted."""
        if computed_s <= limits.SLOW_ANSWER_CPU_S and took_s <= limits.SLOW_ANSWER_S:
            return
        calm = now - self._away_until > 10 * self._absence_s
        self._absence_s = 1.0 if calm else min(2 * self._absence_s, limits.LONGEST_ABSENCE_S)
        self._away_until = now + self._absence_s
        log.warning(
            "an answer took %.0f ms: worker threads answer small requests too for %.0f s",
            took_s * 1000,
            self._absence_s,
        )
        while self._waiting:
            self._dispatcher.add_task(self._waiting.popleft())

    def _check(self) -> None:
        """Refuse, close and say what is due."""
        now = time.monotonic()
        if self._shuts_out():
            upkeep.make_room(list(self._connections.values()))
            self._let_in_again()
        self._refuse_overdue()
        crowded = self.pending_answer_bytes() > limits.MOST_ANSWER_BYTES / 2
        upkeep.close_overdue(self._connections.values(), self._request_timeout_s, crowded)
        if now >= self._next_words and (refused := self.load.refused - self._refused_said):
            self._next_words, self._refused_said = now + limits.SAY_EVERY_S, self.load.refused
            log.warning("refused %s: more than this server can answer", counted(refused, "request"))

    def _refuse_overdue(self) -> None:
        """Refuse what waits for worker threads that are all busy for longer than was estimated."""
        refused = []
        with self._dispatcher.lock:
            queue = self._dispatcher.queue
            while queue and self.is_late(queue[0]):
                refused.append(queue.popleft())
        for channel in refused:
            self._attempt(self.refuse, channel)

    # Letting connections in.

    def has_room(self) -> bool:
        """Return whether there is room for another connection; the slowest others make some if they can."""
        if len(self._connections) >= limits.MOST_CONNECTIONS:
            upkeep.make_room(list(self._connections.values()))
        self._let_in(self._room() > 0)
        return self._accepting

    def leaves_it_to_others(self) -> bool:
        """Return whether the next connection is left to other processes for a while, because they have fewer."""
        pause_s = 0.0 if self._share is None else self._share.pause_s()
        if pause_s:
            self._let_in(False)
            self._left_until = time.perf_counter() + pause_s
        return pause_s > 0

    def _note_connections(self) -> None:
        if self._share is not None:
            self._share.note(len(self._connections))

    def let_in(self, connection: socket.socket, address: Any) -> None:
        """Take a new connection."""
        channel = Channel(self._server, connection, address, self._server.adj, self._server._map)
        channel.for_probes = len(self._connections) > limits.MOST_CONNECTIONS
        self._note_connections()
        self.settle(channel)
        readwrite(channel, _READ)  # the request has often come with it

    def lack_descriptors(self) -> None:
        """Make room, because the system has no more file descriptors for this process."""
        upkeep.make_room(list(self._connections.values()))
        self._let_in(False)

    def _let_in(self, accepting: bool) -> None:
        if accepting != self._accepting:
            self._accepting = accepting
            if accepting:
                self._poller.register(self._server.socket.fileno(), _READ)
            else:
                self._poller.unregister(self._server.socket.fileno())

    def _shuts_out(self) -> bool:
        """Return whether new connections wait for room."""
        left = bool(self._left_until)
        return not self._accepting and not left and self._server.socket.fileno() >= 0

    def _let_in_again(self) -> None:
        """Let connections in again, if some have made room."""
        if self._shuts_out():
            self._let_in(self._room() > 0)

    def _room(self) -> int:
        return limits.MOST_CONNECTIONS + limits.PLACES_FOR_PROBES - len(self._connections)


class Listener(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types for it
    """The listening socket, which takes connections until none waits."""

    def __init__(
        self,
        loop: EventLoop,
        app: WSGIApplication,
        listening: socket.socket,
        settings: Settings,
        may_upload: MayUpload | None,
    ) -> None:
        # A queue while all threads are busy is normal.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self.loop = loop
        self.known_headers: dict[bytes, Known] = {}
        self.platform_errors = PlatformErrors(settings)
        self.headers, self.log_requests = AnswerHeaders(settings), settings.log_requests
        self.second, self.date = 0, ""
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(settings.threads)
        adjustments = Adjustments(
            sockets=[listening],
            threads=settings.threads,
            # waitress refuses from this size on, we above ours.
            max_request_body_size=settings.max_body_bytes + 1,
            max_request_header_size=limits.MOST_HEADER_BYTES,
            # Texts may be private, and a container may have no place to write: nothing goes to a file.
            inbuf_overflow=settings.max_body_bytes + 2,
            outbuf_overflow=1 << 30,
            clear_untrusted_proxy_headers=False,  # `Request` does
            ident=None,
        )
        # Attributes of ours, where a request that arrives finds them.
        adjustments.believes_proxies = settings.trusted_proxies > 0
        adjustments.may_upload = may_upload
        adjustments.of_uploads = copy.copy(adjustments)
        adjustments.of_uploads.max_request_body_size = settings.max_upload_bytes + 1
        adjustments.of_uploads.inbuf_overflow = settings.max_upload_bytes + 2
        super().__init__(
            app,
            {},
            _sock=listening,
            dispatcher=dispatcher,
            adj=adjustments,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            bind_socket=False,
        )

    def handle_accept(self) -> None:
        """Take the connections that wait, but for those that others should."""
        for _ in range(limits.ACCEPTS_A_TURN):
            if self.loop.leaves_it_to_others() or not self.take_one():
                return

    def take_one(self) -> bool:
        """Take one of the connections that wait; return whether there may be more."""
        if not self.loop.has_room():
            return False
        try:
            connection, address = self.socket.accept()
        except BlockingIOError:
            return False
        except ConnectionError:  # gone already
            return True
        except OSError:
            self.loop.lack_descriptors()
            return False
        with contextlib.suppress(OSError):  # gone already
            self.set_socket_options(connection)
        self.loop.let_in(connection, address)
        return True

    def add_task(self, channel: Channel) -> None:
        """Let a request wait for its turn."""
        self.loop.put_in_line(channel)

    def pull_trigger(self) -> None:
        """Do nothing: connections say themselves when the main loop has to look at them."""

    def date_now(self) -> str:
        """Return the time as HTTP writes it."""
        if (second := int(time.time())) != self.second:
            self.date, self.second = build_http_date(second), second
        return self.date
