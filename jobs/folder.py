"""The folder of a job: its configuration, log, progress and lock, and the artefact until it is published."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.progress import forget
from predict.contract.artefact import METADATA, serialise_metadata
from predict.contract.files import sync_directory
from predict.settings import SettingsError
from train.artefacts import folder as artefacts
from train.artefacts.folder import LATEST, UNFINISHED

_LOG, _PROBLEMS, _LOCK = "log.txt", "problems.json", "lock"
_LOOK_EVERY_S = 0.05
_MOST_LATE_S = 30.0
_LEFT_OUT = b"[... earlier lines are left out ...]\n"


@dataclass(frozen=True)
class Folder:
    """The folder of one job."""

    path: Path

    @property
    def configuration(self) -> Path:
        """What is trained."""
        return self.path / "train-conf.yml"

    @property
    def artefacts(self) -> Path:
        """Where the artefact is written."""
        return self.path / "artefacts"

    def begin(self, configuration: str) -> None:
        """Make it ready for an attempt; nothing of one before is left."""
        self.path.mkdir(exist_ok=True)
        self.tidy()
        forget(self.path)
        for name in (_LOG, _PROBLEMS):
            (self.path / name).unlink(missing_ok=True)
        self.configuration.write_text(configuration, encoding="utf-8")

    def tidy(self) -> None:
        """Remove an artefact that is not, or not yet, published."""
        shutil.rmtree(self.artefacts, ignore_errors=True)

    # ---------------------------------------------------------------- the lock

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the lock. The process of the job inherits its descriptor, and holds it until it has ended."""
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def end_orphans(self, grace_s: float) -> None:
        """End what still runs of a job whose server is gone, and wait for it.

        Its processes notice by themselves; after the time that they have for that, they are killed.

        Raises:
            SettingsError: They cannot be ended.
        """
        ends = time.monotonic() + grace_s
        while self._is_locked():
            # The group's number is not given to others while a process of it lives, which the lock tells.
            if (pid := self._pid()) is not None:
                late = time.monotonic() > ends
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL if late else signal.SIGTERM)
            if time.monotonic() > ends + _MOST_LATE_S:
                raise SettingsError(
                    f"{self.path}: a process of this job (group {pid}) cannot be ended. End it, then start again."
                )
            time.sleep(_LOOK_EVERY_S)

    def _is_locked(self) -> bool:
        try:
            with self.locked():
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:  # it never began
            return False

    def _pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int((self.path / _LOCK).read_text())
        return None

    # ---------------------------------------------------------------- the log

    def note_problems(self, problems: list[str]) -> None:
        """Keep what keeps the configuration from being trained."""
        (self.path / _PROBLEMS).write_text(json.dumps(problems), encoding="utf-8")

    def problems(self) -> list[str]:
        """Return what `note_problems` has kept."""
        with suppress(OSError, ValueError):
            problems: list[str] = json.loads((self.path / _PROBLEMS).read_bytes())
            return problems
        return []

    def add_to_log(self, output: bytes, most: int) -> None:
        """Keep what a job has printed; beyond `most` bytes only the end of it."""
        log = self.path / _LOG
        with log.open("ab") as file:
            file.write(output)
            size = file.tell()
        if size > most:
            kept = log.read_bytes()[-most // 2 :]
            beside = log.with_suffix(".new")
            beside.write_bytes(_LEFT_OUT + kept.partition(b"\n")[2])
            beside.replace(log)

    def log(self) -> str:
        """Return what is kept of what the job has printed."""
        with suppress(OSError):
            return (self.path / _LOG).read_text(encoding="utf-8", errors="replace")
        return ""

    # ----------------------------------------------------------- the artefact

    def artefact(self) -> Path | None:
        """Return the artefact that is written here, whole and not yet published; None if there is none."""
        entries = self.artefacts.iterdir() if self.artefacts.is_dir() else ()
        whole = [
            path
            for path in entries
            if path.name != LATEST and not path.name.startswith(UNFINISHED) and path.is_dir()
        ]
        return whole[0] if whole else None


def names_for(artefact: Path, artefacts_dir: Path) -> Iterator[Path]:
    """Yield the paths that an artefact may be published at, the one that it is named after first."""
    created_at = datetime.fromisoformat(metadata_of(artefact)["created_at"])
    yield from artefacts.free_names(artefacts_dir, created_at)


def publish(artefact: Path, target: Path) -> bool:
    """Move an artefact to where it is found and served, in one step; False if somebody took the name meanwhile."""
    metadata = metadata_of(artefact)
    if metadata["name"] != target.name:
        del metadata["checksum"]
        content = serialise_metadata(metadata | {"name": target.name})
        beside = artefact.with_name(f"{UNFINISHED}{METADATA}")
        beside.write_bytes(content)
        beside.replace(artefact / METADATA)
    try:
        artefact.rename(target)
    except OSError:
        if target.exists():
            return False
        raise
    sync_directory(target.parent)
    return True


def metadata_of(artefact: Path) -> dict[str, Any]:
    """Return the metadata of an artefact."""
    content: dict[str, Any] = json.loads((artefact / METADATA).read_bytes())
    return content
