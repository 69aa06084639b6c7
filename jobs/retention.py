"""What is kept and what goes: old jobs with their artefacts, and uploads. A removal that was killed is done again."""

import logging
import re
import shutil
import threading
import time
from collections.abc import Iterable

from jobs import uploads
from jobs.settings import JobsSettings
from jobs.store import QUEUED, RUNNING, Job, Store
from train.artefacts.folder import is_latest

_DAY_S = 24 * 3600.0
_LOOK_EVERY_S = 600.0

log = logging.getLogger("jobs")


class InUseError(Exception):
    """An upload that a job still needs. The message says which."""


class Retention:
    """Removes what nobody needs.

    Whoever lets a job begin again, or an artefact be served, holds `lock` from the look at it to the note.
    """

    def __init__(self, store: Store, settings: JobsSettings) -> None:
        self._store, self._settings = store, settings
        self.lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="retention")

    def start(self) -> None:
        """Remove what is older than `jobs_keep_days`, now and from time to time; nothing if that is not set."""
        if self._settings.jobs_keep_days is not None:
            self._thread.start()

    def stop(self) -> None:
        """End that."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def users(self) -> dict[str, list[Job]]:
        """Return the jobs that name an upload, by the name of each upload."""
        found: dict[str, list[Job]] = {name: [] for name, _ in uploads.listed(self._settings)}
        # Of the path, YAML may quote or break all but this part; and parsing thousands of jobs takes a minute.
        named = re.compile(rf"\b{re.escape(self._settings.uploads_dir.name)}/([A-Za-z0-9._-]+)")
        for job in self._store.all():
            for name in set(named.findall(job.configuration)) & found.keys():
                found[name].append(job)
        return found

    def remove_upload(self, name: str) -> bool:
        """Remove an upload; False if there is none of that name.

        Raises:
            InUseError: A job that waits or runs needs it.
        """
        with self.lock:
            if using := [job.id for job in self.users().get(name, ()) if is_open(job)]:
                raise InUseError(
                    f"{name}: job {using[0]} needs it. Cancel the job, or wait until it has ended."
                )
            return uploads.remove(name, self._settings)

    def sweep(self, now: float) -> None:
        """Remove the jobs and uploads that are too old; a job whose artefact was promoted is kept.

        Args:
            now: Seconds since 1970.
        """
        assert self._settings.jobs_keep_days is not None
        oldest = now - self._settings.jobs_keep_days * _DAY_S
        for job in self._store.ended_before(oldest):
            with self.lock:
                if (current := self._store.get(job.id)) is not None and not is_open(current):
                    self._remove(current)
        with self.lock:
            for name in _unused(self.users().items()):
                if uploads.kept_at(name, self._settings) < oldest:
                    uploads.remove(name, self._settings)
                    log.info("upload %s: removed", name)

    def _remove(self, job: Job) -> None:
        """Remove a job. Its row goes last: until then, another look finds what is left of it."""
        folder = self._settings.jobs_dir.resolve() / job.id
        if job.artefact is not None:
            artefact = self._settings.artefacts_dir.resolve() / job.artefact
            if job.promoted or is_latest(artefact):
                return
            if artefact.is_dir():
                folder.mkdir(exist_ok=True)
                artefact.rename(folder / "removed")  # in one step: nobody loads half of it
        if folder.exists():
            shutil.rmtree(folder)
        self._store.remove(job.id)
        log.info("job %s: removed", job.id)

    def _look(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sweep(time.time())
            except Exception:
                # A folder that cannot be removed, for example. The next look tries again.
                log.exception("what is old cannot be removed")
            self._stopping.wait(_LOOK_EVERY_S)


def is_open(job: Job) -> bool:
    """Return whether a job waits or runs."""
    return job.state in (QUEUED, RUNNING)


def _unused(users: Iterable[tuple[str, list[Job]]]) -> list[str]:
    return [name for name, jobs in users if not jobs]
