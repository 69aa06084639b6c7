"""The data layer: fetch a dataset, read it, check and clean it, split it."""

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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
import pooch
import pyarrow
import requests
from sklearn.model_selection import train_test_split

from train.catalogue import CATALOGUE, OWN_TEST_SPLIT, CatalogueEntry, RemoteFile
from train.config import Columns, TrainConfig
from train.errors import UserError

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
_TIMEOUT_S = 30
_RETRIES = 2
_CONFLICTS_SHOWN = 5


class DatasetError(UserError):
    """A dataset that cannot be trained on. The message says what, where and how to mend it."""


class UnreachableError(DatasetError):
    """The host of a download does not answer."""


@dataclass(frozen=True)
class RawTable:
    """A dataset as it was read, before any row was dropped."""

    name: str
    source: str
    sha256: str
    columns: Columns
    frame: pd.DataFrame


@dataclass(frozen=True)
class Dataset:
    """Clean, labelled texts.

    Attributes:
        rows: The values of `columns.text`, one tuple a row.
        labels: <int64>[num_rows], indices into `label_names`.
        label_names: In alphabetical order.
        own_test: <bool>[num_rows] of the dataset's own test split, or None.
        dropped: Reason -> rows dropped for it.
        conflicts: Texts that stand under more than one label: how many, and a few of them.
    """

    name: str
    source: str
    sha256: str
    columns: Columns
    rows: list[tuple[str, ...]]
    labels: npt.NDArray[np.int64]
    label_names: list[str]
    own_test: npt.NDArray[np.bool_] | None
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    conflict_examples: tuple[str, ...] = ()

    def texts(self, rows: Iterable[int] | None = None) -> list[str]:
        """Return one text a row, of all or the given rows: its columns as the predictor joins them."""
        return [
            "\n".join(self.rows[row]) for row in (range(len(self.rows)) if rows is None else rows)
        ]

    def label_counts(self) -> dict[str, int]:
        """Return label -> rows."""
        counts = np.bincount(self.labels, minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))


