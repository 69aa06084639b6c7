"""Slices: how good a model is on parts of the test rows, told apart by column."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from predict.wording import readable, suggestion
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.measures import measure_hits, measure_label_sets, measure_labels

# The most slices that are shown, of all columns together and of one that nobody has asked for.
_MOST_SHOWN, _MOST_OF_A_COLUMN = 60, 8
# So many columns of a table are looked at, from the first one on, if nobody asks for any.
_MOST_COLUMNS = 100
# With fewer rows a metric says nothing; a twentieth of a small test split will do, but never fewer than five rows.
_LEAST_ROWS, _LEAST_SHARE, _FEWEST_ROWS = 20, 20, 5
# A number with no more different values than this is sliced by value, any other by quartile.
_MOST_VALUES = 6
# A date column that spans no more years is sliced by quarter.
_MOST_YEARS_BY_QUARTER = 2
# So many standard errors from the other rows is no accident, though dozens of slices are looked at.
_CLEAR = 3.0
_UNKNOWN_EDGES = (0.0, 0.25, 0.5)
_UNKNOWN_NAMES = ("none", "up to 25 %", "25 to 50 %", "over 50 %")
MISSING = "(missing)"

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """Test rows told apart by something.

    Attributes:
        codes: Which of the values each row has, <int32>[num_rows].
        names: The values' names; rows whose value has the empty name are not looked at.
        is_target: Whether they are told apart by the truth.
    """

    name: str
    codes: Codes
    names: Sequence[str]
    is_target: bool = False


@dataclass(frozen=True)
class _Slice:
    column: Column
    code: int
    rows: int
    loss: float
    # Standard errors from the loss of the other rows; above 0 is worse.
    distance: float

    @property
    def clearly_worse(self) -> bool:
        return self.distance > _CLEAR


def problems_of(prepared: Prepared) -> list[str]:
    """Return what `evaluation.slices` names that is neither an input nor the label."""
    known = [*prepared.dataset.column_types, prepared.dataset.columns.label]
    return [
        f"evaluation.slices: {name!r} is neither an input nor the label.{suggestion(name, known)}"
        for name in prepared.config.evaluation.slices
        if name not in known
    ]


def measure_slices(
    answered: Answered, columns: Sequence[Column], chosen: bool
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Measure the model on parts of the test rows.

    Args:
        answered: The test rows.
        columns: By what they are told apart.
        chosen: Whether somebody asked for these columns; otherwise no column may crowd out the rest.

    Returns:
        For each slice its `column`, `value`, `rows`, metrics (None where they have no meaning) and `differs`
        ("worse" or "better" if it is three standard errors from the other rows, otherwise None). The clearly worse
        slices come first, and the worst of them at the top. And about all slices: `least_rows`, `too_small`,
        `not_shown`.
    """
    count = len(answered.truth)
    least = max(_FEWEST_ROWS, min(_LEAST_ROWS, count // _LEAST_SHARE))
    losses = answered.losses()
    by_column, too_small = [], 0
    for column in columns:
        slices = _slices_of(column, losses)
        large = [part for part in slices if part.rows >= least]
        too_small += len(slices) - len(large)
        # A slice of all rows tells nothing new.
        by_column.append(sorted((part for part in large if part.rows < count), key=_badness))
    most = None if chosen else _MOST_OF_A_COLUMN
    shown = sorted((part for parts in by_column for part in parts[:most]), key=_badness)
    shown = shown[:_MOST_SHOWN]
    left_out = sum(map(len, by_column)) - len(shown)
    about = {"least_rows": least, "too_small": too_small, "not_shown": left_out}
    return [_describe(part, answered) for part in shown], about


def _badness(part: _Slice) -> tuple[bool, float]:
    return not part.clearly_worse, -part.loss


def _slices_of(column: Column, losses: Floats) -> list[_Slice]:
    rows = np.bincount(column.codes, minlength=len(column.names))
    sums = np.bincount(column.codes, weights=losses, minlength=len(column.names))
    total, spread = losses.sum(), losses.std()
    slices = []
    for code in map(int, np.flatnonzero(rows)):
        if not column.names[code]:
            continue
        inside, outside = int(rows[code]), len(losses) - int(rows[code])
        loss, distance = sums[code] / inside, 0.0
        if outside and spread:
            rest = (total - sums[code]) / outside
            distance = (loss - rest) / (spread * np.sqrt(1 / inside + 1 / outside))
        slices.append(_Slice(column, code, inside, float(loss), float(distance)))
    return slices


def _describe(part: _Slice, answered: Answered) -> dict[str, Any]:
    measured = measure(answered.part(part.column.codes == part.code))
    if part.column.is_target and answered.kind == "label":  # all rows have the same label
        measured["macro_f1" if answered.positive is None else "precision"] = None
    better = part.distance < -_CLEAR
    return {
        "column": part.column.name,
        "value": part.column.names[part.code],
        "rows": part.rows,
        **measured,
        "differs": "worse" if part.clearly_worse else "better" if better else None,
    }


def measure(answered: Answered) -> dict[str, float | None]:
    """Return the two or three numbers that a slice is judged by; None where one has no meaning."""
    truth, answers = answered.truth, answered.answers
    if answered.kind == "number":
        error = answers - truth
        return {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "mean_error": float(error.mean()),
        }
    if answered.kind == "labels":
        of_sets = measure_label_sets(truth, answers)
        has_any = bool(truth.any() or answers.any())  # else there is no F1
        return {
            "micro_f1": of_sets["micro_f1"] if has_any else None,
            "subset_accuracy": of_sets["subset_accuracy"],
        }
    measured: dict[str, float | None] = dict(measure_labels(truth, answers))
    positive = answered.positive
    if positive is not None:
        hits = measure_hits(truth == positive, answers == positive)
        del measured["macro_f1"]
        measured["precision"] = hits["precision"] if (answers == positive).any() else None
        measured["recall"] = hits["recall"] if (truth == positive).any() else None
        return measured
    said_of_truth = answered.outputs[np.arange(len(truth)), truth]
    tiny = np.finfo(np.float64).eps
    return measured | {"log_loss": float(-np.log(np.maximum(said_of_truth, tiny)).mean())}


# ------------------------------------------------------------------- columns


def columns_of(
    dataset: Dataset,
    rows: npt.NDArray[np.int64],
    names: Sequence[str],
    unknown_share: Floats | None,
) -> list[Column]:
    """Return what rows can be told apart by.

    A text is told apart by its number of words; if all inputs are texts, also by its share of unknown words.

    Args:
        dataset: The rows are some of its rows.
        rows: Which ones.
        names: The columns that somebody asks for; none: the first hundred, and the label.
        unknown_share: The share of unknown words of each row, <float64>[num_rows]; None where it is not known.
    """
    names = names or [*list(dataset.column_types)[:_MOST_COLUMNS], dataset.columns.label]
    columns: list[Column] = []
    for name in dict.fromkeys(names):
        if name == dataset.columns.label:
            columns += _of_target(dataset, rows)
        else:
            values = dataset.frame[name].iloc[rows].to_numpy()
            columns.append(_BY_TYPE[dataset.column_types[name]](name, values))
    reads_any = any(name in dataset.column_types for name in names)
    if unknown_share is not None and dataset.reads_only_texts and reads_any:
        codes = np.searchsorted(_UNKNOWN_EDGES, unknown_share, side="left")
        columns.append(Column("unknown words", codes.astype(np.int32), _UNKNOWN_NAMES))
    return [column for column in columns if len(column.names)]


def _of_target(dataset: Dataset, rows: npt.NDArray[np.int64]) -> Iterator[Column]:
    name, targets = dataset.columns.label, dataset.targets[rows]
    if dataset.kind == "labels":  # a row is in several slices
        for index, label in enumerate(dataset.label_names):
            yield Column(name, targets[:, index].astype(np.int32), ("", label), is_target=True)
    elif dataset.kind == "label":
        yield Column(name, targets.astype(np.int32), dataset.label_names, is_target=True)
    else:
        yield by_number(name, targets)


def by_number(name: str, values: Floats) -> Column:
    """Tell rows apart by a number: by value if there are few, otherwise by quartile."""
    missing = np.isnan(values)
    known = values[~missing]
    different = np.unique(known)
    if len(different) <= _MOST_VALUES:
        groups = np.searchsorted(different, values)
        names = [_show(value) for value in different]
    else:
        groups = np.searchsorted(np.quantile(known, (0.25, 0.5, 0.75)), values, side="right")
        groups, names = _named_by_range(np.where(missing, -1, groups), values)
    codes = np.where(missing, len(names), groups)
    return Column(name, codes.astype(np.int32), [*names, MISSING])


def _named_by_range(
    groups: npt.NDArray[np.int64], values: Floats
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Number the groups that have rows, and name them by their smallest and largest value."""
    used = [group for group in np.unique(groups) if group >= 0]
    names = []
    for group in used:
        inside = values[groups == group]
        names.append(f"{_show(inside.min())} to {_show(inside.max())}")
    return np.searchsorted(used, groups), names


def _show(value: float) -> str:
    whole = value == round(value) and abs(value) < 10_000
    return f"{value:.0f}" if whole else readable(value)


def by_value(name: str, values: npt.NDArray[Any]) -> Column:
    """Tell rows apart by a category."""
    codes, names = pd.factorize(pd.Series(values, dtype=object), sort=False)
    return Column(name, codes.astype(np.int32), [str(value) or MISSING for value in names])


def by_date(name: str, values: npt.NDArray[Any]) -> Column:
    """Tell rows apart by the year of a date, or by its quarter if there are few years."""
    dates = [datetime.fromisoformat(value) if value else None for value in values]
    years = {date.year for date in dates if date}
    if len(years) <= _MOST_YEARS_BY_QUARTER:
        parts = [f"{date.year} Q{(date.month + 2) // 3}" if date else "" for date in dates]
    else:
        parts = [str(date.year) if date else "" for date in dates]
    return by_value(name, np.array(parts, object))


def by_length(name: str, values: npt.NDArray[Any]) -> Column:
    """Tell rows apart by the number of words of a text."""
    words = np.array([len(value.split()) for value in values], np.float64)
    return by_number(f"words in {name}", words)


_BY_TYPE: dict[str, Callable[[str, npt.NDArray[Any]], Column]] = {
    "number": by_number,
    "category": by_value,
    "date": by_date,
    "text": by_length,
}
