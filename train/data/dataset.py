"""The data layer: a table into rows that a model can learn from. Typed, cleaned, split."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from train.data.catalogue import CATALOGUE
from train.config import Columns, TrainConfig
from train.data.schema import (
    Typed,
    as_numbers,
    as_text,
    find_nested,
    is_missing,
    is_missing_token,
    type_columns,
)
from train.data.sources import DatasetError, RawTable, fetch

_CONFLICTS_SHOWN = 5
# A label that is a number with more values than this, and few rows for each, is a quantity and no class.
_MOST_NUMBERED_LABELS, _ROWS_PER_NUMBERED_LABEL = 100, 10
# Larger whole numbers are not told apart by doubles.
_WHOLE = 2**53


@dataclass(frozen=True)
class Dataset:
    """Clean, labelled rows.

    Attributes:
        frame: The inputs, a column each: numbers as float64, anything else as str.
        column_types: Input -> number, category, text or date, in the order of the columns.
        targets: What is to be predicted. Classification: <int64>[num_rows], indices into `label_names`;
            several labels at once: <bool>[num_rows, num_labels]; regression: <float64>[num_rows].
        label_names: In alphabetical order; empty for a regression.
        own_test: <bool>[num_rows] of the dataset's own test split, or None.
        dropped: Reason -> rows dropped for it.
        duplicates: Rows that are there already, label and all; of texts they are dropped.
        rare_labels: Labels taken off rows that have several, for being too rare.
        ignored: Column -> why it is not an input.
        conflicts: Texts that stand under more than one label: how many, and a few of them.
    """

    name: str
    source: str
    sha256: str
    frame: pd.DataFrame
    column_types: dict[str, str]
    columns: Columns
    targets: npt.NDArray[Any]
    label_names: list[str]
    own_test: npt.NDArray[np.bool_] | None
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    rare_labels: int = 0
    ignored: dict[str, str] = field(default_factory=dict)
    conflicts: int = 0
    conflict_examples: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    def texts(self, rows: npt.NDArray[np.int64] | None = None) -> list[str]:
        """Return one text a row, of all or the given rows: its columns as the predictor joins them."""
        frame = self.frame if rows is None else self.frame.iloc[rows]
        columns = [frame[name].tolist() for name in self.column_types]
        return columns[0] if len(columns) == 1 else list(map("\n".join, zip(*columns, strict=True)))

    def instances(self, rows: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return rows as a request would send them."""
        columns = [
            _as_json(self.frame[name].iloc[rows].tolist(), kind)
            for name, kind in self.column_types.items()
        ]
        return [dict(zip(self.column_types, values, strict=True)) for values in zip(*columns, strict=True)]

    def truth(self, row: int) -> Any:
        """Return the target of a row as an answer would give it."""
        target = self.targets[row]
        if self.targets.ndim == 2:
            return [name for name, given in zip(self.label_names, target, strict=True) if given]
        return self.label_names[target] if self.label_names else float(target)

    def label_counts(self) -> dict[str, int]:
        """Return label -> rows."""
        counts = (
            self.targets.sum(axis=0)
            if self.targets.ndim == 2
            else np.bincount(self.targets, minlength=len(self.label_names))
            if self.label_names
            else np.zeros(0)
        )
        return dict(zip(self.label_names, counts.tolist(), strict=True))


