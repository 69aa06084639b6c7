"""Tells a person who waits what is going on: stages with their times, bars where a terminal looks on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """Writes to standard error unless it is silent, and remembers how long each stage took.

    Attributes:
        durations_s: Stage -> seconds.
    """

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent
        self.durations_s: dict[str, float] = {}
        self._started = time.perf_counter()

    def say(self, text: str) -> None:
        """Write one line, with the time since the start before it."""
        if self._silent:
            return
        click.echo(f"[{time.perf_counter() - self._started:5.1f} s] {text}", err=True)

    def warn(self, text: str) -> None:
        """Write one line that must not be overlooked."""
        if self._silent:
            return
        click.secho(
            f"[{time.perf_counter() - self._started:5.1f} s] WARNING: {text}",
            err=True,
            fg="yellow",
            bold=True,
        )

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """Announce a stage and time it."""
        self.say(f"{name}: {about}")
        started = time.perf_counter()
        yield
        self.durations_s[name] = round(time.perf_counter() - started, 3)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """Give a function that advances a bar by one step; without a terminal it does nothing."""
        if self._silent or not sys.stderr.isatty():
            yield lambda: None
            return
        columns = (
            TextColumn("          {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(name, total=total)
            yield lambda: bars.advance(task)
