"""Write the artefact, whole or not at all, and prove that what will be served equals what was trained."""

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from predict.contract.artefact import (
    FORMAT_VERSION,
    METADATA,
    Artefact,
    ArtefactError,
    Metadata,
    serialise_metadata,
    sha256_of,
)
from predict.scoring.predictor import Predictor
from train.errors import UserError
from train.models.family import Outputs, Tolerance

LATEST = "latest"
_UNFINISHED = ".unfinished-"
_ABANDONED_AFTER_S = 3600.0
# The second, and which of those written in it.
_NAME = re.compile(r"(\d{4}(?:-\d\d){5})(?:-(\d+))?")
_UNKNOWN_CHECKSUM = "0" * 64


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


@dataclass(frozen=True)
class Findings:
    """What is known of a model only when it answers as it will be served.

    Attributes:
        metadata: More of it.
        files: Name -> text, such as the metrics and the report.
        latest: Whether it may become `latest`.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    latest: bool = True


def write_artefact(
    artefacts_dir: Path,
    write_files: Callable[[Path], None],
    metadata: Mapping[str, Any],
    examine: Callable[[Predictor], Findings | None],
) -> Path:
    """Write an artefact directory, or nothing.

    In a hidden sibling the model is written first, then loaded and examined, then what was found out is written;
    the whole is synced and loaded as a server would. Only then does it get its name, and only then, if it may,
    does `latest` move: never back to an older name, whoever finishes last.

    Args:
        artefacts_dir: Where it goes.
        write_files: Writes the model, and whatever else is known by now, into the folder it is given.
        metadata: All but `format_version`, `name`, `created_at`, `files` and `checksum`.
        examine: Raises ExportError unless the loaded predictor answers as it should; returns what else there is
            to write, if anything.

    Returns:
        The directory, `<artefacts_dir>/<YYYY-MM-DD-HH-MM-SS>` (UTC).

    Raises:
        ExportError: It cannot be written or loaded, or `examine` refused it.
    """
    with _as_export_error(artefacts_dir), _unfinished_dir(artefacts_dir) as directory:
        write_files(directory)
        findings = examine(_load_unfinished(directory, metadata)) or Findings()
        for name, text in findings.files.items():
            (directory / name).write_text(text, encoding="utf-8")
        final = _finish(directory, artefacts_dir, {**metadata, **findings.metadata})
    if findings.latest:
        _point_latest_at(final)
    return final


def is_latest(artefact: Path) -> bool:
    """Return whether `latest` stands for an artefact."""
    link = artefact.parent / LATEST
    return link.is_symlink() and link.readlink() == Path(artefact.name)


def check_equal(trained: Outputs, served: Outputs, tolerance: Tolerance) -> float:
    """Return the largest difference between two <float64>[num_rows, num_outputs] arrays.

    Raises:
        ExportError: Some are further apart than allowed.
    """
    differences = np.abs(trained - served)
    allowed = tolerance.relative * np.abs(trained) + tolerance.absolute
    wrong = ~(differences <= allowed)  # also when it is not a number
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ExportError(
            f"the exported model differs from the trained one in {wrong.any(axis=1).sum():,} of {len(trained):,} "
            f"test rows: {float(served[row, column])!r} instead of {float(trained[row, column])!r} in the first. "
            "No artefact was written. If the pipeline is your own, replace its steps one by one to find out which."
        )
    return float(differences.max())


def check_same_labels(
    trained: npt.NDArray[Any], served: npt.NDArray[Any], tolerance: Tolerance
) -> int:
    """Return in how many rows the exported model makes for other labels than the trained one.

    Args:
        trained: What `Decision.answers` makes of the trained model's outputs.
        served: And of the exported one's.
        tolerance: Whether any may differ: of outputs in single precision, near ties may.

    Raises:
        ExportError: Some differ, and none may.
    """
    differ = (trained != served).reshape(len(trained), -1).any(axis=1)
    count = int(differ.sum())
    if count and tolerance.same_labels:
        raise ExportError(
            f"the exported model decides on other labels than the trained one in {count:,} of {len(trained):,} test "
            "rows. No artefact was written; please report this configuration."
        )
    return count


def check_same_answers(
    label_names: Sequence[str],
    decided: npt.NDArray[Any],
    predictions: Sequence[Mapping[str, Any]],
) -> None:
    """Check that serving decides on labels as evaluation did.

    Args:
        label_names: Empty for a regression, which has none.
        decided: What `Decision.answers` makes of the served outputs.
        predictions: What `Predictor.predict` returns.

    Raises:
        ExportError: Some differ.
    """
    if not label_names:
        return
    if decided.ndim == 2:
        served = [{label["label"] for label in answer["labels"]} for answer in predictions]
        expected = [{label_names[i] for i in np.flatnonzero(row).tolist()} for row in decided]
        wrong = sum(a != b for a, b in zip(expected, served, strict=True))
    else:
        wrong = sum(
            label_names[index] != answer["label"]
            for index, answer in zip(decided.tolist(), predictions, strict=True)
        )
    if wrong:
        raise ExportError(
            f"the server decides on other labels than the evaluation did in {wrong:,} of {len(decided):,} test rows. "
            "No artefact was written; please report this configuration."
        )


def golden_examples(
    instances: Sequence[Mapping[str, Any]], answers: Outputs, truths: Sequence[Any]
) -> list[dict[str, Any]]:
    """Pair instances with the trained model's answers, for every later load to replay, and with the truth."""
    return [
        {"instance": dict(instance), "answer": answer, "truth": truth}
        for instance, answer, truth in zip(instances, answers.tolist(), truths, strict=True)
    ]


