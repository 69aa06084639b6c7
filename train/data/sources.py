"""The source of a dataset: a download or a file, checked against its SHA-256 and read into a table."""

import contextlib
import csv
import difflib
import gzip
import hashlib
import json
import os
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
import pooch
import pyarrow
import pyarrow.parquet
import requests

from train.config import TrainConfig
from train.data.catalogue import CATALOGUE, OWN_TEST_SPLIT, CatalogueEntry, RemoteFile
from train.errors import UserError

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
_TIMEOUT_S = 30
_RETRIES = 2


class DatasetError(UserError):
    """A dataset that cannot be trained on. The message says what, where and how to fix it."""


class UnreachableError(DatasetError):
    """The host of a download does not answer."""


@dataclass(frozen=True)
class RawTable:
    """A dataset as it was read, before any row was dropped; the names of its columns are distinct texts."""

    name: str
    source: str
    sha256: str
    frame: pd.DataFrame
    # <bool>[num_rows] of the dataset's own test split, or None.
    own_test: npt.NDArray[np.bool_] | None = None
    # What must not be overlooked about its test rows.
    test_warnings: tuple[str, ...] = ()


# ------------------------------------------------------------------ fetching


def fetch(config: TrainConfig) -> RawTable:
    """Download or find the dataset of a configuration, and read it.

    Raises:
        UnreachableError: It must be downloaded, and its host does not answer.
        DatasetError: It is missing, has another checksum than expected, or cannot be read.
    """
    name = config.dataset
    entry = CATALOGUE.get(name)
    if entry is not None:
        return _fetch_entry(entry, config)
    try:
        scheme = urlsplit(name).scheme
    except ValueError as error:
        raise DatasetError(f"dataset: {name!r} is not an address ({error}).") from None
    if scheme in ("http", "https"):
        remote = [(name, config.sha256, _cache_name(name))]
        path = _download(remote, config.data_dir)[0]
    else:
        path = _existing_file(name, config.sha256)
    return RawTable(name, name, _sha256_of([path]), read_table(path, config.encoding))


def _fetch_entry(entry: CatalogueEntry, config: TrainConfig) -> RawTable:
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
        [(_mirrored(file.url), file.sha256, _name_of(file)) for file in entry.files], folder
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


def _download(files: Sequence[tuple[str, str | None, str]], folder: Path) -> list[Path]:
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
    return [_download_one(cache, name) for _, _, name in files]


def _download_one(cache: pooch.Pooch, name: str) -> Path:
    url = cache.get_url(name)
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=_TIMEOUT_S)
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
            "choose another dataset with DATASET= (docstrings needs no network), "
            "or set `offline: docstrings` in the configuration to fall back on it."
        ) from None
    except ValueError as error:  # pooch: the checksum differs
        raise DatasetError(f"{url}: {error}") from None
    except OSError as error:
        raise DatasetError(
            f"{cache.path / name}: cannot be read or written: {error.strerror or error}."
        ) from None


def _existing_file(name: str, sha256: str | None) -> Path:
    path = Path(os.path.expanduser(name))
    if not os.path.isfile(path):  # not path.is_file(): that raises for a name that is too long
        what = (
            "is a directory, not a file"
            if os.path.isdir(path)
            else "is neither a dataset's name nor a file"
        )
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Names: {', '.join(CATALOGUE)}."
        raise DatasetError(f"dataset: {name!r} {what}. {hint}")
    if not os.access(path, os.R_OK):
        raise DatasetError(f"{path}: cannot be read: permission denied.")
    if sha256 is not None and _sha256_of([path]) != sha256:
        raise DatasetError(
            f"{path}: SHA-256 is {_sha256_of([path])}, expected {sha256} (sha256 in the configuration)."
        )
    return path


def _sha256_of(paths: Iterable[Path]) -> str:
    digests = [pooch.file_hash(str(path)) for path in paths]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


# ------------------------------------------------------------------- reading


