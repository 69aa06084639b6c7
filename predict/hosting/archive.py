"""Unpacks an artefact that somebody uploads as `.tar.gz` or `.zip`, of which nothing is believed."""

import gzip
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from pydantic import TypeAdapter, ValidationError

from predict.contract.artefact import METADATA, MOST_BYTES, ArtefactError, FileName
from predict.contract.files import open_regular

_PACK_AGAIN = (
    "Pack the folder of an artefact again, such as with `tar -czf artefact.tar.gz -C FOLDER .`"
)

_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
_STEP_BYTES = 1 << 20
# Between two files of a tar, and in the list of files of a zip.
_MOST_HEADER_BYTES = 1 << 20
_MOST_ENTRIES = 1_000
_LONGEST_NAME = 200
# The end of a zip: the size of its list of files, and that of its comment; and what is before the end of a large one.
_ZIP_END = struct.Struct("<12xI4xH")
_ZIP64_LOCATOR, _ZIP64_LOCATOR_BYTES = b"PK\x06\x07", 20
# Of a zip: whether a member is encrypted.
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_FILE_NAME: TypeAdapter[str] = TypeAdapter(FileName)


@dataclass(frozen=True)
class Limits:
    """What an archive may have at most."""

    files: int = 100
    # Of its files together, unpacked.
    unpacked_bytes: int = MOST_BYTES
    # Unpacked bytes for each packed one. Artefacts shrink to a third, zeros to a thousandth.
    ratio: int = 200
    # Below so many bytes the ratio does not matter.
    bytes_of_any_ratio: int = 16 << 20


class _Member(Protocol):
    """A file of an archive."""

    @property
    def name(self) -> str: ...

    def chunks(self) -> Iterator[bytes]: ...


def unpack(archive: BinaryIO | Path, into: Path, limits: Limits | None = None) -> Path:
    """Unpack an archive into a new directory.

    Its files are at the top, or all in one folder. Whatever is not a regular file with a plain name is refused. The
    directory appears once all is well, with all its files. The artefact in it is not checked: see `load_artefact`.

    Args:
        archive: A gzipped tar or a zip; which of them is told by its first bytes. A stream must be able to seek.
        into: The directory to make. What is there already is not touched.
        limits: Of the archive; the default ones if None.

    Returns:
        `into`.

    Raises:
        ArtefactError: It is no such archive, is damaged, or has something in it that an artefact does not have; or
            `into` exists, or cannot be written.
    """
    if isinstance(archive, Path):
        try:
            with open_regular(archive, MOST_BYTES) as opened:
                return unpack(opened, into, limits)
        except OSError as error:
            raise ArtefactError(f"{archive}: cannot be read: {error.strerror}.") from None
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=into.parent))
    except OSError as error:
        raise ArtefactError(f"{into}: cannot be written: {error.strerror}.") from None
    try:
        with _as_artefact_error(into):
            _Unpacking(unfinished, limits or Limits(), _size_of(archive)).run(archive)
            # mkdtemp gives it to its owner alone.
            unfinished.chmod(0o755)
            # Not `rename` alone, which replaces an empty directory.
            if os.path.lexists(into):
                raise ArtefactError(
                    f"{into}: there is something of that name already. Remove it, or choose another name."
                )
            unfinished.rename(into)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already when all went well
    return into


class _Refused(Exception):
    """What is wrong with an archive."""


