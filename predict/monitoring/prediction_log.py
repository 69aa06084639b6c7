"""A log of predictions: JSON Lines in a file of bounded size, written by a thread of its own. An answer never waits."""

import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from predict.contract.artefact import Metadata
from predict.contract.counting import Instance
from predict.contract.prediction_lines import (
    INSTANCE,
    NUMBER,
    PREDICTED,
    REQUEST_ID,
    TARGET,
    TRUTHS,
)
from predict.wording import iso_time

# Lines that wait for the disk; beyond so many characters they are dropped.
_MOST_WAITING = 16 << 20
_CLOSING_S = 2.0


class PredictionLogError(Exception):
    """A log that cannot be opened. The message says which file, and why."""


class PredictionLog:
    """A file that predictions and feedback are written to, as `predict.contract.prediction_lines` describes.

    When the file is full, it is renamed to `<file>.1`, that one to `<file>.2`, and so on; the oldest is removed.
    """

    def __init__(
        self, file: Path, inputs: bool = False, max_bytes: int = 100_000_000, files: int = 5
    ) -> None:
        """Open the file, and begin to write at its end.

        Args:
            file: Only one process may write to it. It is made for its owner alone to read.
            inputs: Whether the instances are written, too.
            max_bytes: The largest size of a file.
            files: How many files there are, the current one included.

        Raises:
            PredictionLogError: The file cannot be written.
        """
        self._inputs, self._max_bytes = inputs, max_bytes
        try:
            self._handler = _File(file, max_bytes, files)
        except OSError as error:
            raise PredictionLogError(
                f"{file}: the log of predictions cannot be written: {error.strerror}. "
                "Name another file in LOG_PREDICTIONS, or leave it out."
            ) from None
        self._waiting = _Lines(_MOST_WAITING)
        self._dropped = self._written = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="prediction log", daemon=True)
        self._thread.start()

    def predicted(
        self,
        request_id: str,
        metadata: Metadata,
        instances: Sequence[Instance],
        predictions: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write the answers to a request, a line each."""
        common = {
            "time": iso_time(time.time()),
            REQUEST_ID: request_id,
            "model": metadata.name,
            TARGET: metadata.outputs[0].name,
        }
        for number, (instance, prediction) in enumerate(zip(instances, predictions, strict=True)):
            line = {**common, NUMBER: number, **_answer_of(prediction)}
            self._put(line | {INSTANCE: instance} if self._inputs else line)

    def learned(self, request_id: str, truths: Sequence[object]) -> None:
        """Write the truth of the answers to a request."""
        self._put({"time": iso_time(time.time()), REQUEST_ID: request_id, TRUTHS: list(truths)})

    def snapshot(self) -> dict[str, int]:
        """Return how many lines were written, and how many dropped, because the disk was slow or full."""
        failed = self._handler.failed
        return {"written": self._written - failed, "dropped": self._dropped + failed}

    def close(self) -> None:
        """Write what waits, for a moment, and close the file."""
        try:
            self._waiting.put(None, timeout=_CLOSING_S)
        except queue.Full:
            return
        self._thread.join(_CLOSING_S)

    def _put(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, ensure_ascii=False, default=str)
        try:
            if len(text) >= self._max_bytes:
                raise queue.Full
            self._waiting.put_nowait(text)
        except queue.Full:
            with self._lock:
                self._dropped += 1

    def _write(self) -> None:
        while (text := self._waiting.get()) is not None:
            self._handler.emit(logging.makeLogRecord({"msg": text}))
            self._written += 1
        with contextlib.suppress(OSError):  # what the disk did not take was counted
            self._handler.close()


class _Lines(queue.Queue[str | None]):
    """A queue that is full from so many characters on; None ends it."""

    def _init(self, maxsize: int) -> None:
        self._texts: deque[str | None] = deque()
        self._size = 0

    def _qsize(self) -> int:
        return self._size

    def _put(self, item: str | None) -> None:
        self._texts.append(item)
        self._size += 1 + len(item or "")

    def _get(self) -> str | None:
        item = self._texts.popleft()
        self._size -= 1 + len(item or "")
        return item


class _File(RotatingFileHandler):
    """A file of limited size that nobody else may read. What cannot be written is counted."""

    def __init__(self, file: Path, max_bytes: int, files: int) -> None:
        self.failed = 0
        # A lone surrogate, which JSON can carry, is written as the escape that JSON has for it.
        super().__init__(
            file,
            maxBytes=max_bytes,
            backupCount=max(1, files - 1),
            encoding="utf-8",
            errors="backslashreplace",
        )

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:
        self.failed += 1


def _answer_of(prediction: Mapping[str, Any]) -> dict[str, Any]:
    if "label" in prediction:
        return {PREDICTED: prediction["label"], "score": prediction["score"]}
    if "value" in prediction:
        return {PREDICTED: prediction["value"]}
    return {PREDICTED: [given["label"] for given in prediction["labels"]]}
