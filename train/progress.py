"""The progress of a run as a waiting person sees it: stages, lines, warnings and bars."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from predict.wording import printable

# A stage says that it still runs after a silence of the first length, then of twice that, and so on up to the longest.
_FIRST_SILENCE_S, _LONGEST_SILENCE_S = 5.0, 600.0
# How often steps that are counted elsewhere are looked at.
_LOOK_EVERY_S = 0.2
# A shorter time is not worth a word.
_LEAST_TOLD_S = 5.0


class Steps:
    """Steps of about the same length, and how long the rest of them takes at the rate of those that have ended.

    Called, it notes the end of a step, unless `count` counts them.
    """

    def __init__(self, name: str, total: int, count: Callable[[], int] | None = None) -> None:
        """Start the clock.

        Args:
            name: What the steps are, in the plural.
            total: How many there are.
            count: Tells how many have ended. Its clock starts at the first one, because there may be something to
                prepare before it.
        """
        self.name, self.total, self.done = name, total, 0
        self.show: Callable[[int], object] = lambda done: None
        self._count = count
        self._first, self._since = 0, time.perf_counter()
        self._at = self._since

    def __call__(self) -> None:
        """Note the end of a step."""
        self._note(self.done + 1)

    def look(self) -> None:
        """Note what has ended meanwhile, if somebody else counts."""
        if self._count is not None and (done := self._count()) > self.done:
            if not self.done:
                self._first, self._since = done, time.perf_counter()
            self._note(done)

    def left_s(self) -> float | None:
        """Return the seconds that the rest takes at this rate; None if no step has ended, or the last one is late."""
        ended, passed = self.done - self._first, time.perf_counter() - self._since
        if ended < 1:
            return None
        # A step that takes longer than those before it slows the rate down while it runs.
        step_s = max((self._at - self._since) / ended, passed / (ended + 1))
        left = step_s * (self.total - self._first) - passed
        return left if left >= 1 else None

    def left(self) -> str:
        """Return how long the rest takes, to be added to a line; nothing if it is not known or a few seconds."""
        left = self.left_s()
        return "" if left is None or left < _LEAST_TOLD_S else f"; {_to_go(left)}"

    def _note(self, done: int) -> None:
        self.done, self._at = done, time.perf_counter()
        self.show(done)


def each_about(seconds: float) -> str:
    """Return what a fit that is done again took, to be added to a line; nothing if it is not worth a word."""
    return "" if seconds < _LEAST_TOLD_S else f", each {_about(seconds)}"


def _about(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"


def _to_go(seconds: float) -> str:
    return f"{_about(seconds)} to go at this rate"


class Progress(Protocol):
    """The listener to a run: it is told how the run goes."""

    def say(self, text: str) -> None:
        """Show one line."""

    def warn(self, text: str) -> None:
        """Show one line that must not be overlooked."""

    def stage(self, name: str, about: str) -> AbstractContextManager[None]:
        """Announce a stage, which ends with the context."""
        ...

    def bar(
        self, name: str, total: int, count: Callable[[], int] | None = None
    ) -> AbstractContextManager[Steps]:
        """Give the steps of a stage, to be called once a step; with `count`, which tells how many have ended, never."""
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
    def bar(self, name: str, total: int, count: Callable[[], int] | None = None) -> Iterator[Steps]:
        """See `Progress`."""
        yield Steps(name, total, count)


class TerminalProgress:
    """Writes to standard error, every line with the time since the start; draws bars on a terminal.

    A stage that is silent says now and then that it still runs, and how long it takes yet where its steps tell.
    """

    def __init__(self) -> None:
        self._started = self._said_at = time.perf_counter()
        # The innermost is the last.
        self._stages: list[str] = []
        self._steps: list[Steps] = []

    def say(self, text: str) -> None:
        """See `Progress`."""
        self._said_at = time.perf_counter()
        click.echo(printable(f"{self._clock()} {text}"), err=True)

    def warn(self, text: str) -> None:
        """See `Progress`."""
        self._said_at = time.perf_counter()
        line = printable(f"{self._clock()} WARNING: {text}")
        click.secho(line, err=True, fg="yellow", bold=True)

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """See `Progress`."""
        self.say(f"{name}: {about}")
        ended = threading.Event()
        self._stages.append(name)
        arguments = (name, len(self._stages), ended)
        beating = threading.Thread(target=self._beat, args=arguments, name="heartbeat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            self._stages.pop()
            ended.set()
            beating.join()  # so that it says nothing once another stage has begun

    @contextmanager
    def bar(self, name: str, total: int, count: Callable[[], int] | None = None) -> Iterator[Steps]:
        """See `Progress`. Without a terminal there is no bar."""
        steps = Steps(name, total, count)
        self._steps.append(steps)
        try:
            if not sys.stderr.isatty():
                yield steps
                return
            columns = (
                TextColumn("          {task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
                task = bars.add_task(printable(name), total=total)
                steps.show = lambda done: bars.update(task, completed=done)
                yield steps
        finally:
            self._steps.remove(steps)

    def _beat(self, stage: str, depth: int, ended: threading.Event) -> None:
        """Say that a stage still runs, after silences that grow, until it has ended."""
        started, silence_s = time.perf_counter(), _FIRST_SILENCE_S
        while not ended.wait(_LOOK_EVERY_S):
            steps = self._steps[-1] if self._steps else None
            if steps is not None:
                steps.look()
            now = time.perf_counter()
            if len(self._stages) > depth or now - self._said_at < silence_s:
                continue
            silence_s = min(2 * silence_s, _LONGEST_SILENCE_S)
            if steps is not None and sys.stderr.isatty():
                continue  # the bar moves
            with suppress(OSError, ValueError):  # nobody reads any more, which the stage finds out
                self.say(f"{stage}: {now - started:.0f} s so far{_how_far(steps)}")

    def _clock(self) -> str:
        return f"[{time.perf_counter() - self._started:5.1f} s]"


def _how_far(steps: Steps | None) -> str:
    if steps is None:
        return ""
    left = steps.left_s()
    done = f"; {steps.done:,} of {steps.total:,} {steps.name}"
    return done if left is None else f"{done}, {_to_go(left)}"


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
