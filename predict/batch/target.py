"""The files that are written: beside their names, renamed at the end, and continued after an end that came early."""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from predict.batch.errors import BatchError, as_batch_error
from predict.batch.evaluation import Sums, added
from predict.batch.parquet import ParquetFile
from predict.batch.scoring import Scored
from predict.wording import counted, listed

_PARTIAL, _STATE, _ERRORS = ".partial", ".partial.state", ".errors.jsonl"
# How often the state is written; what came after it is done again by the next run.
_BETWEEN_STATES_S = 1.0


@dataclass
class Done:
    """What has been done so far, as the state on the disk has it.

    Attributes:
        identity: What must be the same for a run to be continued: a name -> its value.
        chunks: How many.
        rows: How many, and `failed` of them.
        output_bytes: How many, and `error_bytes` of the other file.
        sums: What is measured.
        is_whole: Whether nothing is left but to rename the files.
    """

    identity: dict[str, Any] = field(default_factory=dict)
    chunks: int = 0
    rows: int = 0
    failed: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    sums: Sums = field(default_factory=dict)
    is_whole: bool = False

    def add(self, scored: Scored) -> None:
        """Count a chunk in."""
        self.chunks += 1
        self.rows += scored.rows
        self.failed += scored.failed
        self.output_bytes += len(scored.output)
        self.error_bytes += len(scored.errors)
        if scored.sums:
            self.sums = added(self.sums, scored.sums)