def read_table(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Read CSV, TSV, JSON Lines or Parquet, gzipped or not.

    Returns:
        The rows, numbered from 0; values are strings from CSV and TSV, and keep their types from other formats.

    Raises:
        DatasetError: It is not what its name says, has undecodable bytes, rows of different lengths, or columns
            without a distinct name.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in FORMATS:
        raise DatasetError(
            f"{path}: expected a file ending in {', '.join(FORMATS)} (or with .gz after it)."
        )
    try:
        raw = gzip.decompress(path.read_bytes()) if suffixes[-1] == ".gz" else path.read_bytes()
        if kind == ".parquet":
            return _with_named_columns(path, _parse_parquet(raw))
        text = raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: not a Parquet file ({error}).") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: not a complete gzip file ({error}).") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is not {encoding}. "
            "Save the file as UTF-8, or set `encoding:` (such as latin-1)."
        ) from None
    except (LookupError, UnicodeError):  # UnicodeError: of codecs that are not for files
        raise DatasetError(f"encoding: Python does not know {encoding!r}.") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}.") from None
    _refuse_other_formats(path, text)
    del raw  # as large as all of the table
    frame = (
        _parse_jsonl(path, text)
        if kind == ".jsonl"
        else _parse_separated(path, text, "\t" if kind == ".tsv" else ",")
    )
    return _with_named_columns(path, frame)


def _with_named_columns(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(name) for name in frame.columns]
    _refuse_equal_names(path, names)
    if "" in names:
        raise DatasetError(f"{path}: column {names.index('') + 1} has no name.")
    return frame.set_axis(names, axis=1)


def _refuse_equal_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DatasetError(
            f"{path}: more than one column is called {', '.join(map(repr, twice))}. Rename or remove one."
        )


def _refuse_other_formats(path: Path, text: str) -> None:
    start = text[:200].lstrip().lower()
    if not start:
        raise DatasetError(f"{path}: the file is empty.")
    if start.startswith(("<!doctype", "<html", "<?xml")):
        raise DatasetError(
            f"{path}: this is a web page, not {path.suffix}. Was a login page downloaded instead?"
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DatasetError(f"{path}, line {line}: a NUL byte; this is not a text file.")


def _parse_parquet(raw: bytes) -> pd.DataFrame:
    # Whole numbers beside nulls would become doubles, which cannot hold a long id.
    frame: pd.DataFrame = pyarrow.parquet.read_table(BytesIO(raw)).to_pandas(
        integer_object_nulls=True
    )
    # What pandas wrote as an index is a column if it has a name, else just the row number.
    has_name = any(name is not None for name in frame.index.names)
    return frame.reset_index(drop=not has_name)


def _parse_separated(path: Path, text: str, separator: str) -> pd.DataFrame:
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    header = next(_rows_of(text, separator), [])
    _refuse_equal_names(path, header)
    if len(header) == 1 and (other := next((char for char in ";\t,|" if char in header[0]), "")):
        raise DatasetError(
            f"{path}: the header has no {separator!r}, but {other!r}. Separate the fields with {separator!r}; "
            "give a file with tabs the ending .tsv."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            frame = pd.read_csv(
                BytesIO(text.encode()),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values=[],
                index_col=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DatasetError(f"{path}: ragged or broken rows: {str(error).strip()}") from None
    # pandas reads a missing field as an empty one.
    if (frame.iloc[:, -1] == "").any():
        _refuse_short_rows(path, _rows_of(text, separator), frame.shape[1])
    return frame


def _rows_of(text: str, separator: str) -> Iterator[list[str]]:
    """Yield the rows, header first, without blank ones."""
    for row in csv.reader(StringIO(text, newline=""), delimiter=separator):
        if len(row) > 1 or "".join(row).strip():
            yield row


def _refuse_short_rows(path: Path, rows: Iterable[list[str]], expected: int) -> None:
    lengths = enumerate(map(len, rows))
    short = [(number, length) for number, length in lengths if length < expected]
    if short:
        raise DatasetError(
            f"{path}: row {short[0][0]} (below the header) has {short[0][1]} fields, "
            f"expected {expected}; {len(short)} rows are too short."
        )


def _parse_jsonl(path: Path, text: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}, line {number}: not JSON ({error}).") from None
        if not isinstance(row, dict):
            raise DatasetError(
                f"{path}, line {number}: expected an object, got {type(row).__name__}."
            )
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)  # a missing number would make all of them floats
