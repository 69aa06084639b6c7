"""The evaluation layer: how the model does on parts of the test rows, by column. Arrays in, numbers out."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from train.config import ConfigError, TrainConfig
from train.data.dataset import Dataset
from train.evaluation.measures import measure_hits, measure_label_sets, measure_labels, positive_of
from train.models.decision import Decision

# Of slices: in all, and of one column if the columns are chosen automatically.
_MOST_SHOWN, _MOST_OF_A_COLUMN = 60, 8
# The first so many columns of a table are looked at, if nothing is said.
_MOST_COLUMNS = 100
# Below so many rows a metric says nothing; of a small test split a twentieth, but never below five.
_LEAST_ROWS, _LEAST_SHARE, _FEWEST_ROWS = 20, 20, 5
# Numbers with no more different values than this are sliced by value, others by quartile.
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
UnknownShare = Floats | Callable[[Sequence[str]], Floats]


@dataclass(frozen=True)
class Answered:
    """The test rows with their answers.

    Attributes:
        truth: As in `Dataset.targets`.
        outputs: Probabilities <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
        answers: As `Decision.answers` gives them.
    """

    truth: npt.NDArray[Any]
    outputs: Floats
    answers: npt.NDArray[Any]
    decision: Decision

    @classmethod
    def of(cls, truth: npt.NDArray[Any], outputs: Floats, decision: Decision) -> "Answered":
        """Let a decision answer; of two labels the positive one is then settled, for every part of the rows."""
        names = decision.label_names
        if len(names) == 2 and not decision.several:
            decision = replace(decision, positive=names[positive_of(truth, decision)])
        return cls(truth, outputs, decision.answers(outputs), decision)

    @property
    def kind(self) -> str:
        """One of number, labels, two and many: what is answered."""
        if not self.decision.label_names:
            return "number"
        if self.decision.several:
            return "labels"
        return "two" if len(self.decision.label_names) == 2 else "many"

    def losses(self) -> Floats:
        """Return how wrong each row is: 0 or 1, the share of wrong labels, or the absolute error."""
        if self.kind == "number":
            losses: Floats = np.abs(self.truth - self.answers)
        else:
            wrong = self.truth != self.answers
            losses = wrong.mean(axis=1) if self.kind == "labels" else wrong.astype(np.float64)
        return losses

    def part(self, rows: npt.NDArray[Any]) -> "Answered":
        """Return some of the rows."""
        return Answered(self.truth[rows], self.outputs[rows], self.answers[rows], self.decision)


@dataclass(frozen=True)
class Column:
    """Test rows told apart by something.

    Attributes:
        codes: Which of the names each row has, <int32>[num_rows].
        names: Of the values; rows whose value has the empty name are not looked at.
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


def check_slices(dataset: Dataset, config: TrainConfig) -> None:
    """Raise ConfigError if `evaluation.slices` names what is neither an input nor the label."""
    known = [*dataset.column_types, dataset.columns.label]
    problems = []
    for name in config.evaluation.slices:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            problems.append(f"evaluation.slices: {name!r} is no column of the model.{hint}")
    if problems:
        shown = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
        problems.append(f"Give inputs or the label, or leave it out: {shown}.")
        raise ConfigError("\n  ".join(problems))