class Target(Protocol):
    """Where answers go."""

    done: Done

    def write_header(self, header: bytes) -> None:
        """Write what comes before the first row."""
        ...

    def write(self, scored: Scored) -> None:
        """Write a chunk."""
        ...

    def finish(self) -> None:
        """Make whole what was written."""
        ...

    def leave(self) -> str:
        """Tidy up after a run that ends early; return what a message says of what is left."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class StreamTarget:
    """Answers that go down a pipe. Lines about bad rows go to a file, or to standard error."""

    def __init__(self, errors: Path | None) -> None:
        self.done = Done()
        self._output = FileIO(1, "wb", closefd=False)
        with as_batch_error(errors, "written"):
            self._errors = (
                FileIO(2, "wb", closefd=False) if errors is None else FileIO(errors, "wb")
            )

    def write_header(self, header: bytes) -> None:
        """See `Target`."""
        self._write(self._output, header)

    def write(self, scored: Scored) -> None:
        """See `Target`."""
        self._write(self._output, scored.output)
        self._write(self._errors, scored.errors)
        self.done.add(scored)

    def finish(self) -> None:
        """See `Target`."""

    def leave(self) -> str:
        """See `Target`."""
        return ""

    def close(self) -> None:
        """See `Target`."""
        self._output.close()
        self._errors.close()

    def _write(self, file: FileIO, content: bytes) -> None:
        with as_batch_error("standard output", "written"):
            write_all(file, content)


class FileTarget:
    """A file and the file of its bad rows, both written under other names until they are whole."""

    def __init__(
        self, output: Path, errors: Path | None, identity: Mapping[str, Any] | None
    ) -> None:
        """Name the files; nothing is written yet.

        Args:
            output: The file; a link is followed.
            errors: That of bad rows; None: beside it.
            identity: What must be the same for a run to be continued; None: no run can be continued.
        """
        self.path = Path(os.path.realpath(output))
        self.errors_path = errors or output.with_name(output.name + _ERRORS)
        self._partial = _beside(self.path, _PARTIAL)
        self._partial_errors = _beside(self.errors_path, _PARTIAL)
        self._state = _beside(self.path, _STATE)
        self._shown, self._identity = output, identity
        self.done = Done(identity=dict(identity or {}))
        self._written_at = time.monotonic()
        self._output: FileIO | None = None
        self._errors: FileIO | None = None

    @property
    def paths(self) -> list[Path]:
        """Every file that is written, for a while or for good."""
        return [self.path, self.errors_path, self._partial, self._partial_errors, self._state]

    def open(self, resume: bool, overwrite: bool) -> None:
        """Open the files, anew or where the last run ended.

        Raises:
            BatchError: One exists and is not to be replaced, cannot be written, or is being written by another run; or
                the last run was of something else.
        """
        self._refuse_other_kinds()
        state = self._read_state() if resume else None
        if not overwrite and state is None:
            self._refuse_existing()
        if state is not None and state.is_whole:
            self.done = state
            self._rename()
            return
        with as_batch_error(self._shown, "written"):
            self._output = _opened(self._partial)
            try:
                fcntl.flock(self._output, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BatchError(f"{self._shown}: another run is writing it.") from None
        with as_batch_error(self.errors_path, "written"):
            self._errors = _opened(self._partial_errors)
        if state is None:
            self._state.unlink(missing_ok=True)
        else:
            self.done = state
        self._cut(self._output, self.done.output_bytes)
        self._cut(self._errors, self.done.error_bytes)

    def write_header(self, header: bytes) -> None:
        """See `Target`."""
        self._write(self._output, header, self._shown)
        self.done.output_bytes += len(header)

    def write(self, scored: Scored) -> None:
        """See `Target`. Now and then it writes the state, too."""
        self._write_rows(scored.output)
        self._write(self._errors, scored.errors, self.errors_path)
        self.done.add(scored)
        if self._identity is not None and time.monotonic() - self._written_at >= _BETWEEN_STATES_S:
            self._write_state()

    def finish(self) -> None:
        """See `Target`. Both files get their names."""
        if self.done.is_whole:  # the last run has done it
            return
        self.done.is_whole = True
        self._write_state()
        self._rename()

    def leave(self) -> str:
        """See `Target`. What can be continued stays."""
        if self._output is None:
            return ""
        if self._identity is not None and self.done.chunks:
            with suppress(BatchError):  # of a full disk; the state before it holds
                self._write_state()
            if self._state.exists():
                return f" {counted(self.done.rows, 'row')} are done; --resume goes on from there."
        for path in (self._partial, self._partial_errors, self._state):
            path.unlink(missing_ok=True)
        return ""

    def close(self) -> None:
        """See `Target`."""
        for file in (self._output, self._errors):
            if file is not None:
                file.close()

    def _write_rows(self, content: bytes) -> None:
        self._write(self._output, content, self._shown)

    def _write(self, file: FileIO | None, content: bytes, shown: Path) -> None:
        assert file is not None  # it has been opened
        with as_batch_error(shown, "written"):
            write_all(file, content)

    def _cut(self, file: FileIO, size: int) -> None:
        if os.fstat(file.fileno()).st_size < size:
            raise BatchError(
                f"{self._partial}: shorter than the last run left it, so it cannot be continued. "
                "Start again without --resume."
            )
        with as_batch_error(self._shown, "written"):
            file.truncate(size)
            file.seek(size)

    def _rename(self) -> None:
        """Give the files their names, as far as that has not been done."""
        with as_batch_error(self._shown, "written"):
            if not self.done.failed:
                self._partial_errors.unlink(missing_ok=True)
                self.errors_path.unlink(missing_ok=True)  # of an earlier run
            elif self._partial_errors.exists():
                os.replace(self._partial_errors, self.errors_path)
            if self._partial.exists() or not self.path.exists():
                os.replace(self._partial, self.path)
            self._state.unlink(missing_ok=True)
            sync_directory(self.path.parent)

    def _write_state(self) -> None:
        """Write how far the files are whole, once they are on the disk."""
        assert self._output is not None  # they have been opened
        assert self._errors is not None
        temporary = _beside(self._state, ".new")
        with as_batch_error(self._shown, "written"):
            os.fsync(self._output.fileno())
            os.fsync(self._errors.fileno())
            try:
                with FileIO(temporary, "wb") as file:
                    write_all(file, json.dumps(asdict(self.done)).encode())
                    os.fsync(file.fileno())
                os.replace(temporary, self._state)
            finally:
                temporary.unlink(missing_ok=True)
        self._written_at = time.monotonic()

    def _read_state(self) -> Done | None:
        """Return what the last run left, if it was of the same; None if there is none."""
        try:
            state = Done(**json.loads(self._state.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise BatchError(
                f"{self._state}: not what a run leaves ({error}). Start again without --resume."
            ) from None
        now = json.loads(json.dumps(self._identity))
        changed = [name for name in now if now[name] != state.identity.get(name)]
        if changed:
            raise BatchError(
                f"{self._shown}: cannot be continued: since the last run, {listed(changed)} changed. "
                "Put that back, or start again without --resume."
            )
        return state

    def _refuse_other_kinds(self) -> None:
        if self.path.is_dir():
            raise BatchError(f"{self._shown}: a directory. Name a file in it.")
        if self.path.exists() and not self.path.is_file():
            raise BatchError(f"{self._shown}: not a regular file. Write to - and redirect that.")

    def _refuse_existing(self) -> None:
        existing = [str(path) for path in (self._shown, self.errors_path) if path.exists()]
        if existing:
            verb = "exists" if len(existing) == 1 else "exist"
            raise BatchError(
                f"{' and '.join(existing)} {verb}. Name another file, or replace it with --overwrite."
            )


class ParquetTarget(FileTarget):
    """A Parquet file. Its end says where everything is, so that a run cannot be continued."""

    _parquet: ParquetFile | None = None

    def write_header(self, header: bytes) -> None:
        """See `Target`."""
        self._parquet = ParquetFile(self._partial, self._shown)

    def finish(self) -> None:
        """See `Target`."""
        assert self._parquet is not None  # a header comes first
        self._parquet.close()
        super().finish()

    def close(self) -> None:
        """See `Target`."""
        if self._parquet is not None:
            self._parquet.abandon()
        super().close()

    def _write_rows(self, content: bytes) -> None:
        assert self._parquet is not None  # a header comes first
        self._parquet.write(content)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _opened(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")


def write_all(file: FileIO, content: bytes) -> None:
    """Write every byte; raise OSError if that fails."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def sync_directory(directory: Path) -> None:
    """See that names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
