"""The datasets that clients upload: whole or not at all, of a known kind, and never one over another."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from jobs.settings import JobsSettings
from predict.contract.files import sync_directory
from train.artefacts.folder import UNFINISHED

# What a run reads; each may be gzipped.
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xlsx", ".parquet")
_NAME = re.compile(
    rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}({'|'.join(map(re.escape, ENDINGS))})(\.gz)?"
)
_STEP_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
# How files begin that are no text.
_BEGINNINGS = {".parquet": b"PAR1", ".xlsx": b"PK\x03\x04"}
_OTHERS = (_GZIP, *_BEGINNINGS.values(), b"%PDF", b"\x7fELF", b"\xd0\xcf\x11\xe0")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class UploadError(Exception):
    """A file that is not taken. The message says why."""


class TakenError(UploadError):
    """Another file has the name."""


class TooLargeError(UploadError):
    """A file that is larger than the service takes."""


@dataclass(frozen=True)
class Upload:
    """A file that is there."""

    name: str
    size_bytes: int
    sha256: str


def path_of(name: str, settings: JobsSettings) -> Path | None:
    """Return where an upload of a name is, or would be; None if no upload can have the name."""
    # The absolute path, with no link in it: a run is told where the file is, not where it may be.
    return settings.uploads_dir.resolve() / name if _NAME.fullmatch(name) else None


def listed(settings: JobsSettings) -> list[tuple[str, int]]:
    """Return the name and the bytes of every upload."""
    found = []
    for file in settings.uploads_dir.iterdir():
        with suppress(FileNotFoundError):  # it is being removed
            if _NAME.fullmatch(file.name):
                found.append((file.name, file.stat().st_size))
    return sorted(found)


def described(settings: JobsSettings) -> list[Upload]:
    """Return every upload with its checksum. The first time, this reads all of them."""
    found = []
    for name, size in listed(settings):
        with suppress(FileNotFoundError):
            found.append(Upload(name, size, sha256_of(name, settings)))
    return found


def is_there(name: str, settings: JobsSettings) -> bool:
    """Return whether there is an upload of a name."""
    path = path_of(name, settings)
    return path is not None and path.is_file()


def kept_at(name: str, settings: JobsSettings) -> float:
    """Return when an upload was written, in seconds since 1970."""
    return (settings.uploads_dir / name).stat().st_mtime


def sha256_of(name: str, settings: JobsSettings) -> str:
    """Return the checksum of an upload."""
    file = settings.uploads_dir / name
    state = file.stat()
    return _sha256_known(file, state.st_ino, state.st_mtime_ns)


def remove(name: str, settings: JobsSettings) -> bool:
    """Remove an upload; False if there is none of that name."""
    if not is_there(name, settings):
        return False
    file = settings.uploads_dir / name
    file.unlink()
    sync_directory(file.parent)
    return True


def remove_unfinished(settings: JobsSettings) -> None:
    """Remove what a server that was killed has left."""
    for file in settings.uploads_dir.glob(f"{UNFINISHED}*"):
        file.unlink(missing_ok=True)


def keep(name: str, body: BinaryIO, settings: JobsSettings) -> Upload:
    """Write an upload beside the others, and give it its name at the end.

    Raises:
        TakenError: Another file has the name. The same one again is taken as done.
        TooLargeError: It is larger than `max_upload_bytes`.
        UploadError: Its name is not one, or it is empty or of another kind than its name says.
        OSError: It cannot be written.
    """
    target = path_of(name, settings)
    if target is None:
        raise UploadError(
            f"name: expected letters, digits, dots, hyphens and underscores, at most 100, and one of the endings "
            f"{', '.join(ENDINGS)} with or without .gz, got {name[:100]!r}."
        )
    descriptor, unfinished = tempfile.mkstemp(prefix=UNFINISHED, dir=settings.uploads_dir)
    try:
        with open(descriptor, "wb") as file:
            digest, size, beginning = hashlib.sha256(), 0, b""
            for chunk in _chunks_of(body, settings.max_upload_bytes):
                beginning = beginning or chunk
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            _check_kind(name, beginning)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)  # mkstemp gives it to its owner alone
        return _named(Path(unfinished), target, Upload(name, size, digest.hexdigest()))
    finally:
        os.unlink(unfinished)


def _chunks_of(body: BinaryIO, most: int) -> Iterator[bytes]:
    size = 0
    while chunk := body.read(_STEP_BYTES):
        size += len(chunk)
        if size > most:
            raise TooLargeError(f"body: expected at most {most:,} bytes.")
        yield chunk


def _named(unfinished: Path, target: Path, upload: Upload) -> Upload:
    try:
        os.link(unfinished, target)  # not a rename, which would replace what is there
    except FileExistsError:
        if _sha256_of(target) == upload.sha256:
            return upload
        raise TakenError(
            f"{upload.name}: another file has that name. Choose another one."
        ) from None
    sync_directory(target.parent)
    return upload


def _check_kind(name: str, beginning: bytes) -> None:
    if not beginning:
        raise UploadError("body: expected a file, got nothing.")
    packed, ending = name.endswith(".gz"), Path(name.removesuffix(".gz")).suffix
    if packed or ending in _BEGINNINGS:
        right = beginning.startswith(_GZIP if packed else _BEGINNINGS[ending])
    else:
        wide = beginning.startswith(_BYTE_ORDER_MARKS)  # UTF-16 and UTF-32 have zeros
        right = wide or not (beginning.startswith(_OTHERS) or b"\x00" in beginning)
    if not right:
        raise UploadError(f"{name}: the file is of another kind than its ending says.")


@lru_cache(1024)  # an upload never changes, and reading it takes long
def _sha256_known(file: Path, inode: int, changed_ns: int) -> str:
    return _sha256_of(file)


def _sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
