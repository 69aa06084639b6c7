"""The cleaning of a table: rows that cannot be learned from are dropped, and columns get their types."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import pandas as pd

from predict.contract.artefact import reads_only_texts
from predict.contract.canonical import canonical, form_of, text_of
from train.config import TrainConfig
from train.config.sections import Columns
from train.data.catalogue import complete
from train.data.dataset import Dataset
from train.data.schema import (
    Typed,
    as_categories,
    as_numbers,
    as_text,
    find_nested,
    is_missing,
    is_missing_token,
    type_columns,
)
from train.data.sources import DatasetError, RawTable, fetch

_CONFLICTS_SHOWN = 5
# A label that is a number with more values than this, and few rows for each, is a quantity, not a class.
_MOST_NUMBERED_LABELS, _ROWS_PER_NUMBERED_LABEL = 100, 10


def load_dataset(config: TrainConfig) -> Dataset:
    """Fetch, read, check and clean the dataset of a configuration.

    Raises:
        UnreachableError: It is to be downloaded, and its host does not answer.
        DatasetError: Anything else that keeps it from being trained on.
    """
    config = complete(config)
    return clean(fetch(config), config)


# ------------------------------------------------------------------ cleaning


class _Rows:
    """The rows that are left of a table, and why rows were dropped."""

    def __init__(self, table: RawTable, label: str) -> None:
        self.frame = table.frame
        self.labels: pd.Series[Any] = table.frame[label]
        self.own_test = table.own_test
        self.dropped: dict[str, int] = {}

    def drop(self, wrong: "pd.Series[bool]", reason: str) -> None:
        if count := int(wrong.sum()):
            self.dropped[reason] = count
            kept = ~wrong.to_numpy(dtype=bool)
            self.frame, self.labels = self.frame[kept], self.labels[kept]
            if self.own_test is not None:
                self.own_test = self.own_test[kept]


def clean(table: RawTable, config: TrainConfig) -> Dataset:
    """Drop the rows that cannot be learned from, and give every column its type.

    Raises:
        DatasetError: Columns are missing, labels or values are not what was declared, or nothing is left.
    """
    columns = _columns_of(table, config)
    _require_columns(table, [*(columns.text or []), *columns.inputs, columns.label, *config.where])
    rows = _Rows(table, columns.label)
    for column, value in config.where.items():
        rows.drop(~_equal(rows.frame[column], value), f"where {column} is not {value}")
    rows.labels = _read_labels(table, rows.labels, columns, config)
    if config.task != "multilabel":  # where a row may well have no label
        rows.drop(rows.labels == "", "label missing")
    _require_rows(table, rows)
    typed = _type_inputs(table, rows.frame, columns)
    rows.frame = typed.values
    of_texts = reads_only_texts(typed.column_types)
    rows.drop(_is_blank(rows.frame), "text empty" if of_texts else "every input missing")
    _require_rows(table, rows)
    duplicated = pd.concat([rows.frame, rows.labels.rename(None)], axis=1).duplicated()
    if of_texts:  # two rows of a table may be equal and still be two
        rows.drop(duplicated, "exact duplicate")
    targets = _targets_of(table, rows, columns, config)
    conflicting = _conflicts(rows.frame) if of_texts else rows.frame[:0]
    return Dataset(
        name=table.name,
        source=table.source,
        sha256=table.sha256,
        frame=rows.frame.reset_index(drop=True),
        column_types=typed.column_types,
        columns=columns,
        targets=targets.values,
        label_names=targets.label_names,
        own_test=rows.own_test,
        rows_read=len(table.frame),
        dropped=rows.dropped,
        duplicates=int(duplicated.sum()),
        rare_labels=targets.rare_labels,
        ignored=typed.ignored,
        row_numbers=rows.frame.index.to_numpy(np.int64) + 1,
        conflicts=len(conflicting),
        conflict_examples=tuple(
            map("\n".join, conflicting[:_CONFLICTS_SHOWN].itertuples(index=False))
        ),
    )


def _equal(column: "pd.Series[Any]", value: str | float) -> "pd.Series[bool]":
    """Return where a column equals a configured value: 3 equals 3.0 and "3", true equals "True".

    A text equals what is written alike; in a column of booleans or of whole numbers, what means the same.
    """
    texts = as_text(column)
    if isinstance(value, bool):
        return texts.str.strip().str.lower() == text_of(value)
    if not isinstance(value, str):
        return as_numbers(texts)[0] == value
    if form := form_of(texts.str.strip().unique().tolist()):
        return as_categories(texts) == canonical(value, form)
    return texts.str.normalize("NFC") == normalize("NFC", value)


def _read_labels(
    table: RawTable, column: "pd.Series[Any]", columns: Columns, config: TrainConfig
) -> "pd.Series[Any]":
    """Return the label of each row, empty where it is missing; for multilabel a sorted tuple of labels."""
    if config.task == "multilabel":
        cells = [_labels_in(cell, columns.separator) for cell in column.tolist()]
        return pd.Series(cells, column.index, dtype=object)
    if nested := find_nested(column):
        raise DatasetError(
            f"{table.name}: {columns.label}: {nested[0]}. "
            "For any number of labels a row, set task: multilabel."
        )
    labels = as_text(column).str.strip()
    if config.task == "regression":
        return labels.mask(is_missing_token(labels), "")
    return as_categories(labels)


def _labels_in(cell: object, separator: str) -> tuple[str, ...]:
    """Return the labels of a cell: a text with separators, or a list as JSON and Parquet know them."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        parts = [str(part) for part in cell]
    else:
        [text] = as_text(pd.Series([cell], dtype=object))
        parts = text.split(separator)
    return tuple(sorted({label for part in parts if (label := part.strip())}))


