"""The slots in which jobs run, each job in a process of its own; and what becomes of a job when that has ended."""

import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from jobs import folder as folders
from jobs.folder import Folder
from jobs.settings import JobsSettings
from jobs.store import CANCELLED, FAILED, INTERRUPTED, SUCCEEDED, Job, Outcome, Store
from train.artefacts.folder import is_latest, point_latest_at
from train.errors import UserError

PASSED_OR_NONE = ("passed", None)
_LOOK_EVERY_S = 0.2
_READ_BYTES = 1 << 16
# A job that an end of the server interrupted twice may be what ends it.
_MOST_ATTEMPTS = 2

log = logging.getLogger("jobs")


class Slots:
    """Runs the jobs of a store, as many at a time as there are slots."""

    def __init__(self, store: Store, settings: JobsSettings) -> None:
        self._store, self._settings = store, settings
        self._stopping, self._work = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name=f"slot {number}")
            for number in range(1, settings.jobs_slots + 1)
        ]

    def folder_of(self, job: Job) -> Folder:
        """Return the folder of a job."""
        return Folder(self._settings.jobs_dir.resolve() / job.id)

    def start(self) -> None:
        """Settle what a server before has left, then run what waits."""
        for job in self._store.running():
            self.settle_interrupted(job)
        for thread in self._threads:
            thread.start()

    def settle_interrupted(self, job: Job) -> None:
        """End what still runs of a job whose server was killed, and go on where that was.

        Raises:
            SettingsError: It cannot be ended.
        """
        self.folder_of(job).end_orphans(self._settings.job_grace_s)
        self._settle(job, Outcome(INTERRUPTED, "The server ended while the job ran."))

    def wake(self) -> None:
        """Let a slot look for a job at once."""
        self._work.set()

    def stop(self) -> None:
        """End the jobs that run, which are interrupted then, and wait for them."""
        self._stopping.set()
        self._work.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def promote(self, job: Job) -> bool:
        """Let `latest` lead to the artefact of a job; False if it leads to a newer one, which it keeps.

        Raises:
            FolderError: The link cannot be written.
        """
        assert job.artefact is not None
        artefact = self._settings.artefacts_dir / job.artefact
        self._store.note_promoted(job.id)
        point_latest_at(artefact)
        return is_latest(artefact)

    # ------------------------------------------------------------------ a slot

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._store.claim()
                if job is not None:
                    log.info("job %s: begins: %s", job.id, job.name)
                    self._settle(job, self._run(job, self.folder_of(job)))
                    continue
            except Exception:
                # A full disk, for example. The slot goes on: the job is settled by the next start at the latest.
                log.exception("a slot has failed")
                self._stopping.wait(1.0)
            self._work.wait(1.0)
            self._work.clear()

    def _run(self, job: Job, folder: Folder) -> Outcome:
        """Run a job in a process of its own, and return how that ended."""
        try:
            folder.begin(job.configuration)
            with folder.locked() as lock:
                process = self._start(job, folder, lock)
        except OSError as error:
            return Outcome(FAILED, f"The job could not be started: {error}.")
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            ended = self._follow(job, folder, process, process.stdout)
        return ended or _outcome_of(process.returncode, folder)

    def _start(self, job: Job, folder: Folder, lock: int) -> subprocess.Popen[bytes]:
        runs_code = "code" if job.runs_code else "no code"
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "jobs.child", str(folder.path), str(lock)),
                *(str(self._settings.job_grace_s), runs_code),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=(lock,),
            start_new_session=True,
            # No key of this service is a job's business.
            env={key: value for key, value in os.environ.items() if not key.startswith("API_KEYS")},
        )

    def _follow(
        self, job: Job, folder: Folder, process: subprocess.Popen[bytes], output: IO[bytes]
    ) -> Outcome | None:
        """Keep what a process prints until it has ended; return why it was ended, if it was."""
        deadline = time.monotonic() + self._settings.job_timeout_s
        ended: Outcome | None = None
        kill_at = None
        while process.poll() is None:
            self._keep_output(folder, output, _LOOK_EVERY_S)
            if ended is None and (ended := self._why_end(job, deadline)):
                kill_at = time.monotonic() + self._settings.job_grace_s
                _signal_group(process.pid, signal.SIGTERM)
            if kill_at is not None and time.monotonic() > kill_at:
                _signal_group(process.pid, signal.SIGKILL)
        # What it has started has no business without it.
        _signal_group(process.pid, signal.SIGKILL)
        while self._keep_output(folder, output, 0):
            pass
        return ended

    def _why_end(self, job: Job, deadline: float) -> Outcome | None:
        if self._stopping.is_set():
            return Outcome(INTERRUPTED, "The server was stopped while the job ran.")
        if (now := self._store.get(job.id)) is not None and now.cancelling:
            return Outcome(CANCELLED, "Somebody cancelled it.")
        if time.monotonic() > deadline:
            limit = f"{self._settings.job_timeout_s:,g} s (JOB_TIMEOUT_S)"
            return Outcome(FAILED, f"It was not done within {limit}.")
        return None

    def _keep_output(self, folder: Folder, output: IO[bytes], wait_s: float) -> bool:
        """Keep some of what a job has printed; return whether there was any."""
        if not select.select([output], [], [], wait_s)[0]:
            return False
        if not (some := output.read(_READ_BYTES)):  # it has closed its end
            time.sleep(wait_s)
            return False
        with suppress(OSError):  # a full disk costs the log, not the job
            folder.add_to_log(some, self._settings.job_log_bytes)
        return True

    # ------------------------------------------------------------- the outcome

    def _settle(self, job: Job, ended: Outcome) -> None:
        """Publish the artefact of a job, if it has one that is wanted, and keep how it ended.

        It can be done again after a kill at any moment, and then goes on where it was.
        """
        folder, now = self.folder_of(job), self._store.get(job.id) or job
        artefact = self._published(now, folder)
        if artefact is None and now.cancelling:
            ended = Outcome(CANCELLED, "Somebody cancelled it.")
        elif artefact is None:
            artefact = self._publish(now, folder)
        if artefact is not None:
            metadata = folders.metadata_of(artefact)
            gate, metrics = metadata.get("gate"), metadata["metrics"]
            why = self._promoted(job, artefact) if job.promote and gate in PASSED_OR_NONE else None
            ended = Outcome(SUCCEEDED, why, artefact.name, gate, metrics)
        elif ended.state == SUCCEEDED:
            ended = Outcome(FAILED, "It ended without an artefact; its log may say why.")
        folder.tidy()
        self._store.finish(job.id, ended)
        log.info("job %s: %s", job.id, ended.state)
        again = ended.state == INTERRUPTED and self._settings.retry_interrupted
        if again and job.attempts < _MOST_ATTEMPTS:
            self._store.retry(job.id, sys.maxsize)

    def _published(self, job: Job, folder: Folder) -> Path | None:
        """Return where the artefact of a job is, if it was published before a kill; None if it was not."""
        if job.artefact is None or folder.artefact() is not None:
            return None
        published = self._settings.artefacts_dir / job.artefact
        return published if published.is_dir() else None

    def _publish(self, job: Job, folder: Folder) -> Path | None:
        """Move the artefact of a job to the others, and return where it is; None if there is none."""
        if (artefact := folder.artefact()) is None:
            return None
        for target in folders.names_for(artefact, self._settings.artefacts_dir):
            # Noted before it is moved: after a kill in between, one look tells whether it was.
            self._store.note_artefact(job.id, target.name)
            if folders.publish(artefact, target):
                return target
        raise AssertionError  # there is always another name

    def _promoted(self, job: Job, artefact: Path) -> str | None:
        self._store.note_promoted(job.id)
        try:
            point_latest_at(artefact)
        except UserError as error:
            return f"`latest` could not be moved: {error}"
        return None if is_latest(artefact) else "`latest` leads to a newer artefact, and stays."


def _outcome_of(code: int, folder: Folder) -> Outcome:
    if code == 0:
        return Outcome(SUCCEEDED)
    if problems := folder.problems():
        return Outcome(FAILED, "\n".join(problems))
    if code < 0:
        why = f"Its process was killed ({signal.Signals(-code).name})."
        memory = (
            " Perhaps the memory of the machine was used up." if code == -signal.SIGKILL else ""
        )
        return Outcome(FAILED, why + memory)
    return Outcome(FAILED, f"Its process ended with exit code {code}; its log may say why.")


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
