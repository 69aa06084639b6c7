"""The progress of a run as a waiting person sees it: stages, lines, warnings and bars."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from predict.wording import printable


class Progress(Protocol):
    """The listener to a run: it is told how the run goes."""

    def say(self, text: str) -> None:
        """Show one line."""

    def warn(self, text: str) -> None:
        """Show one line that must not be overlooked."""

    def stage(self, name: str, about: str) -> AbstractContextManager[None]:
        """Announce a stage, which ends with the context."""
        ...

    def bar(self, name: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Give a function that is called once a step, `total` times."""
        ...


class SilentProgress:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """See `Progress`."""

    def warn(self, text: str) -> None:
        """See `Progress`."""

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """See `Progress`."""
        yield

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """See `Progress`."""
        yield lambda: None


class TerminalProgress:
    """Writes to standard error, every line with the time since the start; draws bars on a terminal."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def say(self, text: str) -> None:
        """See `Progress`."""
        click.echo(printable(f"{self._clock()} {text}"), err=True)

    def warn(self, text: str) -> None:
        """See `Progress`."""
        line = printable(f"{self._clock()} WARNING: {text}")
        click.secho(line, err=True, fg="yellow", bold=True)

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """See `Progress`."""
        self.say(f"{name}: {about}")
        yield

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """See `Progress`. Without a terminal there is no bar."""
        if not sys.stderr.isatty():
            yield lambda: None
            return
        columns = (
            TextColumn("          {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(printable(name), total=total)
            yield lambda: bars.advance(task)

    def _clock(self) -> str:
        return f"[{time.perf_counter() - self._started:5.1f} s]"


class Stopwatch:
    """Passes everything on to another progress, and measures how long each stage takes.

    Attributes:
        durations_s: Stage -> seconds, of the stages that have ended.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.durations_s: dict[str, float] = {}
        self.say, self.warn, self.bar = progress.say, progress.warn, progress.bar

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """See `Progress`."""
        started = time.perf_counter()
        with self._progress.stage(name, about):
            yield
        self.durations_s[name] = round(time.perf_counter() - started, 3)