@dataclass(frozen=True)
class _Targets:
    values: npt.NDArray[Any]
    label_names: list[str]
    rare_labels: int = 0


def _targets_of(table: RawTable, rows: _Rows, columns: Columns, config: TrainConfig) -> _Targets:
    if config.task == "regression":
        return _Targets(_numbers(table, rows.labels, columns), [])
    if config.task == "multilabel":
        return _label_sets(table, rows.labels, columns, config)
    _refuse_quantities(table, rows.labels, columns)
    least, of_numbers = config.min_samples_per_label, not as_numbers(rows.labels)[1].any()
    rows.drop(
        rows.labels.map(rows.labels.value_counts()) < least, f"label with fewer than {least} rows"
    )
    _require_labels(table, rows, of_numbers)
    names = sorted(rows.labels.unique().tolist())
    return _Targets(pd.Index(names, dtype=object).get_indexer(rows.labels.astype(object)), names)


def _refuse_quantities(table: RawTable, labels: "pd.Series[str]", columns: Columns) -> None:
    """Raise DatasetError if the labels are measured numbers rather than names of classes."""
    different = labels.nunique()
    if different <= max(_MOST_NUMBERED_LABELS, len(labels) // _ROWS_PER_NUMBERED_LABEL):
        return
    if not as_numbers(labels)[1].any():
        raise DatasetError(
            f"{table.name}: {columns.label} is a number with {different:,} different values in {len(labels):,} rows. "
            "To predict a number, set task: regression. If these are classes, write them as names (c17 for 17)."
        )


def _columns_of(table: RawTable, config: TrainConfig) -> Columns:
    """Return the declared columns; where nothing is declared, a column `text` is the input."""
    if config.columns is not None:
        return config.columns
    return Columns(text=["text"]) if "text" in table.frame else Columns()


def _is_blank(values: pd.DataFrame) -> "pd.Series[bool]":
    return pd.concat([is_missing(column) for _, column in values.items()], axis=1).all(axis=1)


def _conflicts(texts: pd.DataFrame) -> pd.DataFrame:
    """Return the texts that occur in more than one row, each once."""
    return texts[texts.duplicated(keep=False)].drop_duplicates()


def _numbers(
    table: RawTable, labels: "pd.Series[str]", columns: Columns
) -> npt.NDArray[np.float64]:
    """Return the targets of a regression."""
    values, _ = as_numbers(labels)
    wrong = ~np.isfinite(values)
    if wrong.any():
        examples = ", ".join(map(repr, labels[wrong].unique()[:_CONFLICTS_SHOWN]))
        raise DatasetError(
            f"{table.name}: {columns.label}: a regression needs numbers; {int(wrong.sum()):,} of {len(labels):,} rows "
            f"have none, such as {examples}. Fix them, leave them out with `where`, or set task: classification."
        )
    if values.nunique() < 2:
        raise DatasetError(
            f"{table.name}: {columns.label} is the same in all {len(values):,} rows: there is nothing to learn."
        )
    numbers: npt.NDArray[np.float64] = np.asarray(values, np.float64)
    return numbers


def _label_sets(
    table: RawTable, sets: "pd.Series[Any]", columns: Columns, config: TrainConfig
) -> _Targets:
    """Return which rows have which labels, <bool>[num_rows, num_labels]."""
    counts = Counter(label for labels in sets for label in labels)
    names = sorted(name for name, count in counts.items() if count >= config.min_samples_per_label)
    if not names:
        raise DatasetError(
            f"{table.name}: no label in {columns.label} occurs in at least {config.min_samples_per_label} rows "
            f"(min_samples_per_label). Are the labels of a row separated by {columns.separator!r} (columns.separator)?"
        )
    indices = {name: index for index, name in enumerate(names)}
    has_label = np.zeros((len(sets), len(names)), dtype=bool)
    for row, labels in enumerate(sets):
        has_label[row, [indices[label] for label in labels if label in indices]] = True
    return _Targets(has_label, names, counts.total() - int(has_label.sum()))


def _type_inputs(table: RawTable, frame: pd.DataFrame, columns: Columns) -> Typed:
    typed, problems = type_columns(frame, columns)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DatasetError("\n  ".join([f"{table.name}: {count} with the columns", *problems]))
    if not typed.column_types:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in typed.ignored.items())
        raise DatasetError(
            f"{table.name}: no column is left to learn from ({reasons or 'there is only the label'}). "
            "Declare the type of a column in columns.inputs."
        )
    return typed


