"""How far a run is: a bar on a terminal, and elsewhere a line now and then."""

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

from predict.batch.opening import Source
from predict.wording import counted, printable

_BETWEEN_LINES_S = 10.0
_BETWEEN_LOOKS_S = 0.2


class Progress:
    """Rows a second, and an estimate of what is left, by the bytes that were read."""

    def __init__(self, source: Source) -> None:
        self._source, self._size = source, source.size
        self._started = self._told = self._looked = time.monotonic()
        self._rows = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Show a bar if anybody can see one."""
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=self._size or None,
                label=printable(self._source.shown),
                show_pos=False,
                item_show_func=lambda _: self._speed(),
                file=sys.stderr,
            ).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._started

    def add(self, rows: int) -> None:
        """Count rows that were written."""
        self._rows += rows
        now = time.monotonic()
        if self._bar is not None:
            if now - self._looked >= _BETWEEN_LOOKS_S:
                self._looked = now
                self._bar.update(self._source.position - self._bar.pos, current_item=True)
        elif now - self._told >= _BETWEEN_LINES_S:
            self._told = now
            click.echo(f"{counted(self._rows, 'row')}, {self._speed()}{self._left()}", err=True)

    def _speed(self) -> str:
        return f"{self._rows / max(self.seconds, 1e-9):,.0f} rows a second"

    def _left(self) -> str:
        position = self._source.position
        if not self._size or not position:
            return ""
        share = min(1.0, position / self._size)
        left = self.seconds * (1 - share) / share
        return f", {share:.0%} of the file, about {left:,.0f} s left"