@dataclass(frozen=True)
class Split:
    """Row indices, <int64>[…] each, without overlap."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def load_dataset(config: TrainConfig) -> Dataset:
    """Fetch, read, check and clean the dataset of a configuration.

    Raises:
        UnreachableError: It is to be downloaded, and its host does not answer.
        DatasetError: Anything else that keeps it from being trained on.
    """
    config = complete(config)
    return clean(fetch(config), config)


def split_dataset(dataset: Dataset, config: TrainConfig) -> Split:
    """Split stratified by label; a test split of the dataset's own is kept as it is.

    Raises:
        DatasetError: There are too few rows for every part to have every label.
    """
    shares, rows = config.split, np.arange(len(dataset))
    if dataset.own_test is None:
        rest, test = split_rows(dataset, rows, shares.test, shares.seed, "test")
    else:
        rest, test = rows[~dataset.own_test], rows[dataset.own_test]
    share = (
        shares.validation * len(rows) / len(rest) if dataset.own_test is None else shares.validation
    )
    train, validation = split_rows(dataset, rest, share, shares.seed, "validation")
    return Split(train, validation, test)


def split_rows(
    dataset: Dataset, rows: npt.NDArray[np.int64], share: float, seed: int, part: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split rows in two, stratified where every row has one label; the second gets `share`.

    Raises:
        DatasetError: There are too few rows.
    """
    targets = dataset.targets[rows]
    labels = targets if dataset.label_names and targets.ndim == 1 else None
    try:
        kept, taken = train_test_split(rows, test_size=share, random_state=seed, stratify=labels)
    except ValueError as error:
        labelled = f" with {len(dataset.label_names)} labels" if dataset.label_names else ""
        every = " with every label in it" if labels is not None else ""
        raise DatasetError(
            f"{dataset.name}: too few rows to split: {len(rows)} rows{labelled} "
            f"cannot give {share:.0%} to {part}{every} ({error}) "
            f"Give more rows, a larger split.{part}, or raise min_samples_per_label."
        ) from None
    return kept, taken


def under_sample(
    dataset: Dataset, rows: npt.NDArray[np.int64], config: TrainConfig
) -> npt.NDArray[np.int64]:
    """Leave out rows of frequent labels, by chance, as far as `imbalance.under_sample` says; for training rows."""
    ratio = config.imbalance.under_sample
    if ratio is None:
        return rows
    labels = dataset.targets[rows]
    counts = np.bincount(labels)
    most = max(1, int(ratio * counts[counts > 0].min()))
    random = np.random.default_rng(config.split.seed)
    kept = [
        random.permutation(np.flatnonzero(labels == label))[:most] for label in range(len(counts))
    ]
    left: npt.NDArray[np.int64] = rows[np.sort(np.concatenate(kept))]
    return left


def complete(config: TrainConfig) -> TrainConfig:
    """Fill in what the catalogue knows of the dataset, its task and its columns; what is configured wins."""
    entry = CATALOGUE.get(config.dataset)
    task = config.task or (entry.task if entry else "classification")
    columns = _merged(entry.columns, config.columns) if entry else config.columns
    return config.model_copy(update={"task": task, "columns": columns})


def _merged(known: Columns, given: Columns | None) -> Columns:
    """Return what is known of columns, but for what is given."""
    if given is None:
        return known
    merged = known.model_copy(
        update={name: getattr(given, name) for name in given.model_fields_set}
    )
    taken = {merged.label, *(merged.text or ()), *given.inputs}
    rest = {name: column for name, column in known.inputs.items() if name not in taken}
    return merged.model_copy(update={"inputs": rest | given.inputs})


# ------------------------------------------------------------------ cleaning


class _Rows:
    """The rows that are left of a table, and why the others are not."""

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
    of_texts = set(typed.column_types.values()) == {"text"}
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
        conflicts=len(conflicting),
        conflict_examples=tuple(
            map("\n".join, conflicting[:_CONFLICTS_SHOWN].itertuples(index=False))
        ),
    )


def _equal(column: "pd.Series[Any]", value: str | float) -> "pd.Series[bool]":
    """Return where a column is what a configuration says: 3 is 3.0 and "3", true is "True"; a text is itself."""
    texts = as_text(column)
    if isinstance(value, bool):
        return texts.str.strip().str.lower() == str(value).lower()
    if isinstance(value, str):
        return texts == value
    return as_numbers(texts)[0] == value


