"""The part of each row, training, validation or test, where a file, a column, groups or dates say it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit

from predict.wording import counted, did_you_mean, listed, suggestion
from train.config import TrainConfig
from train.config.sections import ColumnConfig, Columns, SplitConfig
from train.data.catalogue import CATALOGUE
from train.data.schema import as_numbers, as_text, is_missing_token
from train.data.sources import RawTable, fetch
from train.errors import DatasetError
from train.progress import Progress

Way = Literal["chance", "own", "file", "column", "groups", "time"]
Mask = npt.NDArray[np.bool_]

PARTS = ("train", "validation", "test")
_SYNONYMS = {
    **dict.fromkeys(("val", "valid", "dev", "validate", "development"), "validation"),
    **dict.fromkeys(("training", "tr", "trn"), "train"),
    **dict.fromkeys(("testing", "tst", "holdout", "held-out"), "test"),
}
_SHOWN = 5
# Of so many random choices of groups, the one whose labels are most like those of all rows is taken.
_CHOICES = 64


@dataclass(frozen=True)
class Division:
    """What is known of the parts of the rows; None where it is left to chance.

    Attributes:
        way: What says so.
        test: Which rows are the test, <bool>[num_rows].
        validation: Which rows validate, <bool>[num_rows].
        groups: The number of each row's group, <int64>[num_rows]; no group may be in two parts.
        times: When each row was, <float64>[num_rows], NaN where nobody knows; no later row may be in an earlier part.
        about: What to say of it, if it is not as usual.
        warnings: What must not be overlooked.
    """

    way: Way = "chance"
    test: Mask | None = None
    validation: Mask | None = None
    groups: npt.NDArray[np.int64] | None = None
    times: npt.NDArray[np.float64] | None = None
    about: str = ""
    warnings: tuple[str, ...] = ()

    def at(self, rows: npt.NDArray[Any]) -> "Division":
        """Return what is known of some of the rows."""
        names = ("test", "validation", "groups", "times")
        values = {name: getattr(self, name) for name in names}
        kept = {name: value[rows] for name, value in values.items() if value is not None}
        return replace(self, **kept)

    @property
    def unlearned(self) -> Mask | None:
        """The rows whose labels do not count as seen; None where all of them do, as chance will have it."""
        return None if self.way in ("chance", "own") else self.test

    def warned(self, warning: str) -> "Division":
        """Return it with another warning."""
        return replace(self, warnings=(*self.warnings, warning))


# ------------------------------------------------------------------- a file


def fetch_all(config: TrainConfig, progress: Progress | None = None) -> RawTable:
    """Fetch the dataset of a configuration, and below it the rows of its test file, if there is one.

    Raises:
        UnreachableError: A download is needed, and its host does not answer.
        DatasetError: A file cannot be read, or the columns of the two differ.
    """
    table = fetch(config, progress)
    file = config.split.test_file
    if file is None:
        return table
    _require_file(file)
    try:
        test = fetch(config.model_copy(update={"dataset": file, "sha256": None}), progress)
    except DatasetError as error:
        raise type(error)(f"split.test: {error}") from None
    return _joined(table, test, config)


def _require_file(file: str) -> None:
    if file in CATALOGUE:
        raise DatasetError(
            f"split.test: {file} is the name of a dataset. Expected the path or URL of a file."
        )
    if urlsplit(file).scheme not in ("http", "https") and not Path(file).expanduser().is_file():
        raise DatasetError(
            f"split.test: {file!r} is no file. Expected a share, or a file with the columns of the dataset; "
            "relative paths start where the command is run."
        )


def _joined(table: RawTable, test: RawTable, config: TrainConfig) -> RawTable:
    if table.own_test is not None:
        raise DatasetError(
            f"split.test: {table.name} has a test split of its own. Leave out {test.name}."
        )
    if table.sha256 == test.sha256:
        raise DatasetError(
            f"split.test: {test.name} is the same file as {table.name}: the model would be tested on what it "
            "was trained on. Name the file of the test rows, or a share."
        )
    required = _required(table, config)
    lacking = [name for name in required if name not in test.frame]
    if lacking:
        label = config.columns.label if config.columns else Columns().label
        why = " Without labels nothing can be measured." if label in lacking else ""
        hint = did_you_mean(lacking[0], test.frame.columns)
        raise DatasetError(
            f"split.test: {test.name} has no column {listed(list(map(repr, lacking)), _SHOWN)}, which {table.name} "
            f"has.{why}{hint} Its columns: {', '.join(test.frame.columns)}."
        )
    shared = test.frame[[name for name in table.frame if name in test.frame]]
    is_test = np.repeat([False, True], [len(table.frame), len(test.frame)])
    return replace(
        table,
        frame=pd.concat([table.frame, shared], ignore_index=True)[list(table.frame.columns)],
        sha256=_both(table.sha256, test.sha256),
        own_test=is_test,
        test_warnings=_left_out(table, test),
    )


def _left_out(table: RawTable, test: RawTable) -> tuple[str, ...]:
    more = [repr(name) for name in test.frame if name not in table.frame]
    if not more:
        return ()
    names = f"{listed(more, _SHOWN)}, which {table.name} does not have"
    return (f"left out of {test.name}: {counted(len(more), 'column')} {names}",)


def _required(table: RawTable, config: TrainConfig) -> list[str]:
    """Return the columns that the test file must have: all but those that are ignored."""
    columns = config.columns or Columns(text=["text"] if "text" in table.frame else None)
    named = [*(columns.text or ()), *columns.inputs, columns.label, *config.where]
    names = table.frame.columns if columns.text is None else named
    ignored = [name for name, column in columns.inputs.items() if column.kind == "ignore"]
    return [name for name in dict.fromkeys(names) if name in table.frame and name not in ignored]


def _both(first: str, second: str) -> str:
    return hashlib.sha256((first + second).encode()).hexdigest()


# ---------------------------------------------------------- columns of a table


def columns_without_inputs(split: SplitConfig, columns: Columns) -> dict[str, str]:
    """Return column -> why it is no input, of the columns that say in which part a row is."""
    if split.column is not None:
        return {split.column: "it says which rows are for training and which for the test"}
    declared = columns.inputs.get(str(split.by), ColumnConfig(type="ignore")).kind != "ignore"
    if split.by is None or declared or split.by in (columns.text or ()):
        return {}
    return {split.by: "the rows are split by it"}


def problems_of(table: RawTable, columns: Columns, split: SplitConfig) -> list[str]:
    """Return what keeps a table from being split as configured; nothing if it can be."""
    chosen = {key: getattr(split, key) for key in ("column", "by", "by_time")}
    problems = []
    for key, name in chosen.items():
        if name is None:
            continue
        if table.own_test is not None:
            problems.append(f"split.{key}: {table.name} has a test split of its own. Leave it out.")
        elif name not in table.frame:
            hint = suggestion(name, table.frame.columns.tolist(), most=12)
            problems.append(f"split.{key}: no column {name!r}.{hint}")
        elif name == columns.label:
            problems.append(f"split.{key}: {name!r} is the label (columns.label).")
    name = split.column
    declared = columns.inputs.get(str(name), ColumnConfig(type="ignore")).kind
    if name is not None and (declared != "ignore" or name in (columns.text or ())):
        problems.append(
            f"split.column: {name!r} says which part a row is in and cannot be an input, "
            "because a request has no part. Take it out of columns."
        )
    return problems


def divide(
    table: RawTable, rows: "pd.Index[int]", labels: "pd.Series[Any]", config: TrainConfig
) -> Division:
    """Return what is known of the parts of rows of a table.

    Args:
        table: All rows.
        rows: The rows that are left of it.
        labels: Their labels; numbers or sets of labels if the task is another one.
        config: What to train.

    Raises:
        DatasetError: The column does not say it for every row, or there are too few groups or dates.
    """
    split = config.split
    if table.own_test is not None:
        way: Way = "own" if split.test_file is None else "file"
        about = f"the test rows are those of {split.test_file}" if split.test_file else ""
        return Division(way, test=table.own_test[rows], about=about, warnings=table.test_warnings)
    if split.column is not None:
        return _by_column(table, table.frame[split.column].loc[rows], split)
    if split.by is not None:
        stratify = labels if config.task == "classification" else None
        return _by_groups(table, table.frame[split.by].loc[rows], stratify, split)
    if split.by_time is not None:
        return _by_time(table, table.frame[split.by_time].loc[rows], split)
    return Division()


def _by_column(table: RawTable, cells: "pd.Series[Any]", split: SplitConfig) -> Division:
    texts = as_text(cells).str.strip().str.lower()
    wrong = texts[~texts.isin(PARTS)]
    if len(wrong):
        counts = wrong.value_counts()
        shown = [
            f"{value!r} in {counted(count, 'row')}"
            + (f" (write {_SYNONYMS[value]})" if value in _SYNONYMS else "")
            for value, count in zip(counts.index.tolist(), counts.tolist(), strict=True)
        ]
        raise DatasetError(
            f"{table.name}: split.column: {split.column} must be train, validation or test in every row; "
            f"it is {listed(shown, _SHOWN)}, the first in row {int(wrong.index[0]) + 1}."
        )
    masks = {part: (texts == part).to_numpy(dtype=bool) for part in PARTS}
    lacking = [part for part in ("train", "test") if not masks[part].any()]
    if lacking:
        raise DatasetError(
            f"{table.name}: split.column: no row of {split.column} is {' or '.join(lacking)}. "
            f"It has {', '.join(map(repr, sorted(texts.unique())))}."
        )
    validation = masks["validation"] if masks["validation"].any() else None
    says = "the parts" if validation is not None else "the test rows"
    about = f"the column {split.column} says {says}"
    return Division("column", masks["test"], validation, about=about)


def _by_groups(
    table: RawTable,
    cells: "pd.Series[Any]",
    labels: "pd.Series[Any] | None",
    split: SplitConfig,
) -> Division:
    texts = as_text(cells).str.strip()
    missing = is_missing_token(texts).to_numpy(dtype=bool)
    codes, names = pd.factorize(texts)
    groups = codes.astype(np.int64)
    groups[missing] = len(names) + np.arange(missing.sum())  # nobody knows whose they are
    count = len(np.unique(groups))
    if count < len(PARTS):
        raise DatasetError(
            f"{table.name}: split.by: {split.by} has {counted(count, 'group')}; each of train, validation and test "
            "needs one. Name another column."
        )
    strata = None if labels is None else pd.factorize(labels)[0]
    test = hold_out_groups(groups, strata, split.test_share, split.seed)
    tested = counted(len(np.unique(groups[test])), "group")
    about = f"by {split.by}: none of its {count:,} groups is in two parts; {tested} to test"
    division = Division("groups", test, groups=groups, about=about)
    if missing.any():
        division = division.warned(
            f"{counted(int(missing.sum()), 'row')} without a value in {split.by}: each is a group of its own"
        )
    if count == len(texts):
        division = division.warned(
            f"every row has another {split.by}: this is the same as a split by chance"
        )
    return division


def _by_time(table: RawTable, cells: "pd.Series[Any]", split: SplitConfig) -> Division:
    times = read_times(table, cells, split)
    missing = np.isnan(times)
    try:
        test = hold_out_newest(times, split.test_share)
    except ValueError as error:
        raise DatasetError(
            f"{table.name}: split.by_time: {split.by_time}: {error}. Name another column."
        ) from None
    first = as_text(cells)[test].iloc[int(np.argmin(times[test]))].strip()
    division = Division(
        "time", test, times=times, about=f"by {split.by_time}: the test rows begin with {first}"
    )
    if missing.any():
        division = division.warned(
            f"{counted(int(missing.sum()), 'row')} without a value in {split.by_time}: trained on, "
            "although nobody knows whether they are older than the test"
        )
    return division


def read_times(
    table: RawTable, cells: "pd.Series[Any]", split: SplitConfig
) -> npt.NDArray[np.float64]:
    """Return dates as seconds and numbers as they are, NaN where one is missing.

    Raises:
        DatasetError: There is something else.
    """
    texts = as_text(cells).str.strip()
    missing = is_missing_token(texts)
    numbers, wrong = as_numbers(texts)
    if not wrong.any():
        return np.asarray(numbers, np.float64)
    known = texts.mask(missing, None).astype(object)
    moments = pd.to_datetime(known, format="ISO8601", utc=True, errors="coerce")
    wrong = moments.isna() & ~missing
    if wrong.any():
        shown = listed([repr(value) for value in texts[wrong].unique()[:_SHOWN]])
        raise DatasetError(
            f"{table.name}: split.by_time: {split.by_time} must hold dates (ISO 8601, such as 2024-01-31) or numbers; "
            f"{counted(int(wrong.sum()), 'row')} hold something else, the first is row "
            f"{int(wrong.index[wrong.to_numpy()][0]) + 1}: {shown}. Write the dates as year-month-day."
        )
    seconds = (moments - pd.Timestamp("1970-01-01", tz="UTC")).dt.total_seconds()
    return np.asarray(seconds, np.float64)


# ------------------------------------------------------------------- choosing


def hold_out_groups(
    groups: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64] | None,
    share: float,
    seed: int,
) -> Mask:
    """Choose groups with about a share of the rows, and with labels as in all rows as far as possible.

    Args:
        groups: The number of each row's group, <int64>[num_rows].
        labels: The number of each row's label, <int64>[num_rows], if it has one.
        share: The share of the rows.
        seed: Of the choices.

    Raises:
        ValueError: There are too few groups.
    """
    strata = np.zeros(len(groups), np.int64) if labels is None else labels
    counts = np.bincount(strata)
    splitter = GroupShuffleSplit(_CHOICES, test_size=share, random_state=seed)

    def distance(held: npt.NDArray[np.int64]) -> tuple[int, float]:
        there = np.bincount(strata[held], minlength=len(counts))
        lost = int(((there == counts) & (counts > 0)).sum())  # no row is left to learn from
        return lost, float(np.abs(there - share * counts).sum())

    best = min((held for _, held in splitter.split(groups, groups=groups)), key=distance)
    mask = np.zeros(len(groups), dtype=bool)
    mask[best] = True
    return mask


def hold_out_newest(times: npt.NDArray[np.float64], share: float) -> Mask:
    """Choose the newest rows, about a share of those with a date; rows of one moment stay together.

    Raises:
        ValueError: There is one moment only, or none.

    >>> hold_out_newest(np.array([3.0, 1.0, 2.0, np.nan, 3.0]), 0.25).tolist()
    [True, False, False, False, True]
    """
    moments, counts = np.unique(times[~np.isnan(times)], return_counts=True)
    if len(moments) < 2:
        raise ValueError(f"there {'is one moment' if len(moments) else 'are no dates'} only")
    newer = counts[::-1].cumsum()[::-1]  # rows that are at least as new
    distances = np.abs(newer[1:] - share * counts.sum())
    mask: Mask = times >= moments[1:][int(np.argmin(distances))]
    return mask


def moments_of(times: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Cut rows into `count` stretches of time, about equally many rows each; rows of one moment stay together.

    Returns:
        The number of each row's stretch, the oldest first; 0 for rows without a date.

    >>> moments_of(np.array([1.0, 2.0, 2.0, 3.0, 4.0, np.nan]), 2).tolist()
    [0, 0, 0, 1, 1, 0]
    """
    known = np.sort(times[~np.isnan(times)])
    middles = (np.searchsorted(known, times, "left") + np.searchsorted(known, times, "right")) / 2
    stretches = np.minimum(count * middles / max(1, len(known)), count - 1).astype(np.int64)
    return np.where(np.isnan(times), 0, stretches)


def unseen_labels(labels: Sequence[Any], unlearned: Mask) -> list[Any]:
    """Return the labels that occur in no other row than those."""
    series = pd.Series(list(labels), dtype=object)
    seen = set(series[~unlearned])
    return sorted(set(series[unlearned]) - seen)
