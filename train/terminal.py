"""What the commands share: the default configuration file, options, what is printed, and TensorFlow's settings."""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from predict.wording import printable

DEFAULT_CONF = Path("conf/train-conf.yml")


def options(
    *chosen: Callable[[Callable[..., None]], Callable[..., None]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds several options to a command; the last one stands first in its help."""
    return lambda command: reduce(lambda decorated, option: option(decorated), chosen, command)


def console(err: bool = False) -> Console:
    """Return a console that cuts no table short where there is no terminal."""
    width = None if sys.stdout.isatty() else 160
    return Console(stderr=err, width=width, highlight=False, markup=False)


def echo(message: object, err: bool = False) -> None:
    """Print a line in which nothing of the user's acts on the terminal."""
    click.echo(printable(str(message)), err=err)


def plain(text: str, style: str = "") -> Text:
    """Return a text for a table, as it is: brackets are no markup, and control characters are shown."""
    return Text(printable(text), style=style)


class PlainTable(Table):
    """A table without lines, whose headings and cells are shown as they are."""

    def __init__(self) -> None:
        super().__init__(box=None, pad_edge=False)

    def add_column(self, header: RenderableType = "", *rest: Any, **options: Any) -> None:
        """See `Table`."""
        super().add_column(plain(header) if isinstance(header, str) else header, *rest, **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """See `Table`."""
        shown = [plain(cell) if isinstance(cell, str) else cell for cell in cells]
        super().add_row(*shown, **options)


def settle_tensorflow() -> None:
    """Set the environment variables that TensorFlow reads when it is imported."""
    # Nobody needs its notes on CPU features.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN rounds differently from machine to machine, and is no faster for lookups and sums.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc to keep freed memory rather than to return it at once: an epoch takes half the time."""
    # Every step allocates and frees the same few megabytes of gradients, whose pages would be mapped anew.
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # of <malloc.h>
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # macOS and musl have none
        for option, size in (
            (mmap_threshold, 32 << 20),
            (trim_threshold, 1 << 30),
            (top_pad, 64 << 20),
        ):
            mallopt(option, size)