@contextmanager
def _as_artefact_error(into: Path) -> Iterator[None]:
    """Turn what the libraries raise for archives, and the disk, into the error of an artefact."""
    shown = f"the archive for {into.name}"
    try:
        yield
    except _Refused as error:
        raise ArtefactError(f"{shown}: {error}. {_PACK_AGAIN}.") from None
    except OSError as error:
        # gzip and zipfile raise them without a number for what they cannot read.
        if error.errno is not None:
            raise ArtefactError(f"{into}: cannot be written: {error.strerror}.") from None
        raise ArtefactError(f"{shown}: damaged ({error}). {_PACK_AGAIN}.") from None
    except (
        EOFError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        ValueError,
        struct.error,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ArtefactError(f"{shown}: damaged ({error}). {_PACK_AGAIN}.") from None


class _Unpacking:
    """One archive on its way into a directory."""

    def __init__(self, directory: Path, limits: Limits, packed_bytes: int) -> None:
        self._directory, self._limits = directory, limits
        of_its_size = max(limits.bytes_of_any_ratio, limits.ratio * packed_bytes)
        self._most_bytes = min(limits.unpacked_bytes, of_its_size)
        self._folder: str | None = None
        # As a file system tells names apart that ignores their case.
        self._names: set[str] = set()
        self._bytes = 0

    def run(self, archive: BinaryIO) -> None:
        """Write the files of an archive."""
        for member in _members_of(archive):
            name = self._name_of(member.name)
            with (self._directory / name).open("xb") as file:
                for chunk in member.chunks():
                    self._count(len(chunk))
                    file.write(chunk)
        if METADATA.casefold() not in self._names:
            raise _Refused(f"it has no {METADATA}, so it is no artefact")

    def _name_of(self, path: str) -> str:
        """Return the plain name of a file, which is at the top or in the one folder."""
        shown = repr(path[:100])
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or "\\" in path or not 1 <= len(parts) <= 2:
            raise _Refused(f"{shown} is not a file at the top or in one folder")
        folder, name = "/".join(parts[:-1]), parts[-1]
        if not all(map(_is_plain, parts)):
            raise _Refused(
                f"{shown} is not a plain name of letters, digits, dots, hyphens and underscores"
            )
        if self._folder is not None and folder != self._folder:
            raise _Refused(f"{shown} is in another folder than the files before it")
        self._folder = folder
        if name.casefold() in self._names:
            raise _Refused(f"{shown} is there twice, perhaps in other case")
        self._names.add(name.casefold())
        if len(self._names) > self._limits.files:
            raise _Refused(f"it has more than {self._limits.files} files")
        return name

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes <= self._most_bytes:
            return
        if self._most_bytes < self._limits.unpacked_bytes:
            raise _Refused(f"it becomes more than {self._limits.ratio} times as large unpacked")
        raise _Refused(f"it has more than {self._limits.unpacked_bytes:,} bytes unpacked")


def _is_plain(name: str) -> bool:
    try:
        _FILE_NAME.validate_python(name)
    except ValidationError:
        return False
    return len(name) <= _LONGEST_NAME


def _members_of(archive: BinaryIO) -> Iterator[_Member]:
    archive.seek(0)
    first = archive.read(4)
    archive.seek(0)
    if first.startswith(_GZIP):
        return _members_of_tar(archive)
    if first in _ZIP:
        return _members_of_zip(archive)
    raise _Refused("it begins neither like a .tar.gz nor like a .zip")


class _Metered(gzip.GzipFile):
    """Unpacks a stream as far as it may: tarfile takes long names and the like into memory, whatever their size.

    Attributes:
        left: How many bytes may still be read.
    """

    left = _MOST_HEADER_BYTES

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise _Refused("it has too much between its files")
        return content


@dataclass(frozen=True)
class _TarMember:
    archive: tarfile.TarFile
    info: tarfile.TarInfo

    @property
    def name(self) -> str:
        return self.info.name

    def chunks(self) -> Iterator[bytes]:
        # A second opinion: Python's own rules for archives that are not trusted.
        tarfile.data_filter(self.info, "/nowhere")
        file = self.archive.extractfile(self.info)
        assert file is not None  # it is a regular one
        yield from _chunks_of(file)


def _members_of_tar(archive: BinaryIO) -> Iterator[_Member]:
    with (
        _Metered(fileobj=archive, mode="rb") as stream,
        # `r|` goes through it once, and looks nowhere else.
        tarfile.open(fileobj=stream, mode="r|") as opened,
    ):
        for number, info in enumerate(opened):
            if number > _MOST_ENTRIES:  # tarfile keeps all of them
                raise _Refused(f"it has more than {_MOST_ENTRIES} files and folders")
            if info.isdir():
                _check_folder(info.name)
            elif not info.isreg() or info.issparse():
                raise _Refused(f"{info.name[:100]!r} is not a regular file")
            else:
                stream.left = info.size + _MOST_HEADER_BYTES
                yield _TarMember(opened, info)
            stream.left = _MOST_HEADER_BYTES
        while stream.read(_STEP_BYTES):  # to its end, where its checksum is
            pass


@dataclass(frozen=True)
class _ZipMember:
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        # `filename` ends before a NUL, and has the separators of this machine.
        return self.info.orig_filename

    def chunks(self) -> Iterator[bytes]:
        with self.archive.open(self.info) as file:
            yield from _chunks_of(file)


def _members_of_zip(archive: BinaryIO) -> Iterator[_Member]:
    _check_directory(archive)
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            shown = repr(info.orig_filename[:100])
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & _ENCRYPTED:
                raise _Refused(f"{shown} is encrypted")
            if info.orig_filename.endswith("/"):
                _check_folder(info.orig_filename)
                continue
            # A zip made without Unix in mind does not say.
            if kind not in (0, stat.S_IFREG):
                raise _Refused(f"{shown} is not a regular file")
            if info.compress_type not in _METHODS:
                raise _Refused(f"{shown} is packed by a method that is not unpacked here")
            yield _ZipMember(opened, info)


def _check_directory(archive: BinaryIO) -> None:
    """Raise unless the list of files is a short one at the very end; zipfile takes all of it into memory."""
    size = _size_of(archive)
    archive.seek(max(0, size - _ZIP_END.size - _ZIP64_LOCATOR_BYTES))
    tail = archive.read()
    end = tail[-_ZIP_END.size :]
    if len(end) < _ZIP_END.size or not end.startswith(_ZIP[1]):
        raise _Refused("it does not end like a .zip without a comment")
    list_bytes, comment_bytes = _ZIP_END.unpack(end)
    if comment_bytes or list_bytes > _MOST_HEADER_BYTES or tail.startswith(_ZIP64_LOCATOR):
        raise _Refused("its list of files is too long, or it has a comment")


def _check_folder(path: str) -> None:
    """Raise unless a folder is the top or the one that files may be in."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or len(parts) > 1:
        raise _Refused(f"{path[:100]!r} is not the one folder that files may be in")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _chunks_of(file: _Readable) -> Iterator[bytes]:
    """Yield the content of a file in steps. Both libraries raise if it has less than was said."""
    while chunk := file.read(_STEP_BYTES):
        yield chunk


def _size_of(archive: BinaryIO) -> int:
    return archive.seek(0, os.SEEK_END)
