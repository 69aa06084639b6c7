"""The writing of an artefact: whole or not at all."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from predict.contract.files import sync_directory
from predict.scoring.predictor import Predictor
from train.artefacts.folder import (
    UNFINISHED,
    as_folder_error,
    free_names,
    point_latest_at,
)
from train.errors import ExportError

_UNKNOWN_CHECKSUM = "0" * 64


@dataclass(frozen=True)
class UnfinishedArtefact:
    """A hidden directory that becomes an artefact when it is finished.

    Attributes:
        path: Where the model is written, and whatever else belongs to it.
    """

    path: Path

    def load(self, metadata: Mapping[str, Any]) -> Predictor:
        """Load the model that was written, as a server would, before its metadata is on the disk.

        Args:
            metadata: All but `format_version`, `name`, `created_at`, `files` and `checksum`.

        Raises:
            ExportError: It cannot be loaded, or does not answer the golden examples.
        """
        content = {
            "format_version": FORMAT_VERSION,
            "name": self.path.name,
            "created_at": "",
            **metadata,
            "files": _checksums(self.path),
            "checksum": _UNKNOWN_CHECKSUM,
        }
        with _as_export_error(self.path):
            artefact = Artefact(self.path, Metadata.model_validate(content))
            return Predictor(artefact, limit_s=None)

    def finish(
        self, metadata: Mapping[str, Any], files: Mapping[str, str], latest: bool = True
    ) -> Path:
        """Write the remaining files, load everything once more, and give the directory its name.

        Args:
            metadata: As for `load`.
            files: Name -> text of more files, such as the metrics and the report.
            latest: Whether `latest` should lead to it; the link never moves to an older name.

        Returns:
            The artefact directory, `<artefacts_dir>/<YYYY-MM-DD-HH-MM-SS>` (UTC).

        Raises:
            ExportError: It cannot be loaded.
            FolderError: It cannot be written.
        """
        artefacts_dir = self.path.parent
        for name, text in files.items():
            (self.path / name).write_text(text, encoding="utf-8")
        created_at, checksums = datetime.now(UTC), _checksums(self.path)
        for artefact in free_names(artefacts_dir, created_at):
            content = {
                "format_version": FORMAT_VERSION,
                "name": artefact.name,
                "created_at": created_at.isoformat(timespec="seconds"),
                **metadata,
                "files": checksums,
            }
            with _as_export_error(self.path):
                (self.path / METADATA).write_bytes(serialise_metadata(content))
                Predictor.load(self.path)
            _sync(self.path)
            if _rename(self.path, artefact):
                break
        sync_directory(artefacts_dir)
        if latest:
            point_latest_at(artefact)
        return artefact


@contextmanager
def unfinished_artefact(artefacts_dir: Path) -> Iterator[UnfinishedArtefact]:
    """Give a hidden directory beside the artefacts; unless it is finished, it is removed.

    Raises:
        FolderError: Something cannot be written.
    """
    with as_folder_error(artefacts_dir):
        directory = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=artefacts_dir))
        try:
            # mkdtemp gives it to its owner alone; a server may run as somebody else.
            directory.chmod(0o755)
            yield UnfinishedArtefact(directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)  # gone already when all went well


def as_json(content: object) -> str:
    """Return JSON for people: indented, and with every character readable."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _checksums(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file but the metadata."""
    return {
        file.name: sha256_of(file) for file in sorted(directory.iterdir()) if file.name != METADATA
    }


@contextmanager
def _as_export_error(directory: Path) -> Iterator[None]:
    """Turn the error of a server that loads a directory into the error of a run."""
    try:
        yield
    except (ArtefactError, ValidationError) as error:
        # Its advice is for a server; its first sentence says what is wrong.
        reason = str(error).replace(f"{directory}: ", "").partition(". ")[0].removesuffix(".")
        if isinstance(error, ValidationError):
            problem = error.errors()[0]
            reason = f"{METADATA}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        raise ExportError(
            f"the exported model is not what was trained: {reason}. No artefact was written. "
            "If the pipeline is your own, replace its steps one by one to find the wrong one."
        ) from error


def _rename(directory: Path, artefact: Path) -> bool:
    try:
        directory.rename(artefact)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _sync(directory: Path) -> None:
    for file in directory.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    sync_directory(directory)
