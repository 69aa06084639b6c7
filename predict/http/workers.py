"""Several processes on one port: a parent, which loads no model, starts them, changes them together and stops them."""

import contextlib
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from predict.hosting.messages import ASK, DO, DONE, FAILED, PREPARE, READY, TOLD, receive, send
from predict.hosting.watching import Watcher
from predict.http.listening import ServerError, begin_no_connections
from predict.settings import Settings
from predict.wording import counted

log = logging.getLogger("predict")

# How long the parent waits for what all processes are asked: loading a model takes longer than the rest. A process
# that does not answer in time is ended.
_LOADING_S, _ANSWERING_S = 120.0, 10.0
# How long a message may wait for a process to take it.
_SENDING_S = 2
# A process that ends within so many seconds is started again after a while only, which doubles each time.
_SHORT_LIFE_S, _FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 1.0, 30.0
# What a process gets beyond its own time to stop.
_MORE_TO_STOP_S = 5.0

# What `Models.standing` returns, as JSON has it.
Standing = Mapping[str, Sequence[str | None]]
# What a process does: it serves what the settings name, on the connection with its parent; as all do that serve
# already, if any do; and as one of those numbered from 1 on.
Work = Callable[[Settings, Connection, Standing | None, int], None]


@dataclass(eq=False)
class _Worker:
    number: int
    pid: int
    connection: Connection
    started: float = field(default_factory=time.monotonic)
    ready: bool = False
    # Whether its connection has ended, and whether the process itself has; the first comes a moment before.
    silent: bool = False
    gone: bool = False

    @property
    def can_be_asked(self) -> bool:
        return self.ready and not self.silent

    def end(self) -> None:
        """End it at once; another one is started."""
        self.silent = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Workers:
    """The parent. `run` returns when it has been asked to stop and all have stopped."""

    def __init__(
        self,
        settings: Settings,
        listening: socket.socket,
        work: Work,
        follow: Callable[[Settings, bool], Mapping[str, Any]],
        read: Callable[[], Settings],
        ended: Callable[[int], object] = lambda number: None,
    ) -> None:
        """Prepare it; nothing is started yet.

        Args:
            settings: How many, and how long they may take to stop.
            listening: The socket that all of them take connections from.
            work: What each does.
            follow: Settings, and whether to try again what was refused -> the change for all of them.
            read: Reads the settings again.
            ended: Is told the number of a process that has ended.
        """
        self._count, self._grace_s = settings.workers, settings.drain_grace_s
        self._stop_s = self._grace_s + settings.drain_timeout_s + _MORE_TO_STOP_S
        self._listening, self._work, self._make_change = listening, work, follow
        self._ended = ended
        self._workers: list[_Worker] = []
        # What the settings name that all follow, and what all answer with; None before the first can.
        self._named: Settings = settings
        self._standing: Standing | None = None
        self._deferred: list[tuple[_Worker, dict[str, Any]]] = []
        self._asked = 0
        self._problem: str | None = None
        self._watcher = Watcher(self._follow, read, settings.watch_s)
        self._watch_s = settings.watch_s
        self._stopping = self._look_now = False
        self._pause_s, self._start_again_at = _FIRST_PAUSE_S, 0.0
        self._wakes, self._wake = socket.socketpair()

    def run(self, announce: Callable[[Standing], object]) -> None:
        """Start all, serve until a signal asks to stop, and stop all.

        Args:
            announce: Is called with what answers, once all processes can.

        Raises:
            ServerError: One could not start.
        """
        self._listen_to_signals()
        while len(self._workers) < self._count:
            self._start()
        while not self._stopping and not all(worker.ready for worker in self._workers):
            self._hear(timeout_s=1.0)
            if any(worker.gone for worker in self._workers) and not self._stopping:
                self._stop()
                raise ServerError(self._problem or "a process ended before it could answer")
        if not self._stopping:
            announce(self._standing or {})
            self._supervise()
        self._stop()

    def _listen_to_signals(self) -> None:
        self._wakes.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes us up
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self._look_now = True
        elif self._stopping and number == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl-C does not wait
        else:
            self._stopping = True

    def _supervise(self) -> None:
        look_at = time.monotonic() + self._watch_s
        while not self._stopping:
            self._hear(timeout_s=min(1.0, self._watch_s or 1.0))
            self._replace_the_dead()
            if self._look_now or (self._watch_s and time.monotonic() >= look_at):
                retry, self._look_now = self._look_now, False
                self._watcher.look(retry)
                look_at = time.monotonic() + self._watch_s

    def _start(self) -> None:
        taken = {worker.number for worker in self._workers}
        number = min(set(range(1, self._count + 1)) - taken)
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            self._become_a_worker(ours, theirs, number)
        theirs.close()
        _limit_sending(ours)
        self._workers.append(_Worker(number, pid, ours))

    def _become_a_worker(self, ours: Connection, theirs: Connection, number: int) -> NoReturn:
        """Serve, in the new process, and end it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent sees to it
        for stop in (signal.SIGTERM, signal.SIGINT):
            # Nothing is in flight yet. An exception could be lost in what is being imported.
            signal.signal(stop, lambda *_: os._exit(0))
        # Or it would not see that the parent has ended.
        for connection in (ours, *(worker.connection for worker in self._workers)):
            connection.close()
        self._wakes.close()
        self._wake.close()
        self._work(self._named, theirs, self._standing, number)
        raise SystemExit(0)

    def _hear(self, timeout_s: float) -> None:
        """Wait for something to happen, and see to it."""
        listened_to = [worker for worker in self._workers if not worker.silent]
        for worker, message in self._messages(listened_to, 0 if self._deferred else timeout_s):
            if message is not None and message["type"] == ASK:
                self._deferred.append((worker, message))
        # Only now: whoever is asked meanwhile may have something to say as well, which is then read there.
        while self._deferred and not self._stopping:
            self._answer(*self._deferred.pop(0))
        self._look_for_the_dead()

    def _messages(
        self, workers: Iterable[_Worker], timeout_s: float
    ) -> Iterator[tuple[_Worker, dict[str, Any] | None]]:
        """Wait for messages of processes, or a signal; yield one of each that has any, None if it has ended."""
        by_connection = {worker.connection: worker for worker in workers}
        for ready in wait([self._wakes, *by_connection], timeout_s):
            if ready is self._wakes:
                with contextlib.suppress(BlockingIOError):
                    self._wakes.recv(4096)
            else:
                worker = by_connection[ready]  # type: ignore[index]
                yield worker, self._receive(worker)

    def _receive(self, worker: _Worker) -> dict[str, Any] | None:
        """Read the message of a process that has one."""
        message = receive(worker.connection)
        if message is None:
            worker.silent = True
        elif message["type"] == FAILED:
            self._problem = message["content"]
            if self._standing is not None:
                log.warning("a process could not start: %s", self._problem)
        elif message["type"] == READY:
            self._welcome(worker, message["standing"])
        return message

    def _welcome(self, worker: _Worker, standing: Standing) -> None:
        if self._standing is not None and standing != self._standing:
            # A change was made while it was loading. The next one is started with it.
            log.warning("process %d is started again: the models have changed", worker.pid)
            worker.end()
            return
        worker.ready, self._standing = True, standing

    def _look_for_the_dead(self) -> None:
        for worker in self._workers:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    worker.silent = worker.gone = True
                    self._ended(worker.number)
                    if not self._stopping and worker.ready:
                        code = os.waitstatus_to_exitcode(status)
                        log.warning("process %d ended with %d; another one is started", pid, code)

    def _replace_the_dead(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.gone]:
            worker.connection.close()
            self._workers.remove(worker)
            lived_long = now - worker.started > _SHORT_LIFE_S
            self._pause_s = (
                _FIRST_PAUSE_S if lived_long else min(_LONGEST_PAUSE_S, 2 * self._pause_s)
            )
            self._start_again_at = now if lived_long else now + self._pause_s
        if len(self._workers) < self._count and now >= self._start_again_at:
            self._start()

    def _answer(self, worker: _Worker, message: Mapping[str, Any]) -> None:
        """Ask all what one asks, and tell it what they say."""
        kind, content = message["kind"], message["content"]
        told: Any = (
            self._change(content)
            if kind == "change"
            else [reply["value"] for reply in self._ask_all(kind, content) if "value" in reply]
        )
        self._send(worker, {"type": TOLD, "id": message["id"], "content": told})

    def _follow(self, settings: Settings, retry: bool) -> None:
        problem = self._change(self._make_change(settings, retry))
        if problem is None:
            self._named = settings
        elif not self._stopping:
            log.warning("the configuration could not be followed: %s", problem["message"])

    def _change(self, change: Mapping[str, Any]) -> dict[str, str] | None:
        """Make a change in all processes, or in none; return what is wrong."""
        asked = sum(worker.can_be_asked for worker in self._workers)
        problem = _problem_of(self._ask_all(PREPARE, change, _LOADING_S), asked)
        if problem is not None:
            self._ask_all("abort", None)
            return problem
        for reply in self._ask_all("commit", None):
            self._standing = reply.get("value", self._standing)
        return None

    def _ask_all(
        self, kind: str, content: Any, patience_s: float = _ANSWERING_S
    ) -> list[dict[str, Any]]:
        """Return what those say that answer in time, and end those that do not."""
        self._asked += 1
        do = {"type": DO, "id": self._asked, "kind": kind, "content": content}
        pending = [
            worker for worker in self._workers if worker.can_be_asked and self._send(worker, do)
        ]
        replies, deadline = list[dict[str, Any]](), time.monotonic() + patience_s
        while pending and not self._stopping and (left_s := deadline - time.monotonic()) > 0:
            for worker, message in self._messages(list(pending), left_s):
                if message is None:
                    pending.remove(worker)
                elif message["type"] == DONE and message["id"] == self._asked:
                    replies.append(message["reply"])
                    pending.remove(worker)
                elif message["type"] == ASK:
                    self._deferred.append((worker, message))
        for worker in () if self._stopping else pending:
            log.warning("process %d does not answer, and is ended", worker.pid)
            worker.end()
        return replies

    def _send(self, worker: _Worker, message: Mapping[str, Any]) -> bool:
        """Send a message, and return whether the process has taken it; one that does not is ended."""
        try:
            send(worker.connection, message)
        except OSError:
            worker.end()
            return False
        return True

    def _stop(self) -> None:
        """Let each process finish what is in flight, and let no client begin a connection after a while."""
        self._stopping = True
        self._look_for_the_dead()
        for worker in self._workers:
            if not worker.gone:
                os.kill(worker.pid, signal.SIGTERM)
        began = time.monotonic()
        self._hear_while_alive(began + self._grace_s)
        begin_no_connections(self._listening)
        self._listening.close()
        self._hear_while_alive(began + self._stop_s)
        late = [worker for worker in self._workers if not worker.gone]
        if late:
            log.warning("%s did not stop in time", counted(len(late), "process"))
        for worker in late:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)

    def _hear_while_alive(self, until: float) -> None:
        """Go on until then, or until all have ended."""
        while not all(worker.gone for worker in self._workers):
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            self._deferred.clear()  # nothing is asked any more
            self._hear(min(left_s, 0.2))


def _problem_of(replies: Sequence[dict[str, Any]], asked: int) -> dict[str, str] | None:
    """Return what keeps a change from being made that all processes have been asked to prepare."""
    for reply in replies:
        if "error" in reply:
            return reply
    message = None
    if len(replies) < asked:
        message = "A process of this server did not answer."
    elif any(reply != replies[0] for reply in replies):
        message = "The processes of this server did not load the same, so nothing is changed."
    return None if message is None else {"error": "HostingError", "message": message}


def _limit_sending(connection: Connection) -> None:
    """Let a message to a process that takes none fail, after a while."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        timeout = struct.pack("ll", _SENDING_S, 0)
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
