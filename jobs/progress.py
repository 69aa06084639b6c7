"""How far a job is: written by its process into a file of the job's folder, read by the server."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from train.progress import Steps, TerminalProgress

_FILE = "progress.json"


class NotedProgress(TerminalProgress):
    """Says on standard error what a terminal would show, and knows how far the run is."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / _FILE
        self._current: list[tuple[str, str]] = []
        self._bars: list[Steps] = []
        self._written = ""

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """See `Progress`."""
        with super().stage(name, about):
            self._current.append((name, about))
            try:
                yield
            finally:
                self._current.pop()

    @contextmanager
    def bar(self, name: str, total: int, count: Callable[[], int] | None = None) -> Iterator[Steps]:
        """See `Progress`."""
        with super().bar(name, total, count) as steps:
            self._bars.append(steps)
            try:
                yield steps
            finally:
                self._bars.remove(steps)

    def note(self) -> None:
        """Write how far the run is, if that has changed."""
        content: dict[str, Any] = {}
        # Another thread runs: what it has ended meanwhile is not there any more.
        with suppress(IndexError):
            content["stage"], content["about"] = self._current[-1]
        with suppress(IndexError):
            steps = self._bars[-1]
            steps.look()
            left_s = steps.left_s()
            content["steps"] = {
                "name": steps.name,
                "done": steps.done,
                "total": steps.total,
                "left_s": None if left_s is None else round(left_s),
            }
        if (text := json.dumps(content)) != self._written:
            self._written = text
            beside = self._file.with_suffix(".new")
            beside.write_text(text, encoding="utf-8")
            beside.replace(self._file)


def read_progress(folder: Path) -> dict[str, Any] | None:
    """Return the stage of a job, what it is about, and its steps; None if nothing is known yet."""
    try:
        content: dict[str, Any] = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return content


def forget(folder: Path) -> None:
    """Remove what an attempt before has left."""
    (folder / _FILE).unlink(missing_ok=True)
