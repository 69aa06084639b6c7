"""The profile of a file: its columns, a label that is guessed or named, duplicates, and what looks like a leak."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from predict.wording import counted, listed, shorten, suggestion
from train.config import TrainConfig
from train.config.sections import Columns, Task
from train.data.catalogue import complete
from train.data.notation import show_keys
from train.data.parts import PARTS
from train.data.quantities import read_quantities
from train.data.schema import (
    are_dates,
    as_categories,
    as_text,
    find_nested,
    is_missing_token,
    type_columns,
    unread_missing,
)
from train.data.sources import RawTable, fetch
from train.errors import DatasetError
from train.progress import Progress

# What labels are often called, the likeliest first.
_LABEL_NAMES = (
    *("label", "labels", "target", "class", "y", "outcome", "response", "sentiment", "tag", "tags"),
    *("category", "topic", "intent", "species", "survived", "churn", "spam", "diagnosis", "rating"),
)
_SEPARATORS = (",", ";", "|")
# What identifiers are called, and what has several rows.
_ID_NAME = re.compile(r"[a-z]Id$|(?i:(^|[_ .-])u?ids?$)")
_HOLDER_NAME = re.compile(
    r"[a-z]Id$|(?i:(^|[_ .-])(id|uid|user|customer|patient|session|group)s?$)"
)
# A number with more values than this is predicted as a number.
_MOST_CLASSES = 20
_EXAMPLES, _LONGEST_EXAMPLE = 3, 24
# Alone, a column that tells the label this well was probably written down after it.
_TELLS = 0.99
_ROWS_TRIED, _LEAVES, _FOLDS = 5000, 64, 3


@dataclass(frozen=True)
class Column:
    """One column of a file: `kind` is label, number, category, text, date or ignore."""

    name: str
    kind: str
    why: str
    missing: float
    different: int
    examples: tuple[str, ...]
    # Of texts: the words of the median and of the longest one in twenty.
    words: tuple[int, int] | None = None


@dataclass(frozen=True)
class Profile:
    """What is in a file.

    Attributes:
        label: The column that is to be predicted, and `why_label` why it was chosen.
        separator: multilabel: what separates the labels of a cell.
        labels: Label -> rows, the most frequent first; empty for a regression.
        values: The inputs, converted to their types.
        targets: The label of each row, a text; a number for a regression; a tuple for multilabel.
        decided: Key of the configuration -> how the file was read, where that was guessed.
        hints: What stands out, a sentence each.
        part: A column that says the part of each row.
        groups: Columns whose values may hold rows together.
        leaks: Columns that tell the label by themselves.
    """

    name: str
    rows: int
    columns: list[Column]
    label: str
    why_label: str
    task: Task
    why_task: str
    separator: str
    labels: dict[str, int]
    values: pd.DataFrame
    targets: "pd.Series[Any]"
    decided: dict[str, Any]
    hints: list[str]
    part: str | None
    groups: list[str]
    leaks: list[str]

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the names of the columns of some kinds."""
        return [column.name for column in self.columns if column.kind in kinds]


