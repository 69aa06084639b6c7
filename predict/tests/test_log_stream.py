"""Log lines: nobody waits for them, and none looks like another."""

import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterator

import pytest

from predict.http import log_stream
from predict.http.log_stream import LineFormatter, LogStream, logging_without_waiting

ESCAPE = "\x1b[2J\u2028\x85\x7f"


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """The reading end of a pipe, and a stream that writes to it."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        yield read, stream
        os.close(read)


@pytest.fixture(autouse=True)
def _every_stream_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    begun: list[LogStream] = []
    begin = LogStream.__init__
    monkeypatch.setattr(
        LogStream, "__init__", lambda self, out: (begin(self, out), begun.append(self))[0]
    )
    yield
    for stream in begun:
        stream.end(1)


def test_lines_are_written_in_order() -> None:
    written = io.StringIO()
    stream = LogStream(written)
    for number in range(3_000):
        stream.write(f"line {number}\n")
    assert stream.wait_until_written(5)
    assert written.getvalue().splitlines() == [f"line {number}" for number in range(3_000)]


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(
    pipe: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_stream, "_MOST_LINES", 100)
    read, out = pipe
    os.write(out.fileno(), b"\n" * 65_536)  # as much as it takes
    stream = LogStream(out)
    line = "x" * 99 + "\n"
    started = time.monotonic()
    for _ in range(5_000):
        stream.write(line)
    assert not stream.wait_until_written(0.3)
    assert time.monotonic() - started < 2
    dropped = stream.dropped
    assert 5_000 - 100 - 41 <= dropped <= 4_900  # one piece may be on its way already
    text = b""
    while b"were dropped" not in text:
        text += os.read(read, 65_536)
    assert f" {dropped} log lines were dropped: nobody read them\n" in text.decode()
    stream.write("and on\n")
    assert stream.wait_until_written(5)
    assert os.read(read, 100) == b"and on\n"


def test_a_closed_stream_harms_nobody() -> None:
    written = io.StringIO()
    stream = LogStream(written)
    written.close()
    stream.write("line\n")
    assert stream.wait_until_written(5)


def formatted(message: str, error: Exception | None = None) -> str:
    record = logging.LogRecord(
        "predict",
        logging.ERROR,
        "",
        0,
        message,
        None,
        (type(error), error, None) if error else None,
    )
    return LineFormatter("%(levelname)s %(message)s").format(record)


def test_control_characters_in_a_message_are_escaped() -> None:
    assert formatted(f"a\nb\r{ESCAPE}ä") == r"ERROR a\nb\r\x1b[2J\u2028\x85\x7fä"


def test_no_line_of_a_traceback_looks_like_a_record() -> None:
    error = ValueError(f"no\n2026-11-20 10:00:00 INFO all is well{ESCAPE}")
    first, *rest = formatted("failed", error).split("\n")
    assert first == "ERROR failed"
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_logging_and_the_error_stream_go_through_it(capfd: pytest.CaptureFixture[str]) -> None:
    with logging_without_waiting():
        logging.getLogger("predict").warning("one\ntwo")
        sys.stderr.write("three\n")
    errors = capfd.readouterr().err
    assert "WARNING one\\ntwo\n" in errors
    assert errors.endswith("three\n")


def test_a_record_is_one_object_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with logging_without_waiting(as_json=True):
        try:
            raise ValueError(f"bad\n{ESCAPE}")
        except ValueError:
            logging.getLogger("predict").exception("it failed: %s", "a\nb")
    assert logging.getLogger().level != logging.INFO  # as it was before
    [line] = capfd.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["level"], record["message"]) == ("ERROR", "it failed: a\nb")
    assert record["exception"].startswith("Traceback")
