"""The source of a dataset: a download or a file, checked against its SHA-256."""

import contextlib
import difflib
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
import pooch
import requests

from predict.contract.artefact import FileFormat
from train.config import TrainConfig
from train.data.catalogue import CATALOGUE, OWN_TEST_SPLIT, CatalogueEntry, RemoteFile
from train.data.downloading import Downloader, has_changed
from train.data.reading import Reading, read_table
from train.errors import DatasetError
from train.progress import Progress

_MOST_SECONDS = 3600.0
_RETRIES = 2
_LONGEST_PATH = 1000


class UnreachableError(DatasetError):
    """The host of a download does not answer."""


@dataclass(frozen=True)
class RawTable:
    """A dataset as it was read, before any row was dropped; the names of its columns are distinct texts."""

    name: str
    source: str
    sha256: str
    frame: pd.DataFrame
    # Key of the configuration -> what was guessed from the file.
    decided: dict[str, Any] = field(default_factory=dict)
    # How the file is written, if it is one of separated values.
    file: FileFormat | None = None
    # <bool>[num_rows] of the dataset's own test split, or None.
    own_test: npt.NDArray[np.bool_] | None = None
    # What must not be overlooked about its test rows.
    test_warnings: tuple[str, ...] = ()


def fetch(config: TrainConfig, progress: Progress | None = None) -> RawTable:
    """Download or find the dataset of a configuration, and read it.

    Args:
        config: Names the dataset, and how it is read.
        progress: Is told what was guessed, and what was left out.

    Raises:
        UnreachableError: It must be downloaded, and its host does not answer.
        DatasetError: It is missing, has another checksum than expected, or cannot be read.
    """
    name = config.dataset
    entry = CATALOGUE.get(name)
    if entry is not None:
        return _fetch_entry(entry, config, progress)
    try:
        scheme = urlsplit(name).scheme
    except ValueError as error:
        raise DatasetError(f"dataset: {name!r} is not an address ({error}).") from None
    if scheme in ("http", "https"):
        path = download(name, config.sha256, config, progress)
    else:
        path = _existing_file(name, config)
    table = read_table(path, Reading.of(config), progress)
    return RawTable(name, name, _sha256_of([path]), table.frame, table.decided, table.file)


def download(
    url: str, sha256: str | None, config: TrainConfig, progress: Progress | None = None
) -> Path:
    """Return where a file is after it has been downloaded into `data_dir`, unless it is there already.

    Raises:
        UnreachableError: Its host does not answer.
        DatasetError: It has another checksum than expected, is too large, or cannot be written.
    """
    downloader = Downloader(config.max_dataset_bytes, _MOST_SECONDS, progress)
    return _download([(url, sha256, _cache_name(url))], config.data_dir, downloader)[0]


def _fetch_entry(entry: CatalogueEntry, config: TrainConfig, progress: Progress | None) -> RawTable:
    if not entry.files:
        try:
            frame = entry.read([config.data_dir])
        except OSError as error:
            place = error.filename or config.data_dir
            raise DatasetError(
                f"{place}: cannot be created: {error.strerror}. Set data_dir."
            ) from None
        digest = hashlib.sha256(
            frame.to_csv(index=False).encode("utf-8", "surrogatepass")
        ).hexdigest()
        return _with_own_test(RawTable(entry.name, "embedded", digest, frame))
    folder = config.data_dir / entry.name
    paths = _download(
        [(_mirrored(file.url), file.sha256, _name_of(file)) for file in entry.files],
        folder,
        Downloader(config.max_dataset_bytes, _MOST_SECONDS, progress),
    )
    return _with_own_test(
        RawTable(entry.name, entry.files[0].url, _sha256_of(paths), entry.read(paths))
    )


def _with_own_test(table: RawTable) -> RawTable:
    if OWN_TEST_SPLIT not in table.frame:
        return table
    own_test = table.frame[OWN_TEST_SPLIT].to_numpy(dtype=bool)
    return replace(table, frame=table.frame.drop(columns=OWN_TEST_SPLIT), own_test=own_test)


def _name_of(file: RemoteFile) -> str:
    return file.url.rsplit("/", 1)[1]


def _cache_name(url: str) -> str:
    """Return a file name for a URL that no other URL has, with the ending that says its format."""
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{Path(urlsplit(url).path).name or 'download'}"


