"""Where log lines go: to a stream that nobody ever waits for, each line escaped."""

import contextlib
import io
import json
import logging
import os
import re
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TextIO

from predict.settings import LOG_TIME
from predict.wording import iso_time

# What waits to be written; beyond it, lines are dropped and counted.
_MOST_LINES = 10_000
_MOST_CHARACTERS = 2_000_000
# Lines of this long are written together. It spares the answering threads a hand-over of the interpreter lock each.
_PAUSE_S = 0.05
# A pipe takes this many bytes as a whole, so that the lines of several processes do not mix.
_WHOLE_BYTES = 4096
# How long a stopping process waits for its last lines to be written.
_LAST_LINES_S = 0.5
# What a terminal or a reader of lines would take for more than text: C0, DEL, C1, and the line ends of Unicode.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escaped(text: str) -> str:
    r"""Return a text without control characters: each is written as Python writes it.

    >>> escaped("a\nb\x1b[2J")
    'a\\nb\\x1b[2J'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class LineFormatter(logging.Formatter):
    """One record is one line: control characters are escaped, and the lines of a traceback are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        """Format the line without its traceback."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """Format a traceback so that no line of it, whatever the exception says, looks like a record."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        return "\n".join("  " + escaped(line) for line in lines)


class JsonFormatter(logging.Formatter):
    """One record is one JSON object; a traceback is in `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line = {
            "time": iso_time(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(
            line
        )  # in ASCII: some readers of lines take other characters for their ends


class LogStream(io.TextIOBase):
    """A stream that takes lines at once and writes them from a thread of its own.

    If nobody reads the other end, lines are dropped, counted, and the number is said when somebody reads again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._fd = stream, _descriptor(stream)
        self._lines: deque[str] = deque()
        self._characters = 0
        self._some, self._hurry = threading.Event(), threading.Event()
        self._writing = self._ended = False
        self.dropped = 0
        threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Take a line, or drop it if too much waits already."""
        if len(self._lines) >= _MOST_LINES or self._characters > _MOST_CHARACTERS:
            self.dropped += 1
            return len(text)
        # Two threads at once may miscount; it is set right when all is written.
        self._characters += len(text)
        self._lines.append(text)
        if not self._some.is_set():
            self._some.set()
        return len(text)

    def flush(self) -> None:
        """Do nothing: nobody waits for a log line."""

    def end(self, timeout_s: float) -> None:
        """Wait for what has been taken, and write nothing afterwards; a thread that cannot write stays."""
        self.wait_until_written(timeout_s)
        self._ended = True
        self._some.set()

    def wait_until_written(self, timeout_s: float) -> bool:
        """Wait for what has been taken; return whether it is written."""
        deadline = time.monotonic() + timeout_s
        self._hurry.set()
        while (waits := bool(self._lines or self._writing)) and time.monotonic() < deadline:
            time.sleep(0.002)
        return not waits

    def _write_for_ever(self) -> None:
        told = 0
        while not self._ended:
            self._some.wait()
            self._hurry.wait(_PAUSE_S)
            self._writing = True
            self._some.clear()
            while self._lines:
                self._put(self._next_piece())
            self._characters = 0
            if (dropped := self.dropped) > told:
                self._put(
                    f"{time.strftime(LOG_TIME)} WARNING {dropped - told} log lines were dropped: nobody read them\n"
                )
                told = dropped
            self._writing = False
        if self._fd is not None:
            os.close(self._fd)

    def _next_piece(self) -> str:
        """Take lines for one write: as many as a pipe takes as a whole, at least one."""
        piece = [self._lines.popleft()]
        size = len(piece[0])
        while self._lines and size + len(self._lines[0]) <= _WHOLE_BYTES:
            piece.append(self._lines.popleft())
            size += len(piece[-1])
        self._characters -= size
        return "".join(piece)

    def _put(self, text: str) -> None:
        # The answers go on even when the other end is closed.
        with contextlib.suppress(OSError, ValueError):
            if self._fd is None:
                self._stream.write(text)
                return
            # Past Python's own buffer, whose lock a process needs to end.
            rest = memoryview(text.encode("utf-8", "backslashreplace"))
            while rest:
                rest = rest[os.write(self._fd, rest) :]


def _descriptor(stream: TextIO) -> int | None:
    try:
        # Of its own: when the stream is closed, its number may soon be another file's.
        return os.dup(stream.fileno())
    except OSError:  # such as StringIO
        return None


class _UnlessFull(logging.StreamHandler[TextIO]):
    """Drops a line that the other end has no room for."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        with contextlib.suppress(OSError, ValueError):
            if select.select([], [self.stream], [], 0)[1]:
                super().emit(record)


@contextlib.contextmanager
def logging_unless_full(as_json: bool = False) -> Iterator[None]:
    """Log without a thread, for a process that others are forked from; a line that nobody has room for is dropped."""
    with _logging_by(_UnlessFull(), as_json):
        yield


@contextlib.contextmanager
def logging_without_waiting(as_json: bool = False) -> Iterator[LogStream]:
    """Let all that is logged or written to the error stream go through a `LogStream`, until the block ends."""
    # That of the process itself: this one may have been forked from one that logs in its own way.
    stream = LogStream(sys.__stderr__ or sys.stderr)
    try:
        with (
            _logging_by(logging.StreamHandler(stream), as_json),
            contextlib.redirect_stderr(stream),
        ):
            yield stream
    finally:
        stream.end(_LAST_LINES_S)


@contextlib.contextmanager
def _logging_by(handler: logging.Handler, as_json: bool) -> Iterator[None]:
    plain = LineFormatter("%(asctime)s %(levelname)s %(message)s", LOG_TIME)
    handler.setFormatter(JsonFormatter() if as_json else plain)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
