"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

_PATIENCE_S = 15.0


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until something is true, or fail."""
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.005)
