"""Uploaded archives: good ones become a directory, and hostile ones leave nothing behind."""

import gzip
import io
import random
import resource
import stat
import struct
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predict.contract.artefact import METADATA, ArtefactError, load_artefact
from predict.hosting.archive import Limits, unpack

LIMITS = Limits(files=12, unpacked_bytes=1 << 20, ratio=50, bytes_of_any_ratio=100_000)
PACK_AGAIN = r"Pack the folder of an artefact again, such as with `tar"


def tar(*members: tarfile.TarInfo | tuple[str, bytes], **options: Any) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", **options) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                name, content = member
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], **options: Any) -> bytes:
    raw = io.BytesIO()
    with (
        warnings.catch_warnings(
            action="ignore", category=UserWarning
        ),  # of a name that occurs twice
        zipfile.ZipFile(raw, "w", **{"compression": zipfile.ZIP_DEFLATED} | options) as archive,
    ):
        for name, content in members:
            archive.writestr(name, content)
    return raw.getvalue()


def files_of(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


PACK = {"tar.gz": tar, "zip": zipped}


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
@pytest.mark.parametrize("folder", ["", "./", "2026-01-02-03-04-05/"])
def test_an_artefact_is_unpacked_as_it_was(
    pack: Callable[..., bytes], folder: str, tiny_artefact: Path, tmp_path: Path
) -> None:
    files = files_of(tiny_artefact)
    archive = pack(*((folder + name, content) for name, content in files.items()))
    into = tmp_path / "new"
    assert unpack(io.BytesIO(archive), into) == into
    assert files_of(into) == files
    assert stat.S_IMODE(into.stat().st_mode) == 0o755
    assert load_artefact(into).path == into
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_the_tools_pack_is_unpacked(tiny_artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "-czf", tmp_path / "a.tar.gz", "-C", tiny_artefact.parent, tiny_artefact.name],
        check=True,
    )
    subprocess.run(["tar", "-czf", tmp_path / "b", "-C", tiny_artefact, "."], check=True)
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-c", tmp_path / "c.zip", tiny_artefact], check=True
    )
    for name in ("a.tar.gz", "b", "c.zip"):
        load_artefact(unpack(tmp_path / name, tmp_path / "out" / f"from-{name}"))


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def encrypted() -> bytes:
    raw = bytearray(zipped(GOOD, ("b", b"secret")))
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def without_its_end() -> bytes:
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="w") as packed:
        packed.write(gzip.decompress(tar(GOOD, ("b", b"b" * 2_000)))[:-9_500])
    return raw.getvalue()


def with_a_long_name(size: int) -> bytes:
    """A name that tarfile would take into memory."""
    info = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = size
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="w", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            packed.write(b"a" * (1 << 20))
    return raw.getvalue()