def _require_columns(table: RawTable, required: Sequence[str]) -> None:
    known = list(table.frame.columns)
    problems = []
    for column in dict.fromkeys(required):
        if column not in known:
            close = difflib.get_close_matches(column, known, n=1)
            problems.append(
                f"no column {column!r}." + (f" Did you mean {close[0]!r}?" if close else "")
            )
    if problems:
        raise DatasetError(
            f"{table.name}: {' '.join(problems)} Columns: {', '.join(known)}. "
            "Name them in the configuration: columns.text, columns.inputs and columns.label."
        )


def _require_rows(table: RawTable, rows: _Rows) -> None:
    if rows.frame.empty:
        raise DatasetError(
            f"{table.name}: none of its {len(table.frame)} rows is left{_why(rows)}."
        )


def _require_labels(table: RawTable, rows: _Rows, of_numbers: bool) -> None:
    if rows.labels.nunique() >= 2:
        return
    labels = ", ".join(map(repr, rows.labels.unique())) or "none"
    hint = ""
    if any(reason.startswith("label with fewer") for reason in rows.dropped):
        hint = " Lower min_samples_per_label to keep rare labels."
        hint += " To predict a number, set task: regression." if of_numbers else ""
    raise DatasetError(
        f"{table.name}: expected at least two labels, found {labels} in {len(rows.labels)} of {len(table.frame)} rows"
        f"{_why(rows)}.{hint}"
    )


def _why(rows: _Rows) -> str:
    reasons = "; ".join(f"{count} dropped: {reason}" for reason, count in rows.dropped.items())
    return f" ({reasons})" if reasons else ""
