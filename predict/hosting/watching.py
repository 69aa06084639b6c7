"""The watcher: looks now and then whether the configuration names other artefacts than before."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from predict.settings import Settings, SettingsError

log = logging.getLogger("predict")


class Watcher:
    """A thread that looks at the settings, and lets models follow them, while it is started."""

    def __init__(
        self,
        follow: Callable[[Settings, bool], object],
        read: Callable[[], Settings],
        every_s: float,
    ) -> None:
        """Prepare it.

        Args:
            follow: Is told the settings, and whether to try again what was refused.
            read: Reads the settings again; may raise SettingsError, which is logged once.
            every_s: How long to wait between two looks; 0 to look only when woken.
        """
        self._follow, self._read = follow, read
        self._every_s = every_s or None
        self._last_problem: str | None = None
        # Unlike an event, it may be used in the handler of a signal.
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once, and try again what was refused; safe in a signal handler."""
        self._wakes.put(True)

    def stop(self) -> None:
        """Look no more; a model that is being loaded is not waited for."""
        self._wakes.put(False)

    def _run(self) -> None:
        while True:
            try:
                woken = self._wakes.get(timeout=self._every_s)
            except Empty:
                self.look(retry=False)
            else:
                if not woken:
                    return
                self.look(retry=True)

    def look(self, retry: bool = False) -> None:
        """Read the settings, and follow them."""
        try:
            settings = self._read()
        except SettingsError as error:
            if retry or str(error) != self._last_problem:
                log.warning("the configuration cannot be used, so the old one stays: %s", error)
            self._last_problem = str(error)
            return
        self._last_problem = None
        try:
            self._follow(settings, retry)
        except Exception:  # whoever watches must go on
            log.exception("the configuration could not be followed")


@contextmanager
def following(
    follow: Callable[[Settings, bool], object], read: Callable[[], Settings], every_s: float
) -> Iterator[Watcher]:
    """Watch during the context; see `Watcher`."""
    watcher = Watcher(follow, read, every_s)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