def sparse() -> bytes:
    info = member(METADATA, tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    # A file of 10 GB that holds nothing: no stretch of data, and its real size.
    header[483:495] = b"%011o\0" % (10 << 30)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return gzip.compress(bytes(header) + bytes(10_240 - len(header)))


def many_in_the_list(count: int) -> bytes:
    """A zip whose list names a file again and again, which zipfile would take into memory."""
    raw = zipped(GOOD, ("b", b""), compression=zipfile.ZIP_STORED)
    start = raw.rindex(b"PK\x01\x02")
    entry, end = raw[start : raw.rindex(b"PK\x05\x06")], raw[raw.rindex(b"PK\x05\x06") :]
    size = struct.unpack_from("<I", end, 12)[0] + len(entry) * count
    return raw[:start] + entry * (count + 1) + end[:12] + struct.pack("<I", size) + end[16:]


def damaged(archive: bytes, place: float) -> bytes:
    raw = bytearray(archive)
    raw[int(len(raw) * place)] ^= 0xFF
    return bytes(raw)


GOOD = (METADATA, b"{}")
BOMB = ("zeros.npy", bytes(900_000))
NOISE = ("noise", bytes(range(256)) * 2_000)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        *(
            (pack(GOOD, (name, b"")), message)
            for pack in PACK.values()
            for name, message in (
                ("../evil", "'../evil' is not a file at the top or in one folder"),
                ("a/../../evil", "is not a file at the top or in one folder"),
                ("/etc/passwd", "'/etc/passwd' is not a file at the top or in one folder"),
                ("a/b/c", "'a/b/c' is not a file at the top or in one folder"),
                ("a\\b", "is not a file at the top or in one folder"),
                ("a/b", "'a/b' is in another folder than the files before it"),
                (".hidden", "'.hidden' is not a plain name"),
                ("C:evil", "'C:evil' is not a plain name"),
                ("a b", "'a b' is not a plain name"),
                ("\u202efdp.exe", "is not a plain name"),
                ("n" * 300, "is not a plain name"),
                (METADATA, "'metadata.json' is there twice"),
                (METADATA.upper(), "'METADATA.JSON' is there twice, perhaps in other case"),
            )
        ),
        *(
            (tar(GOOD, member("evil", kind, link)), "'evil' is not a regular file")
            for kind, link in (
                (tarfile.SYMTYPE, "/etc/passwd"),
                (tarfile.SYMTYPE, METADATA),
                (tarfile.LNKTYPE, METADATA),
                (tarfile.LNKTYPE, "/etc/passwd"),
                (tarfile.FIFOTYPE, ""),
                (tarfile.CHRTYPE, ""),
                (tarfile.BLKTYPE, ""),
                (b"Z", ""),
            )
        ),
        *(
            (zipped(GOOD, (zip_member("evil", kind | 0o644), b"x")), "is not a regular file")
            for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK)
        ),
        (tar(GOOD, member("../up", tarfile.DIRTYPE)), r"'\.\./up' is not the one folder"),
        (tar(GOOD, member("/up", tarfile.DIRTYPE)), "'/up' is not the one folder"),
        (zipped(GOOD, ("../up/", b"")), r"'\.\./up/' is not the one folder"),
        (sparse(), "is not a regular file"),
        (encrypted(), "'b' is encrypted"),
        (zipped(GOOD, compression=zipfile.ZIP_LZMA), "packed by a method"),
        (tar(GOOD, BOMB), "it becomes more than 50 times as large"),
        (zipped(GOOD, BOMB), "it becomes more than 50 times as large"),
        *(
            (pack(GOOD, NOISE, ("more", NOISE[1]), ("most", NOISE[1])), "more than 1,048,576 bytes")
            for pack in (
                lambda *files: tar(*files, compresslevel=0),
                lambda *files: zipped(*files, compression=zipfile.ZIP_STORED),
            )
        ),
        *(
            (pack(GOOD, *((f"f{number}", b"") for number in range(12))), "more than 12 files")
            for pack in PACK.values()
        ),
        (tar(GOOD, *[member("./", tarfile.DIRTYPE)] * 1_001), "more than 1000 files and folders"),
        (with_a_long_name(4 << 20), "it has too much between its files"),
        (many_in_the_list(50_000), "its list of files is too long"),
        (zipped(GOOD) + b"a comment", "it does not end like a .zip"),
        (tar(("model.onnx", b"")), "it has no metadata.json"),
        (zipped(("model.onnx", b"")), "it has no metadata.json"),
        (tar(), "it has no metadata.json"),
        (zipped(), "it has no metadata.json"),
        (without_its_end(), "damaged"),
        (tar(GOOD)[:-20], "damaged"),
        (tar(GOOD)[:30], "damaged"),
        (zipped(GOOD)[:-20], "it does not end like a .zip"),
        (damaged(zipped(GOOD, NOISE), 0.5), "damaged"),
        (damaged(tar(GOOD, NOISE), 0.5), "damaged"),
        (gzip.compress(b"no tar" * 500), "damaged"),
        (gzip.compress(b""), "damaged|no metadata"),
        (b"", "it begins neither like a .tar.gz nor like a .zip"),
        (b"PK", "it begins neither"),
        (b"BZh91AY&SY", "it begins neither"),
        (b'{"format_version": 4}', "it begins neither"),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    archive: bytes, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    started = time.monotonic()
    with pytest.raises(
        ArtefactError, match=rf"(?s)the archive for new: .*({message}).*{PACK_AGAIN}"
    ):
        unpack(io.BytesIO(archive), folder / "new", LIMITS)
    assert time.monotonic() - started < 2
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
def test_a_changed_byte_is_refused_or_changes_nothing(
    pack: Callable[..., bytes], tiny_artefact: Path, tmp_path: Path
) -> None:
    files, number = files_of(tiny_artefact), random.Random(20261127)
    good = pack(*files.items())
    for turn in range(200):
        raw, into = bytearray(good), tmp_path / str(turn)
        raw[number.randrange(len(raw))] ^= 1 << number.randrange(8)
        try:
            unpack(io.BytesIO(raw), into)
        except ArtefactError:
            continue
        # Times of change, and the like, are not looked at. A name may be another one.
        assert sorted(files_of(into).values()) == sorted(files.values())


def test_a_bomb_is_ended_early(tmp_path: Path) -> None:
    zeros = bytes(1 << 20)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 300 << 20
        archive.addfile(info, io.BufferedReader(Endless(zeros)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with pytest.raises(ArtefactError, match="bytes unpacked"):
        unpack(raw, tmp_path / "new", LIMITS)
    assert time.monotonic() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert list(tmp_path.iterdir()) == []


class Endless(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self.content = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self.content))
        buffer[:count] = self.content[:count]
        return count


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(ArtefactError, match="there is something of that name already"):
        unpack(io.BytesIO(tar(GOOD)), tmp_path / "new")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ArtefactError, match="there is something of that name already"):
        unpack(io.BytesIO(tar(GOOD)), tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"nosuch/new: cannot be written: No such file"):
        unpack(io.BytesIO(tar(GOOD)), tmp_path / "nosuch" / "new")
    with pytest.raises(ArtefactError, match=r"nosuch\.zip: cannot be read: No such file"):
        unpack(tmp_path / "nosuch.zip", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
