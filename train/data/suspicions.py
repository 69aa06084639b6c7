"""Suspicions about the columns of a dataset, said before training: what gives the label away, ids, and spellings."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from predict.wording import listed
from train.data.schema import is_missing

# In fewer rows, values that are all different say nothing.
_FEW_ROWS = 20
# A column says something about a label only if it is known in so many rows.
_KNOWN = 0.5
_SAME_LINE = 1 - 1e-12
_SPELLINGS_SHOWN = 5


def suspicions(
    frame: pd.DataFrame,
    column_types: Mapping[str, str],
    targets: npt.NDArray[Any],
    label_names: list[str],
) -> list[str]:
    """Return what is suspicious about the inputs of a dataset and its labels, a sentence each."""
    found = []
    for name, kind in column_types.items():
        values, known = frame[name], ~is_missing(frame[name]).to_numpy()
        if kind in ("number", "category") and known.mean() > _KNOWN:
            told = _tells_label(values[known], targets[known], bool(label_names))
            why = (
                f"{told}: does it exist before the answer is known?" if told else _id(values, known)
            )
            if why:
                key = json.dumps(name, ensure_ascii=False)
                found.append(
                    f"{name}: {why} If it should not be learned from, set columns.inputs: {{{key}: ignore}}"
                )
        if kind == "category":
            found += [f"{name}: {why}" for why in _spellings(values[known].unique(), "categories")]
    return found + list(_spellings(label_names, "labels"))


def _tells_label(
    values: "pd.Series[Any]", targets: npt.NDArray[Any], of_labels: bool
) -> str | None:
    """Say whether a column is a copy of the target, or one by other names."""
    if targets.ndim == 2 or len(values) <= _FEW_ROWS:
        return None
    if of_labels:
        return "it tells the label in every row" if _is_recoded(values, targets) else None
    if values.dtype != float or values.nunique() < 2:
        return None
    numbers = values.to_numpy(dtype=float)
    with np.errstate(all="ignore"):
        correlation = np.corrcoef(numbers, targets)[0, 1]
    if np.array_equal(numbers, targets):
        return "it is a copy of the target"
    return "it lies on a line with the target" if abs(correlation) > _SAME_LINE else None


def _is_recoded(values: "pd.Series[Any]", targets: npt.NDArray[Any]) -> bool:
    """Return whether every value goes with one label, and every label with one value."""
    codes = pd.factorize(values)[0]
    # A number for each pair; hashing them is ten times as fast as sorting the pairs.
    pairs = len(pd.unique(codes * (targets.max() + 1) + targets))
    return pairs == len(pd.unique(codes)) == len(pd.unique(targets))


def _id(values: "pd.Series[Any]", known: npt.NDArray[np.bool_]) -> str | None:
    """Say whether a column looks like an id: whole numbers or names, all of them different."""
    if len(values) <= _FEW_ROWS or not known.all() or not values.is_unique:
        return None
    if values.dtype != float:
        return "it has another value in every row, as an id has."
    if not (values % 1 == 0).all():
        return None
    if values.is_monotonic_increasing or values.is_monotonic_decreasing:
        return "it counts the rows: whole numbers in order, all of them different."
    return "it has another whole number in every row, as an id has."


def _spellings(names: Iterable[str], what: str) -> Iterator[str]:
    """Name labels or categories that differ by case or blanks alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[" ".join(name.casefold().split())].append(name)
    groups = [sorted(group) for group in alike.values() if len(group) > 1]
    if groups:
        shown = [" and ".join(map(repr, group)) for group in groups]
        yield f"{what} differ by case or blanks alone: {listed(shown, _SPELLINGS_SHOWN)}. Are they the same?"
