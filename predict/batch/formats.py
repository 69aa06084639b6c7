"""The formats of files, by their names."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from predict.batch.errors import BatchError

Kind = Literal["separated", "json", "parquet"]

_KINDS: dict[str, Kind] = {
    ".csv": "separated",
    ".tsv": "separated",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
PIPE = "-"
_EXPECTED = "expected .csv, .tsv, .jsonl, .ndjson or .parquet; all but the last also with .gz"
_ADVICE = {
    ".json": " An array of objects is not read: write one object a line, as .jsonl.",
    ".xlsx": " Save the sheet as CSV.",
    ".txt": " Rename a file with a row a line to .csv; --separator says what is between its fields.",
}


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        suffix: `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.parquet`.
        is_packed: Whether it is gzipped.
    """

    suffix: str
    is_packed: bool

    @property
    def kind(self) -> Kind:
        """What it is, whatever is between its fields."""
        return _KINDS[self.suffix]

    @property
    def separator(self) -> str:
        """What is between the fields of separated values, unless something else says so."""
        return "\t" if self.suffix == ".tsv" else ","


def format_of(name: str, shown: str) -> Format:
    """Return the format of a file by its name.

    Args:
        name: A name or a path; of it, only the ending counts.
        shown: What a message calls it.

    Raises:
        BatchError: It has none of the endings.

    >>> format_of("a/b.CSV.gz", "b")
    Format(suffix='.csv', is_packed=True)
    """
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    is_packed = suffixes[-1:] == [".gz"]
    suffix = next(reversed(suffixes[:-1] if is_packed else suffixes), "")
    if suffix not in _KINDS:
        raise BatchError(f"{shown}: unknown format; {_EXPECTED}.{_ADVICE.get(suffix, '')}")
    if is_packed and suffix == ".parquet":
        raise BatchError(f"{shown}: Parquet is packed already; leave out .gz.")
    return Format(suffix, is_packed)
