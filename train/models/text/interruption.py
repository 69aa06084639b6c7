"""Signals, held back while TensorFlow runs: an exception in the wrong place crashes or blocks it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_deferred() -> Iterator[Callable[[], None]]:
    """Hold SIGINT and SIGTERM back until the block ends, or until the function it gives is called.

    Python runs a signal's handler between any two steps, also within TensorFlow's calls back into Python. There, an
    exception was seen to end in a segmentation fault, or to be lost.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers can only be set there
        yield lambda: None
        return
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in _NUMBERS
    }

    def deliver() -> None:
        if received:
            restore()
            signal.raise_signal(received.pop())

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    try:
        yield deliver
    finally:
        restore()
    deliver()