def _read_labels(
    table: RawTable, column: "pd.Series[Any]", columns: Columns, config: TrainConfig
) -> "pd.Series[Any]":
    """Return the labels of the rows: a text each, empty where it is missing; several are a sorted tuple."""
    if config.task == "multilabel":
        cells = [_labels_in(cell, columns.separator) for cell in column.tolist()]
        return pd.Series(cells, column.index, dtype=object)
    if nested := find_nested(column):
        raise DatasetError(
            f"{table.name}: {columns.label}: {nested[0]}. "
            "For any number of labels a row, set task: multilabel."
        )
    labels = as_text(column).str.strip()
    return labels.mask(is_missing_token(labels), "") if config.task == "regression" else labels


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
    """Raise DatasetError if the labels are numbers that somebody measured rather than names of classes."""
    different = labels.nunique()
    if different <= max(_MOST_NUMBERED_LABELS, len(labels) // _ROWS_PER_NUMBERED_LABEL):
        return
    if not as_numbers(labels)[1].any():
        raise DatasetError(
            f"{table.name}: {columns.label} is a number with {different:,} different values in {len(labels):,} rows. "
            "To predict a number, set task: regression. If these are classes, write them as names (c17 for 17)."
        )


def _columns_of(table: RawTable, config: TrainConfig) -> Columns:
    """Return what is said of the columns; of a file of which nothing is said, `text` is the input."""
    if config.columns is not None:
        return config.columns
    return Columns(text=["text"]) if "text" in table.frame else Columns()


def _is_blank(values: pd.DataFrame) -> "pd.Series[bool]":
    return pd.concat([is_missing(column) for _, column in values.items()], axis=1).all(axis=1)


def _conflicts(texts: pd.DataFrame) -> pd.DataFrame:
    """Return texts that stand in more than one row, each once."""
    return texts[texts.duplicated(keep=False)].drop_duplicates()


def _numbers(
    table: RawTable, labels: "pd.Series[str]", columns: Columns
) -> npt.NDArray[np.float64]:
    """Return the targets of a regression."""
    values, _ = as_numbers(labels)
    wrong = ~np.isfinite(values)
    if wrong.any():
        found = ", ".join(map(repr, labels[wrong].unique()[:_CONFLICTS_SHOWN]))
        raise DatasetError(
            f"{table.name}: {columns.label}: a regression needs numbers; {int(wrong.sum()):,} of {len(labels):,} rows "
            f"have none, such as {found}. Mend them, leave them out with `where`, or set task: classification."
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
            f"{table.name}: no label in {columns.label} stands in {config.min_samples_per_label} rows or more "
            f"(min_samples_per_label). Are the labels of a row separated by {columns.separator!r} (columns.separator)?"
        )
    places = {name: place for place, name in enumerate(names)}
    given = np.zeros((len(sets), len(names)), dtype=bool)
    for row, labels in enumerate(sets):
        given[row, [places[label] for label in labels if label in places]] = True
    return _Targets(given, names, counts.total() - int(given.sum()))


def _as_json(values: list[Any], kind: str) -> list[Any]:
    if kind == "number":
        return [
            None
            if isnan(value)
            else int(value)
            if value % 1 == 0 and abs(value) < _WHOLE
            else value
            for value in values
        ]
    return values if kind == "text" else [value or None for value in values]


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


def _require_columns(table: RawTable, wanted: Sequence[str]) -> None:
    known = list(table.frame.columns)
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
    found = ", ".join(map(repr, rows.labels.unique())) or "none"
    hint = ""
    if any(reason.startswith("label with fewer") for reason in rows.dropped):
        hint = " Lower min_samples_per_label to keep rare labels."
        hint += " To predict a number, set task: regression." if of_numbers else ""
    raise DatasetError(
        f"{table.name}: expected at least two labels, found {found} in {len(rows.labels)} of {len(table.frame)} rows"
        f"{_why(rows)}.{hint}"
    )


def _why(rows: _Rows) -> str:
    reasons = "; ".join(f"{count} dropped: {reason}" for reason, count in rows.dropped.items())
    return f" ({reasons})" if reasons else ""