def as_json(content: object) -> str:
    """Return JSON for people: indented, and with every character readable."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_json(file: Path, content: object) -> None:
    """Write JSON for people."""
    file.write_text(as_json(content), encoding="utf-8")


def _load_unfinished(directory: Path, metadata: Mapping[str, Any]) -> Predictor:
    """Load a model of which the metadata is not on the disk yet, so that nobody takes it for an artefact."""
    content = {
        "format_version": FORMAT_VERSION,
        "name": directory.name,
        "created_at": "",
        **metadata,
        "files": _checksums(directory),
        "checksum": _UNKNOWN_CHECKSUM,
    }
    with _as_untrained(directory):
        return Predictor(Artefact(directory, Metadata.model_validate(content)))


def _finish(directory: Path, artefacts_dir: Path, metadata: Mapping[str, Any]) -> Path:
    """Write the metadata, load everything once more, and give the directory its name."""
    created_at = datetime.now(UTC)
    files = _checksums(directory)
    for final in _free_names(artefacts_dir, created_at):
        content = {
            "format_version": FORMAT_VERSION,
            "name": final.name,
            "created_at": created_at.isoformat(timespec="seconds"),
            **metadata,
            "files": files,
        }
        (directory / METADATA).write_bytes(serialise_metadata(content))
        with _as_untrained(directory):
            Predictor.load(directory)
        _sync(directory)
        if _rename(directory, final):
            break
    _sync_directory(artefacts_dir)
    return final


def _checksums(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file but the metadata."""
    return {
        file.name: sha256_of(file) for file in sorted(directory.iterdir()) if file.name != METADATA
    }


@contextmanager
def _as_untrained(directory: Path) -> Iterator[None]:
    """Turn what a server would say of a directory into what a run says."""
    try:
        yield
    except (ArtefactError, ValidationError) as error:
        # What it advises is for a server; the first sentence says what is wrong.
        reason = str(error).replace(f"{directory}: ", "").partition(". ")[0].removesuffix(".")
        if isinstance(error, ValidationError):
            problem = error.errors()[0]
            reason = f"{METADATA}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        raise ExportError(
            f"the exported model is not what was trained: {reason}. No artefact was written. "
            "If the pipeline is your own, replace its steps one by one to find out which."
        ) from error


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
    """Let `latest` stand for an artefact, unless it stands for a newer one by now."""
    link = artefact.parent / LATEST
    unfinished = artefact.parent / f"{_UNFINISHED}{artefact.name}-{LATEST}"
    with _as_export_error(link), _locked(artefact.parent):
        if _is_newer(link, artefact.name):
            return
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(artefact.name)
        unfinished.replace(link)
        _sync_directory(artefact.parent)


def _is_newer(link: Path, name: str) -> bool:
    """Return whether a link stands for an artefact beside it that was written after the one with that name."""
    if not (link.is_symlink() and link.exists()):  # what it stood for may have been removed
        return False
    known = _NAME.fullmatch(str(link.readlink()))  # a person may have let it stand for anything
    ours = _NAME.fullmatch(name)
    return known is not None and ours is not None and _order(known) > _order(ours)


def _order(name: re.Match[str]) -> tuple[str, int]:
    return name[1], int(name[2] or 1)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other run is here; nothing is left of the lock, however a run ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; then without
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _as_export_error(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{error.filename or place}: cannot be written: {error.strerror or error}. "
            "Free some space, or set artefacts_dir to a folder that can be written."
        ) from None
