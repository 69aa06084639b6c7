"""Files that somebody else put there, opened only if they are regular and of bounded size; and names that last."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(file: Path, most_bytes: int) -> BufferedReader:
    """Open a regular file for reading.

    A link may lead to a file below the folder that the link is in, as Kubernetes mounts a ConfigMap, and nowhere else.

    Args:
        file: Its folder may be reached through links.
        most_bytes: A larger file is not opened.

    Raises:
        OSError: It is not there, not a regular file (such as a FIFO, a device or a folder), too large, or a link that
            leads elsewhere. Its `strerror` says which.
    """
    folder, real = os.path.realpath(file.parent), os.path.realpath(file)
    if not real.startswith(os.path.join(folder, "")):
        raise OSError(errno.EXDEV, "a link that leads out of its folder", str(file))
    # Before it is opened, for opening a device may do something; and afterwards, for it may have been replaced.
    _check_regular(os.stat(real), file, most_bytes)
    # A FIFO that replaced it would wait for somebody to write, without O_NONBLOCK.
    descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        _check_regular(os.fstat(descriptor), file, most_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(file: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file; see `open_regular`."""
    with open_regular(file, most_bytes) as opened:
        # What is asked for is allocated first.
        content = opened.read(os.fstat(opened.fileno()).st_size + 1)
    if len(content) > most_bytes:  # it has grown
        raise _too_large(file, most_bytes)
    return content


def _check_regular(found: os.stat_result, file: Path, most_bytes: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    if found.st_size > most_bytes:
        raise _too_large(file, most_bytes)


def _too_large(file: Path, most_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"more than {most_bytes >> 20} MB", str(file))


def sync_directory(directory: Path) -> None:
    """Wait until the entries of a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