def _mirrored(url: str) -> str:
    """Move a URL to DATASET_MIRROR, if that is set: scheme and host are replaced, the path is kept."""
    mirror = os.environ.get("DATASET_MIRROR", "").rstrip("/")
    return mirror + urlsplit(url).path if mirror else url


def _download(
    files: Sequence[tuple[str, str | None, str]], folder: Path, downloader: Downloader
) -> list[Path]:
    """Download (url, sha256 or None, file name) triples into a folder, unless they are there."""
    pooch.get_logger().setLevel("WARNING")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be created: {error.strerror}. Set data_dir."
        ) from None
    cache = pooch.create(
        path=folder,
        base_url="",
        registry={name: sha256 for _, sha256, name in files},
        urls={name: url for url, _, name in files},
        retry_if_failed=_RETRIES,
    )
    return [_download_one(cache, name, downloader) for _, _, name in files]


def _download_one(cache: pooch.Pooch, name: str, downloader: Downloader) -> Path:
    url, cached = cache.get_url(name), cache.path / name
    if cached.is_symlink():
        raise DatasetError(
            f"{cached}: a link in the folder of downloads is not followed. Remove it."
        )
    _tell_changed(cache, name, downloader.progress)
    try:
        path = Path(cache.fetch(name, downloader=downloader))
        # pooch's temporary files are their owner's alone; a container may read the cache as somebody else.
        with contextlib.suppress(PermissionError):
            path.chmod(0o644)
        return path
    except requests.HTTPError as error:
        raise DatasetError(
            f"{url}: the server answered {error.response.status_code}. Check the address."
        ) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise DatasetError(
            f"{url}: not an address ({error}). Check it and DATASET_MIRROR."
        ) from None
    except requests.RequestException as error:
        raise UnreachableError(
            f"{url}: cannot be reached ({type(error).__name__}). Check the network, set DATASET_MIRROR to a mirror, "
            "or train on what needs no network: texts with DATASET=docstrings, a table with CONF=conf/iris.yml. "
            "`offline: docstrings` in a configuration for texts falls back on them."
        ) from None
    except ValueError as error:  # pooch: the checksum differs
        raise DatasetError(f"{url}: {error}") from None
    except OSError as error:
        raise DatasetError(
            f"{cache.path / name}: cannot be read or written: {error.strerror or error}."
        ) from None


def _tell_changed(cache: pooch.Pooch, name: str, progress: Progress | None) -> None:
    """Warn if a download without a checksum is not what its server has by now."""
    url, cached = cache.get_url(name), cache.path / name
    if progress is None or cache.registry[name] is not None or not cached.is_file():
        return
    if has_changed(url, cached):
        progress.warn(
            f"{url}: has changed since it was downloaded. Remove {cached} to fetch it again"
        )


def _existing_file(name: str, config: TrainConfig) -> Path:
    path, sha256 = Path(os.path.expanduser(name)), config.sha256
    if not os.path.isfile(path):  # not path.is_file(): that raises for a name that is too long
        what = (
            "is a directory, not a file"
            if os.path.isdir(path)
            else "is neither a dataset's name nor a file"
        )
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Names: {', '.join(CATALOGUE)}."
        raise DatasetError(f"dataset: {name!r} {what}. {hint}{_where_looked(path, config.folder)}")
    if not os.access(path, os.R_OK):
        raise DatasetError(f"{path}: cannot be read: permission denied.")
    if sha256 is not None and _sha256_of([path]) != sha256:
        raise DatasetError(
            f"{path}: SHA-256 is {_sha256_of([path])}, expected {sha256} (sha256 in the configuration)."
        )
    return path


def _where_looked(path: Path, folder: Path | None) -> str:
    """Return a sentence on the folders in which a relative path was looked for, if it may be one of a file."""
    if path.is_absolute() or not path.suffix or len(str(path)) > _LONGEST_PATH:
        return ""
    folders = dict.fromkeys(os.path.abspath(place) for place in (".", folder or "."))
    return f" Looked for the file in {' and in '.join(folders)}."


def _sha256_of(paths: Iterable[Path]) -> str:
    digests = [pooch.file_hash(str(path)) for path in paths]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )
