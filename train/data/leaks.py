"""Leaks from training into the test: the same identifier, text or row of a table on both sides of a split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from predict.wording import counted, listed
from train.data.schema import as_text

Rows = npt.NDArray[np.int64]

# Rows of a table with few categories are equal by nature; of so many different rows they are not.
_MOSTLY_DIFFERENT = 0.9
_SHOWN = 3


@dataclass(frozen=True)
class Leaks:
    """How many test rows are known from outside the test split.

    Attributes:
        texts: Test rows whose text occurs there but for case, blanks and digits; None for a table.
        rows: Test rows whose inputs all occur together there; None for texts.
        identifiers: Column -> test rows whose value occurs there, of columns that differ in every row of a part.
        tested: The number of test rows.
    """

    texts: int | None
    rows: int | None
    identifiers: Mapping[str, int]
    tested: int

    def described(self) -> dict[str, object]:
        """Return what the metadata say."""
        counts = {"texts": self.texts, "rows": self.rows}
        known = {name: count for name, count in counts.items() if count is not None}
        return {**known, "identifiers": dict(self.identifiers)}


def find_leaks(
    frame: pd.DataFrame,
    texts: list[str] | None,
    identifiers: Mapping[str, npt.NDArray[np.int64]],
    known: Rows,
    test: Rows,
) -> Leaks:
    """Count the test rows that are known.

    Args:
        frame: The inputs of all rows.
        texts: The text of each row, if the inputs are nothing else.
        identifiers: As `codes_of_identifiers` returns them.
        known: The rows outside the test split.
        test: The test rows.
    """
    rows = None if texts is not None else _shared_rows(frame, known, test)
    shared = {name: _shared_values(codes, known, test) for name, codes in identifiers.items()}
    return Leaks(
        texts=None if texts is None else _shared(_hashes_of(texts), known, test),
        rows=rows,
        identifiers={name: count for name, count in shared.items() if count},
        tested=len(test),
    )


def codes_of_identifiers(cells: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """Return column -> a number for each value, -1 where it is missing, of the columns that may identify a row.

    At least half of the values of such a column are different, and they are no measurements.

    >>> codes_of_identifiers(pd.DataFrame({"id": ["7", "8", ""], "sex": ["f", "f", "f"]}))
    {'id': array([ 7,  8, -1])}
    """
    codes = {}
    for name in cells:
        texts = as_text(cells[name]).str.strip().astype(object)
        if texts.nunique() < max(2, len(texts) / 2) or texts.str.contains(r"^-?\d*\.\d+$").any():
            continue
        if texts.str.fullmatch(r"\d{1,18}|").all():
            numbers = np.asarray(texts.where(texts != "", "-1"), dtype=str).astype(np.int64)
        else:
            hashes = pd.util.hash_array(texts.to_numpy(dtype=object)) >> np.uint64(1)
            numbers = np.where(texts == "", -1, hashes.astype(np.int64))
        codes[str(name)] = numbers
    return codes


def sentences(described: Mapping[str, object], tested: int) -> Iterator[str]:
    """Say what was counted, a sentence for each count that is not zero.

    >>> list(sentences({"texts": 2, "identifiers": {}}, 50))
    ['2 of 50 test rows (4.0 %) have a text that occurs outside the test split, but for case, blanks and digits']
    """
    for key, what in (
        (
            "texts",
            "have a text that occurs outside the test split, but for case, blanks and digits",
        ),
        ("rows", "have the same inputs as a row outside the test split"),
    ):
        if count := described.get(key):
            assert isinstance(count, int)
            yield f"{_share(count, tested)} {what}"
    identifiers = described.get("identifiers")
    if identifiers and isinstance(identifiers, Mapping):
        shown = [f"{name} ({_share(count, tested)})" for name, count in identifiers.items()]
        yield f"the same value on both sides of the split: {listed(shown, _SHOWN)}"


def warning_of(leaks: Leaks) -> str:
    """Return one line for the terminal; nothing if there is nothing to warn of."""
    found = "; ".join(sentences(leaks.described(), leaks.tested))
    if not found:
        return ""
    return f"{found}. The metrics may be too good: docs/how-to/splits.md"


def _share(count: int, tested: int) -> str:
    return f"{count:,} of {counted(tested, 'test row')} ({100 * count / max(1, tested):.1f} %)"


def _shared(values: npt.NDArray[np.uint64], known: Rows, test: Rows) -> int:
    return int(np.isin(values[test], values[known]).sum())


def _hashes_of(texts: list[str]) -> npt.NDArray[np.uint64]:
    series = pd.Series(texts, dtype=object)
    same = series.str.casefold().str.replace(r"\d+", "0", regex=True)
    same = same.str.replace(r"\s+", " ", regex=True).str.strip()
    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(same.to_numpy(dtype=object))
    return hashes


def _shared_rows(frame: pd.DataFrame, known: Rows, test: Rows) -> int:
    """Count test rows that are equal to a known one; none if rows are equal to each other by nature."""
    hashes = np.asarray(pd.util.hash_pandas_object(frame, index=False), np.uint64)
    if len(np.unique(hashes[known])) < _MOSTLY_DIFFERENT * len(known):
        return 0
    return _shared(hashes, known, test)


def _is_numbering(codes: Rows) -> bool:
    """Return whether values number the rows of a file, as they may in two files beside each other."""
    return len(codes) > 0 and int(codes.max()) - int(codes.min()) + 1 == len(codes)


def _shared_values(codes: Rows, known: Rows, test: Rows) -> int:
    """Count test rows with a known value, if it identifies a row on either side."""
    there = [part[part >= 0] for part in (codes[known], codes[test])]
    if any(len(np.unique(part)) < len(part) for part in there) or all(map(_is_numbering, there)):
        return 0
    return int(np.isin(there[1], there[0]).sum())
