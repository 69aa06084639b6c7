"""Write the artefact, whole or not at all, and prove that what will be served equals what was trained."""

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.artefact import FORMAT_VERSION, METADATA, serialise_metadata, sha256_of
from predict.predictor import Predictor
from train.errors import UserError

LATEST = "latest"
# How far an exported model's probabilities may be from the trained one's.
TOLERANCE = 1e-5
_UNFINISHED = ".unfinished-"
_ABANDONED_AFTER_S = 3600.0


class ExportError(UserError):
    """The artefact could not be written, or does not answer as the trained model does."""


def prepare_artefacts_dir(artefacts_dir: Path) -> None:
    """Make the folder that artefacts go to, show that it can be written, and remove what killed runs left.

    Raises:
        ExportError: It cannot be written; better known before training than after.
    """
    with _as_export_error(artefacts_dir):
        artefacts_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=artefacts_dir):
            pass
        for left in artefacts_dir.glob(f"{_UNFINISHED}*"):
            # A run that is writing now has a fresh folder: only old ones are abandoned.
            if time.time() - left.lstat().st_mtime > _ABANDONED_AFTER_S:
                left.unlink() if left.is_symlink() else shutil.rmtree(left)


def write_artefact(
    artefacts_dir: Path,
    write_files: Callable[[Path], None],
    metadata: Mapping[str, Any],
    verify: Callable[[Predictor], None],
) -> Path:
    """Write an artefact directory, or nothing.

    It is written to a hidden sibling, synced, loaded and asked as a server would; only then does it get
    its name, and only then does `latest` move.

    Args:
        artefacts_dir: Where it goes.
        write_files: Writes every file but the metadata into the folder it is given.
        metadata: All but `format_version`, `name`, `created_at`, `files` and `checksum`.
        verify: Raises ExportError unless the loaded predictor answers as it should.

    Returns:
        The directory, `<artefacts_dir>/<YYYY-MM-DD-HH-MM-SS>` (UTC).

    Raises:
        ExportError: It cannot be written, or `verify` refused it.
        ArtefactError: It cannot be loaded.
    """
    with _as_export_error(artefacts_dir), _unfinished_dir(artefacts_dir) as directory:
        write_files(directory)
        created_at = datetime.now(UTC)
        files = {file.name: sha256_of(file) for file in sorted(directory.iterdir())}
        for final in _free_names(artefacts_dir, created_at):
            content = {
                "format_version": FORMAT_VERSION,
                "name": final.name,
                "created_at": created_at.isoformat(timespec="seconds"),
                **metadata,
                "files": files,
            }
            (directory / METADATA).write_bytes(serialise_metadata(content))
            verify(Predictor.load(directory))
            _sync(directory)
            if _rename(directory, final):
                break
        _sync_directory(artefacts_dir)
    _point_latest_at(final)
    return final


def check_equal(trained: npt.NDArray[np.float64], served: npt.NDArray[np.float64]) -> float:
    """Return the largest difference between two <float64>[num_rows, num_outputs] arrays.

    Raises:
        ExportError: It is above `TOLERANCE`.
    """
    difference = float(np.abs(trained - served).max())
    if not difference <= TOLERANCE:  # also when it is not a number
        raise ExportError(
            f"the exported model differs from the trained one by {difference:.2e} on the test set, "
            f"at most {TOLERANCE:.0e} is allowed. No artefact was written; please report this configuration."
        )
    return difference


def golden_examples(
    instances: Sequence[Mapping[str, Any]], answers: npt.NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Pair instances with the trained model's answers, for every later load to replay."""
    return [
        {"instance": dict(instance), "answer": [round(value, 8) for value in answer]}
        for instance, answer in zip(instances, answers.tolist(), strict=True)
    ]


def write_json(file: Path, content: object) -> None:
    """Write JSON for people: indented, and with every character readable."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _unfinished_dir(artefacts_dir: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=artefacts_dir))
    directory.chmod(0o755)  # mkdtemp gives it to its owner alone; a server may run as somebody else
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # gone already when all went well


def _free_names(artefacts_dir: Path, created_at: datetime) -> Iterator[Path]:
    """Yield names for this second that nobody has taken yet; another run may take one before us."""
    stamp = created_at.strftime("%Y-%m-%d-%H-%M-%S")
    for attempt in count(1):
        final = artefacts_dir / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        if not final.exists():
            yield final


def _rename(directory: Path, final: Path) -> bool:
    try:
        directory.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _sync(directory: Path) -> None:
    for file in directory.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point_latest_at(artefact: Path) -> None:
    link = artefact.parent / LATEST
    unfinished = artefact.parent / f"{_UNFINISHED}{artefact.name}-{LATEST}"
    with _as_export_error(link):
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(artefact.name)
        unfinished.replace(link)
        _sync_directory(artefact.parent)


@contextmanager
def _as_export_error(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{error.filename or place}: cannot be written: {error.strerror or error}. "
            "Free some space, or set artefacts_dir to a folder that can be written."
        ) from None
