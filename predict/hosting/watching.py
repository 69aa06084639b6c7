"""The watcher: looks now and then whether the configuration names other artefacts than before."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from predict.hosting.models import Models
from predict.settings import SettingsError

log = logging.getLogger("predict")


class Watcher:
    """A thread that lets models follow their places, while it is started."""

    def __init__(
        self, models: Models, read_places: Callable[[], Mapping[str, Path]], every_s: float
    ) -> None:
        """Prepare it.

        Args:
            models: Are told to follow.
            read_places: Reads the configuration again; may raise SettingsError, which is logged once.
            every_s: How long to wait between two looks; 0 to look only when woken.
        """
        self._models, self._read_places = models, read_places
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
                self._look(retry=False)
            else:
                if not woken:
                    return
                self._look(retry=True)

    def _look(self, retry: bool) -> None:
        try:
            places = self._read_places()
        except SettingsError as error:
            if retry or str(error) != self._last_problem:
                log.warning("the configuration cannot be used, so the old one stays: %s", error)
            self._last_problem = str(error)
            return
        self._last_problem = None
        self._models.follow(places, retry)


@contextmanager
def following(
    models: Models, read_places: Callable[[], Mapping[str, Path]], every_s: float
) -> Iterator[Watcher]:
    """Let models follow their places during the context; see `Watcher`."""
    watcher = Watcher(models, read_places, every_s)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
