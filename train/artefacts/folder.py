"""The folder of artefacts: the names in it, the link `latest`, and how an artefact is found there."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from predict.contract.files import sync_directory
from predict.wording import closest, listed
from train.config import TrainConfig
from train.errors import UserError

DEFAULT_DIR = Path(TrainConfig.model_fields["artefacts_dir"].default)
LATEST = "latest"
# What begins with this is not an artefact: it is being written or removed.
UNFINISHED = ".unfinished-"
_ABANDONED_AFTER_S = 3600.0
# The second, and the number of the artefact within it.
_NAME = re.compile(r"(\d{4}(?:-\d\d){5})(?:-(\d+))?")


class FolderError(UserError):
    """A folder of artefacts that cannot be used, or an artefact that is not in it."""


def prepare(artefacts_dir: Path) -> None:
    """Make the folder that artefacts go to, show that it can be written, and remove what killed runs left.

    Raises:
        FolderError: It cannot be written, or something in it is in the way of the link `latest`, which is better
            known before training than after.
    """
    with as_folder_error(artefacts_dir):
        artefacts_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=artefacts_dir):
            pass
    _refuse_other_than_link(artefacts_dir / LATEST)
    for left in artefacts_dir.glob(f"{UNFINISHED}*"):
        # Another run may remove it meanwhile, or have rights that this one has not.
        with suppress(OSError):
            _remove_if_abandoned(left)


def _refuse_other_than_link(latest: Path) -> None:
    if latest.exists() and not latest.is_symlink():
        raise FolderError(
            f"{latest}: is not a link, and every run makes {LATEST} one that leads to the newest artefact. "
            "Rename what is there, or set artefacts_dir to another folder."
        )


def _remove_if_abandoned(left: Path) -> None:
    # A run that is writing now has a fresh folder: only old ones are abandoned.
    if time.time() - left.lstat().st_mtime > _ABANDONED_AFTER_S:
        is_folder = left.is_dir() and not left.is_symlink()
        shutil.rmtree(left, ignore_errors=True) if is_folder else left.unlink()


def find(name: str, artefacts_dir: Path = DEFAULT_DIR) -> Path:
    """Return an artefact directory by its path, or by its name below `artefacts_dir` (`latest` is one).

    Raises:
        FolderError: There is none.
    """
    for path in (Path(name), artefacts_dir / name):
        if os.path.isdir(path):  # not path.is_dir(): that raises for a name that is too long
            return path
    entries = artefacts_dir.iterdir() if artefacts_dir.is_dir() else ()
    known = sorted((path.name for path in entries if not path.name.startswith(".")), reverse=True)
    close = closest(name, known)
    hint = f"Did you mean {close}?" if close else f"There are: {listed(known, 5)}."
    hint = hint if known else "There are none: run `make train` first."
    raise FolderError(f"{name}: neither a directory nor an artefact in {artefacts_dir}. {hint}")


def free_names(artefacts_dir: Path, created_at: datetime) -> Iterator[Path]:
    """Yield paths for an artefact of this second that nobody has taken yet; another run may take one before us."""
    stamp = created_at.strftime("%Y-%m-%d-%H-%M-%S")
    for attempt in count(1):
        path = artefacts_dir / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        if not path.exists():
            yield path


def is_latest(artefact: Path) -> bool:
    """Return whether `latest` is a link to an artefact."""
    link = artefact.parent / LATEST
    return link.is_symlink() and link.readlink() == Path(artefact.name)


def point_latest_at(artefact: Path) -> None:
    """Make `latest` a link to an artefact, unless it already leads to a newer one.

    Raises:
        FolderError: The link cannot be written, or what has its name is not a link.
    """
    link = artefact.parent / LATEST
    unfinished = artefact.parent / f"{UNFINISHED}{artefact.name}-{LATEST}"
    with as_folder_error(link), _locked(artefact.parent):
        _refuse_other_than_link(link)
        if _is_newer(link, artefact.name):
            return
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(artefact.name)
        unfinished.replace(link)
        sync_directory(artefact.parent)


@contextmanager
def as_folder_error(place: Path) -> Iterator[None]:
    """Name the file that cannot be written, and what can be done."""
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"{error.filename or place}: cannot be written: {error.strerror or error}. "
            "Free some space, or set artefacts_dir to a folder that can be written."
        ) from None


def _is_newer(link: Path, name: str) -> bool:
    """Return whether a link leads to an artefact beside it that was written after the one with that name."""
    if not (link.is_symlink() and link.exists()):  # where it led to may have been removed
        return False
    known = _NAME.fullmatch(str(link.readlink()))  # a person may have made it lead anywhere
    ours = _NAME.fullmatch(name)
    return known is not None and ours is not None and _order(known) > _order(ours)


def _order(name: re.Match[str]) -> tuple[str, int]:
    return name[1], int(name[2] or 1)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other run holds the lock; nothing is left of it, however a run ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; then without
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