def profile_dataset(
    dataset: str,
    label: str | None,
    encoding: str | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Fetch a dataset, by name, path or URL, and look at it; see `profile_table`."""
    config = TrainConfig(dataset=dataset)
    if encoding is not None:
        config = config.model_copy(update={"encoding": encoding})
    return profile_table(fetch(config, progress), label, complete(config).columns)


def profile_table(
    table: RawTable, label: str | None = None, known: Columns | None = None
) -> Profile:
    """Look at every column of a table.

    Args:
        table: As it was read.
        label: The column to predict; None to guess it.
        known: What the catalogue knows of its columns, if it does.

    Raises:
        DatasetError: It has no rows, no such column, or none that could be predicted.
    """
    frame = table.frame
    if frame.empty or frame.shape[1] < 2:
        raise DatasetError(
            f"{table.name}: {counted(len(frame), 'row')} and {counted(frame.shape[1], 'column')}. Expected a header, "
            "rows below it, and a label beside at least one other column."
        )
    nested = [name for name in frame.columns.tolist() if find_nested(frame[name])]
    label, why_label = _label_of(table, label, known, nested)
    task, why_task, separator = _task_of(table, label)
    part = _part_column(frame, label)
    read = frame.drop(columns=[name for name in nested if name != label])
    typed, problems = type_columns(
        read.drop(columns=[] if part is None else [part]), Columns(label=label)
    )
    ignored = typed.ignored | dict.fromkeys(nested, "its cells are lists or objects")
    if part is not None:
        ignored[part] = "it says which rows are for training and which for the test"
    kinds = {**typed.column_types, **dict.fromkeys(ignored, "ignore"), label: "label"}
    whys = {**typed.reasons, **ignored, label: why_label}
    columns = [
        _describe(name, kinds[name], whys.get(name), frame[name]) for name in frame.columns.tolist()
    ]
    targets = _targets_of(frame[label], task, separator)
    labels = _count(targets, task)
    leaks = _leaks(typed.values, targets, task)
    groups = [column.name for column in columns if _holds_rows_together(column, len(frame))]
    hints = [
        *typed.warnings,
        *problems,
        *_duplicate_rows(frame, typed.values, typed.column_types, targets),
        *_about_labels(frame[label], labels, task),
        *(
            f"{label}: {why}"
            for why in (unread_missing(targets) if task == "classification" else ())
        ),
        *(f"{name} tells {label} by itself: is it known before the label is?" for name in leaks),
        *(
            f"{name} has {frame[name].nunique():,} values in {len(frame):,} rows: if the rows of one belong together, "
            f"set split.by: {name}"
            for name in groups
        ),
    ]
    return Profile(
        name=table.name,
        rows=len(frame),
        columns=columns,
        label=label,
        why_label=why_label,
        task=task,
        why_task=why_task,
        separator=separator,
        labels=labels,
        values=typed.values,
        targets=targets,
        decided=table.decided,
        hints=hints,
        part=part,
        groups=groups,
        leaks=leaks,
    )


# ---------------------------------------------------------------------- label


def _label_of(
    table: RawTable, label: str | None, known: Columns | None, nested: Sequence[str]
) -> tuple[str, str]:
    names = table.frame.columns.tolist()
    if label is not None:
        if label not in names:
            raise DatasetError(
                f"{table.name}: --label: no column {label!r}.{suggestion(label, names)}"
            )
        return label, "as --label says"
    if known is not None:
        return known.label, "as the catalogue says"
    by_name = {name.strip().lower(): name for name in reversed(names)}
    for usual in _LABEL_NAMES:
        if usual in by_name and _can_be_label(
            table.frame[by_name[usual]], by_name[usual] in nested
        ):
            return by_name[usual], "guessed, because labels are often called so"
    for name, why in ((names[-1], "last"), (names[0], "first")):
        if not _ID_NAME.search(name) and _can_be_label(table.frame[name], name in nested):
            return name, f"guessed, because it is the {why} column"
    fewest = [
        (table.frame[name].nunique(), name)
        for name in names
        if name not in nested and _can_be_label(table.frame[name], False)
    ]
    if not fewest:
        raise DatasetError(
            f"{table.name}: no column looks like a label. Name it with --label. Columns: {listed(names)}."
        )
    return min(fewest)[1], "guessed, because it has the fewest different values"


def _can_be_label(column: "pd.Series[Any]", nested: bool) -> bool:
    """Return whether there is something to predict: values that repeat, or a quantity."""
    if nested:
        return isinstance(column.iloc[0], (list, tuple, np.ndarray))
    texts = as_text(column).str.strip()
    known = texts[~is_missing_token(texts)]
    different = known.nunique()
    if different < 2:
        return False
    read = read_quantities(known)
    if read.are_numbers:
        numbering = different == len(known) and bool((read.numbers % 1 == 0).all())
        return not numbering
    if read.doubt:
        return True
    if are_dates(known):
        return False
    return different <= min(len(known) // 2, max(_MOST_CLASSES, len(known) // 5))


def _task_of(table: RawTable, label: str) -> tuple[Task, str, str]:
    column = table.frame[label]
    if find_nested(column):
        return "multilabel", "its cells are lists", ","
    texts = as_text(column).str.strip()
    known = texts[~is_missing_token(texts)]
    read = read_quantities(known)
    different = known.nunique()
    if read.doubt:
        return "regression", read.doubt, ","
    if read.are_numbers:
        if different > _MOST_CLASSES or bool((read.numbers % 1 != 0).any()):
            written = f", read with {show_keys(read.evident)}" if read.evident else ""
            return "regression", f"it is a number with {different:,} different values{written}", ","
        return "classification", f"it has {different:,} different values", ","
    for separator in _SEPARATORS:
        cells = known[known.str.contains(separator, regex=False)]
        parts = {part.strip() for cell in known.unique() for part in cell.split(separator)}
        if len(cells) > len(known) / 5 and len(parts) < different:
            why = f"{len(parts):,} labels in its cells, separated by {separator!r}"
            return "multilabel", why, separator
    return "classification", f"it has {different:,} different values", ","


def _part_column(frame: pd.DataFrame, label: str) -> str | None:
    for name in frame.columns.tolist():
        if name == label or find_nested(frame[name]):
            continue
        values = {str(value).strip().lower() for value in frame[name].unique()[: len(PARTS) + 1]}
        if {"train", "test"} <= values <= set(PARTS):
            return str(name)
    return None


def _targets_of(column: "pd.Series[Any]", task: Task, separator: str) -> "pd.Series[Any]":
    if task == "regression":
        return read_quantities(as_text(column).str.strip()).numbers
    if task == "multilabel":
        cells = [
            cell
            if isinstance(cell, (list, tuple, np.ndarray))
            else str(cell or "").split(separator)
            for cell in column.tolist()
        ]
        sets = [tuple(sorted({str(part).strip() for part in cell} - {""})) for cell in cells]
        return pd.Series(sets, column.index, dtype=object)
    return as_categories(as_text(column).str.strip())


def _count(targets: "pd.Series[Any]", task: Task) -> dict[str, int]:
    if task == "regression":
        return {}
    if task == "multilabel":
        return dict(Counter(label for labels in targets for label in labels).most_common())
    counts = targets[targets != ""].value_counts()
    return dict(zip(counts.index.tolist(), counts.tolist(), strict=True))


# -------------------------------------------------------------------- columns


def _describe(name: str, kind: str, why: str | None, cells: "pd.Series[Any]") -> Column:
    texts = cells.map(repr) if find_nested(cells) else as_text(cells).str.strip()
    # Elsewhere "none" may be a word.
    missing = is_missing_token(texts) if kind in ("number", "date") else texts == ""
    known = texts[~missing]
    different = int(known.nunique())
    words = None
    if kind == "text":
        counts = known.str.count(r"\S+")
        words = int(counts.median()), int(counts.quantile(0.95))
    return Column(
        name=name,
        kind=kind,
        why=why or _why(kind, different, words),
        missing=float(missing.mean()),
        different=different,
        examples=tuple(
            shorten(" ".join(value.split()), _LONGEST_EXAMPLE)
            for value in known.drop_duplicates().head(_EXAMPLES)
        ),
        words=words,
    )


def _why(kind: str, different: int, words: tuple[int, int] | None) -> str:
    if kind == "text" and words:
        return f"many different values, half of them of {words[0]:,} words or more"
    return {
        "number": "every value that is there is a number",
        "date": "every value that is there is a date",
        "category": f"only {different:,} different values",
    }.get(kind, "")


def _holds_rows_together(column: Column, rows: int) -> bool:
    """Return whether a column looks like the identifier of something that has several rows."""
    return (
        _HOLDER_NAME.search(column.name) is not None
        and column.kind != "label"
        and column.kind != "date"
        and 3 <= column.different <= rows * 0.8
    )


# ---------------------------------------------------------------------- hints


def _duplicate_rows(
    frame: pd.DataFrame, values: pd.DataFrame, kinds: dict[str, str], targets: "pd.Series[Any]"
) -> Iterator[str]:
    shown = frame.astype(str)
    if count := int(shown.duplicated().sum()):
        yield f"{counted(count, 'row')} the same as an earlier one in every column"
    if kinds and set(kinds.values()) == {"text"}:
        texts = values.agg("\n".join, axis=1).str.casefold().str.split().str.join(" ")
        labels = targets.astype(str).groupby(texts).nunique()
        if conflicts := int((labels > 1).sum()):
            yield f"{counted(conflicts, 'text')} with more than one label"


def _about_labels(column: "pd.Series[Any]", labels: dict[str, int], task: Task) -> Iterator[str]:
    texts = column.map(repr) if find_nested(column) else as_text(column).str.strip()
    missing = int((texts == "").sum())
    if missing and task != "multilabel":
        yield f"{counted(missing, 'row')} without a label: left out"
    if labels and max(labels.values()) > 10 * min(labels.values()):
        rarest, commonest = min(labels, key=labels.__getitem__), max(labels, key=labels.__getitem__)
        yield (
            f"the labels are not balanced: {shorten(commonest)} has {counted(labels[commonest], 'row')}, "
            f"{shorten(rarest)} has {labels[rarest]:,}"
        )


def _leaks(values: pd.DataFrame, targets: "pd.Series[Any]", task: Task) -> list[str]:
    """Return the columns from which a small tree tells the label of rows that it has not seen."""
    if task == "multilabel":
        return []
    there = np.flatnonzero(targets.notna() & (targets != ""))
    rows = np.random.default_rng(0).permutation(there)[:_ROWS_TRIED]
    answers = targets.iloc[rows]
    usual = 0.0
    if task == "classification":
        counts = answers.value_counts()
        answers = answers[answers.isin(counts.index[counts >= _FOLDS].tolist())]
        if answers.nunique() < 2:
            return []
        usual = float(answers.value_counts(normalize=True).iloc[0])
    if len(answers) < 10 * _FOLDS:
        return []
    return [
        name
        for name in values.columns.tolist()
        if (score := _score(values[name].loc[answers.index], answers, task)) >= _TELLS
        and (1 - score) < 0.2 * (1 - usual)
    ]


def _score(values: "pd.Series[Any]", answers: "pd.Series[Any]", task: Task) -> float:
    if values.dtype == float:
        inputs: npt.NDArray[np.float64] = values.to_numpy()[:, None]
    elif values.nunique() > len(values) / 2:
        return 0.0
    else:
        inputs = OrdinalEncoder().fit_transform(values.to_numpy()[:, None])
    kind = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    tree = kind(max_leaf_nodes=_LEAVES, random_state=0)
    targets = np.asarray(answers, np.float64 if task == "regression" else str)
    return float(cross_val_score(tree, inputs, targets, cv=_FOLDS).mean())