@dataclass(frozen=True)
class Split:
    """Row indices, <int64>[…] each, without overlap."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def load_dataset(config: TrainConfig, name: str | None = None) -> Dataset:
    """Fetch, read, check and clean the dataset of a configuration.

    Args:
        config: What to train on.
        name: Another dataset to take instead; what the configuration says of columns and rows is then
            not about it and is left out.

    Raises:
        UnreachableError: It is to be downloaded, and its host does not answer.
        DatasetError: Anything else that keeps it from being trained on.
    """
    where = config.where if name is None else {}
    table = _fetch(config, name)
    return _clean(table, where, config.min_samples_per_label)


def split_dataset(dataset: Dataset, config: TrainConfig) -> Split:
    """Split stratified by label; a test split of the dataset's own is kept as it is.

    Raises:
        DatasetError: There are too few rows for every part to have every label.
    """
    shares, rows = config.split, np.arange(len(dataset.rows))
    if dataset.own_test is None:
        rest, test = _split_rows(dataset, rows, shares.test, shares.seed, "test")
    else:
        rest, test = rows[~dataset.own_test], rows[dataset.own_test]
    share = (
        shares.validation * len(rows) / len(rest) if dataset.own_test is None else shares.validation
    )
    train, validation = _split_rows(dataset, rest, share, shares.seed, "validation")
    return Split(train, validation, test)


def _split_rows(
    dataset: Dataset, rows: npt.NDArray[np.int64], share: float, seed: int, part: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    labels = dataset.labels[rows]
    try:
        kept, taken = train_test_split(rows, test_size=share, random_state=seed, stratify=labels)
    except ValueError as error:
        raise DatasetError(
            f"{dataset.name}: too few rows to split: {len(rows)} rows with {len(dataset.label_names)} labels "
            f"cannot give {share:.0%} to {part} with every label in it ({error}) "
            f"Give more rows, a larger split.{part}, or raise min_samples_per_label."
        ) from None
    return kept, taken


# ------------------------------------------------------------------ fetching


def _fetch(config: TrainConfig, name: str | None) -> RawTable:
    wanted = name or config.dataset
    entry = CATALOGUE.get(wanted)
    if entry is not None:
        return _fetch_entry(entry, config, use_columns=name is None)
    columns = config.columns or Columns()
    try:
        scheme = urlsplit(wanted).scheme
    except ValueError as error:
        raise DatasetError(f"dataset: {wanted!r} is not an address ({error}).") from None
    if scheme in ("http", "https"):
        remote = [(wanted, config.sha256, _cache_name(wanted))]
        path = _download(remote, config.data_dir)[0]
    else:
        path = _existing_file(wanted, config.sha256)
    return RawTable(wanted, wanted, _sha256_of([path]), columns, read_table(path, config.encoding))


def _fetch_entry(entry: CatalogueEntry, config: TrainConfig, use_columns: bool) -> RawTable:
    own = Columns(text=list(entry.text), label=entry.label)
    columns = config.columns if use_columns and config.columns is not None else own
    if not entry.files:
        try:
            frame = entry.read([config.data_dir])
        except OSError as error:
            place = error.filename or config.data_dir
            raise DatasetError(
                f"{place}: cannot be made: {error.strerror}. Set data_dir."
            ) from None
        digest = hashlib.sha256(
            frame.to_csv(index=False).encode("utf-8", "surrogatepass")
        ).hexdigest()
        return RawTable(entry.name, "embedded", digest, columns, frame)
    folder = config.data_dir / entry.name
    paths = _download(
        [(_mirrored(file.url), file.sha256, _name_of(file)) for file in entry.files], folder
    )
    return RawTable(entry.name, entry.files[0].url, _sha256_of(paths), columns, entry.read(paths))


def _name_of(file: RemoteFile) -> str:
    return file.url.rsplit("/", 1)[1]


def _cache_name(url: str) -> str:
    """Return a file name of its own for a URL, with the ending that says its format."""
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{Path(urlsplit(url).path).name or 'download'}"


def _mirrored(url: str) -> str:
    """Re-root a URL on DATASET_MIRROR, if that is set: scheme and host are replaced, the path is kept."""
    mirror = os.environ.get("DATASET_MIRROR", "").rstrip("/")
    return mirror + urlsplit(url).path if mirror else url


def _download(files: Sequence[tuple[str, str | None, str]], folder: Path) -> list[Path]:
    """Download (url, sha256 or None, file name) triples into a folder, or find them there whole."""
    pooch.get_logger().setLevel("WARNING")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be made: {error.strerror}. Set data_dir.") from None
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


def _existing_file(wanted: str, sha256: str | None) -> Path:
    path = Path(os.path.expanduser(wanted))
    if not os.path.isfile(path):  # not path.is_file(): that raises for a name that is too long
        what = (
            "is a directory, not a file"
            if os.path.isdir(path)
            else "is neither a dataset's name nor a file"
        )
        close = difflib.get_close_matches(wanted, CATALOGUE, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Names: {', '.join(CATALOGUE)}."
        raise DatasetError(f"dataset: {wanted!r} {what}. {hint}")
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
    """Read CSV, TSV, JSON Lines or Parquet, gzipped or not, into a table of strings.

    Raises:
        DatasetError: It is not what its name says, has undecodable bytes, or a row of another length.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in FORMATS:
        raise DatasetError(
            f"{path}: expected a file ending in {', '.join(FORMATS)} (or with .gz behind it)."
        )
    try:
        raw = gzip.decompress(path.read_bytes()) if suffixes[-1] == ".gz" else path.read_bytes()
        if kind == ".parquet":
            return pd.read_parquet(BytesIO(raw))
        text = raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: not a Parquet file ({error}).") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: not a whole gzip file ({error}).") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is not {encoding}. "
            "Save the file as UTF-8, or set `encoding:` (such as latin-1)."
        ) from None
    except (LookupError, UnicodeError):  # UnicodeError: of codecs that are not for files
        raise DatasetError(f"encoding: Python knows no {encoding!r}.") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}.") from None
    _refuse_other_formats(path, text)
    return (
        _parse_jsonl(path, text)
        if kind == ".jsonl"
        else _parse_separated(path, text, "\t" if kind == ".tsv" else ",")
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


def _parse_separated(path: Path, text: str, separator: str) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            frame = pd.read_csv(
                StringIO(text),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values=[],
                index_col=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DatasetError(f"{path}: ragged or broken rows: {str(error).strip()}") from None
    # pandas takes a field that is not there for an empty one.
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    rows = enumerate(csv.reader(StringIO(text, newline=""), delimiter=separator))
    lengths = [(number, len(row)) for number, row in rows if "".join(row).strip()]
    short = [(number, length) for number, length in lengths if length < frame.shape[1]]
    if short:
        raise DatasetError(
            f"{path}: row {short[0][0]} (below the header) has {short[0][1]} fields, "
            f"expected {frame.shape[1]}; {len(short)} rows are too short."
        )
    return frame


def _parse_jsonl(path: Path, text: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: not JSON ({error}).") from None
        if not isinstance(row, dict):
            raise DatasetError(
                f"{path}, line {number}: expected an object, got {type(row).__name__}."
            )
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)  # a missing number would make all of them floats


# ------------------------------------------------------------------ cleaning


def _clean(table: RawTable, where: dict[str, Any], min_samples: int) -> Dataset:
    frame, columns = table.frame, table.columns
    _require_columns(table, [*columns.text, columns.label, *where])
    dropped: dict[str, int] = {}

    def keep(rows: "pd.Series[bool]", reason: str) -> None:
        nonlocal frame
        if count := int((~rows).sum()):
            dropped[reason] = count
        frame = frame[rows]

    for column, value in where.items():
        keep(_as_text(frame[column]) == str(value), f"where {column} is not {value}")
    label = _as_text(frame[columns.label]).str.strip()
    values = [_as_text(frame[column]) for column in columns.text]
    frame = pd.DataFrame(
        {
            "row": list(zip(*values, strict=True)),
            "text": pd.Series(map("\n".join, zip(*values, strict=True)), frame.index, dtype=str),
            "label": label,
            "own_test": frame.get(OWN_TEST_SPLIT, False),
        },
        index=frame.index,
    )
    keep(frame["label"] != "", "label missing")
    keep(frame["text"].str.strip() != "", "text empty")
    keep(~frame.duplicated(["text", "label"]), "exact duplicate")
    counts = frame["label"].map(frame["label"].value_counts())
    keep(counts >= min_samples, f"label with fewer than {min_samples} rows")
    _require_labels(table, frame, dropped)
    conflicting = frame.loc[frame.duplicated("text", keep=False), "text"].unique()
    label_names = sorted(frame["label"].unique())
    own_test = frame["own_test"].to_numpy(dtype=bool)
    return Dataset(
        name=table.name,
        source=table.source,
        sha256=table.sha256,
        columns=columns,
        rows=frame["row"].tolist(),
        labels=np.searchsorted(label_names, frame["label"].to_numpy(dtype=str)).astype(np.int64),
        label_names=label_names,
        own_test=own_test if OWN_TEST_SPLIT in table.frame else None,
        rows_read=len(table.frame),
        dropped=dropped,
        conflicts=len(conflicting),
        conflict_examples=tuple(conflicting[:_CONFLICTS_SHOWN]),
    )


def _require_columns(table: RawTable, wanted: Sequence[str]) -> None:
    known = [str(column) for column in table.frame.columns if column != OWN_TEST_SPLIT]
    problems = []
    for column in dict.fromkeys(wanted):
        if column not in known:
            close = difflib.get_close_matches(column, known, n=1)
            problems.append(
                f"no column {column!r}." + (f" Did you mean {close[0]!r}?" if close else "")
            )
    if problems:
        raise DatasetError(
            f"{table.name}: {' '.join(problems)} Columns: {', '.join(known)}. "
            "Name them in the configuration: columns.text and columns.label."
        )


def _require_labels(table: RawTable, frame: pd.DataFrame, dropped: dict[str, int]) -> None:
    if frame["label"].nunique() >= 2:
        return
    reasons = "; ".join(f"{count} dropped: {reason}" for reason, count in dropped.items())
    found = ", ".join(map(repr, frame["label"].unique())) or "none"
    hint = (
        " Lower min_samples_per_label to keep rare labels." if "label with fewer" in reasons else ""
    )
    raise DatasetError(
        f"{table.name}: expected at least two labels, found {found} in {len(frame)} of {len(table.frame)} rows"
        + (f" ({reasons})." if reasons else ".")
        + hint
    )


def _as_text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column as strings; what is missing becomes the empty string."""
    return column.astype(object).where(column.notna(), "").map(str)