def measure_slices(
    answered: Answered, columns: Sequence[Column], chosen: bool
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Measure the model on parts of the test rows.

    Args:
        answered: The test rows.
        columns: By what they are told apart.
        chosen: Whether somebody asked for these columns; otherwise none of them may crowd out the others.

    Returns:
        Of each slice its `column`, `value`, `rows`, metrics (None where they have no meaning) and `differs`
        ("worse" or "better" if it is three standard errors from the other rows, otherwise None); first those that
        are clearly worse, and then the worst. And what to know about them: `least_rows`, `too_small`, `not_shown`.
    """
    count = len(answered.truth)
    least = max(_FEWEST_ROWS, min(_LEAST_ROWS, count // _LEAST_SHARE))
    losses = answered.losses()
    found, too_small = [], 0
    for column in columns:
        slices = _slices_of(column, losses)
        large = [part for part in slices if part.rows >= least]
        too_small += len(slices) - len(large)
        # A slice of all rows tells nothing new.
        found.append(sorted((part for part in large if part.rows < count), key=_badness))
    kept = [part for parts in found for part in (parts if chosen else parts[:_MOST_OF_A_COLUMN])]
    shown = sorted(kept, key=_badness)[:_MOST_SHOWN]
    left_out = sum(map(len, found)) - len(shown)
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
    if part.column.is_target and answered.kind == "many":
        measured["macro_f1"] = None  # of one label alone
    if part.column.is_target and answered.kind == "two":
        measured["precision"] = None
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
        several = measure_label_sets(truth, answers)
        has_any = bool(truth.any() or answers.any())  # else there is no F1
        return {
            "micro_f1": several["micro_f1"] if has_any else None,
            "subset_accuracy": several["subset_accuracy"],
        }
    measured: dict[str, float | None] = dict(measure_labels(truth, answers))
    if answered.kind == "two":
        positive = positive_of(truth, answered.decision)
        hits = measure_hits(truth == positive, answers == positive)
        del measured["macro_f1"]
        measured["precision"] = hits["precision"] if (answers == positive).any() else None
        measured["recall"] = hits["recall"] if (truth == positive).any() else None
        return measured
    given = answered.outputs[np.arange(len(truth)), truth]
    tiny = np.finfo(np.float64).eps
    return measured | {"log_loss": float(-np.log(np.maximum(given, tiny)).mean())}


# ------------------------------------------------------------------- columns


def columns_of(
    dataset: Dataset,
    rows: npt.NDArray[np.int64],
    wanted: Sequence[str],
    unknown_share: UnknownShare | None,
) -> list[Column]:
    """Return by what rows can be told apart: the wanted columns, or all that seem worth it.

    A text is told apart by its number of words; if all inputs are texts, also by their share of unknown words, where
    that is given.
    """
    names = list(wanted) or [*list(dataset.column_types)[:_MOST_COLUMNS], dataset.columns.label]
    columns: list[Column] = []
    for name in dict.fromkeys(names):
        if name == dataset.columns.label:
            columns += _of_target(dataset, rows)
        else:
            values = dataset.frame[name].iloc[rows].to_numpy()
            columns.append(_COLUMNS_BY_KIND[dataset.column_types[name]](name, values))
    of_texts = set(dataset.column_types.values()) == {"text"}
    if (
        unknown_share is not None
        and of_texts
        and any(name in dataset.column_types for name in names)
    ):
        shares = unknown_share(dataset.texts(rows)) if callable(unknown_share) else unknown_share
        codes = np.searchsorted(_UNKNOWN_EDGES, shares, side="left")
        columns.append(Column("unknown words", codes.astype(np.int32), _UNKNOWN_NAMES))
    return [column for column in columns if len(column.names)]


def _of_target(dataset: Dataset, rows: npt.NDArray[np.int64]) -> Iterator[Column]:
    name, targets = dataset.columns.label, dataset.targets[rows]
    if targets.ndim == 2:  # a row is in several slices
        for index, label in enumerate(dataset.label_names):
            yield Column(name, targets[:, index].astype(np.int32), ("", label), is_target=True)
    elif dataset.label_names:
        yield Column(name, targets.astype(np.int32), dataset.label_names, is_target=True)
    else:
        yield by_number(name, targets)


def by_number(name: str, values: Floats) -> Column:
    """Tell rows apart by a number: by value if there are few, otherwise by quartile."""
    missing = np.isnan(values)
    known = values[~missing]
    different = np.unique(known)
    if len(different) <= _MOST_VALUES:
        places = np.searchsorted(different, values)
        names = [_show(value) for value in different]
    else:
        places = np.searchsorted(np.quantile(known, (0.25, 0.5, 0.75)), values, side="right")
        places, names = _named_by_range(np.where(missing, -1, places), values)
    codes = np.where(missing, len(names), places)
    return Column(name, codes.astype(np.int32), [*names, MISSING])


def _named_by_range(
    places: npt.NDArray[np.int64], values: Floats
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Number the groups that have rows, and name them by their smallest and largest value."""
    used = [place for place in np.unique(places) if place >= 0]
    names = []
    for place in used:
        inside = values[places == place]
        names.append(f"{_show(inside.min())} to {_show(inside.max())}")
    return np.searchsorted(used, places), names


def _show(value: float) -> str:
    whole = value == round(value) and abs(value) < 10_000
    return f"{value:.0f}" if whole else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


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


_COLUMNS_BY_KIND: dict[str, Callable[[str, npt.NDArray[Any]], Column]] = {
    "number": by_number,
    "category": by_value,
    "date": by_date,
    "text": by_length,
}
