"""The cleaning of a table: rows that cannot be learned from are dropped, and columns get their types."""

import difflib
import json
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
from predict.contract.label_sets import labels_in, listed_in
from predict.wording import counted, listed
from train.config import TrainConfig
from train.config.sections import Columns, NumberNotation
from train.data.catalogue import complete
from train.data.dataset import Dataset
from train.data.leaks import codes_of_identifiers
from train.data.notation import show_keys
from train.data.parts import (
    Division,
    columns_without_inputs,
    divide,
    fetch_all,
    problems_of,
    unseen_labels,
)
from train.data.quantities import Quantities, read_quantities
from train.data.schema import (
    Typed,
    as_categories,
    as_numbers,
    as_text,
    find_nested,
    is_missing,
    is_missing_token,
    type_columns,
    unread_missing,
)
from train.data.sources import RawTable
from train.data.suspicions import suspicions
from train.errors import DatasetError
from train.progress import Progress

_CONFLICTS_SHOWN = 5
# A separator that is in so few of the rows separates nothing, and another in so many may well.
_SEPARATORS, _HARDLY, _MANY = (";", "|", "\t", ","), 0.01, 0.1
# A label that is a number with more values than this, and few rows for each, is a quantity, not a class.
_MOST_NUMBERED_LABELS, _ROWS_PER_NUMBERED_LABEL = 100, 10


def load_dataset(config: TrainConfig, progress: Progress | None = None) -> Dataset:
    """Fetch, read, check and clean the dataset of a configuration.

    Args:
        config: Names the dataset, and how it is read.
        progress: Is told what was guessed, and what was left out.

    Raises:
        UnreachableError: It is to be downloaded, and its host does not answer.
        DatasetError: Anything else that keeps it from being trained on.
    """
    config = complete(config)
    return clean(fetch_all(config, progress), config)


# ------------------------------------------------------------------ cleaning


class _Rows:
    """The rows that are left of a table, and why rows were dropped."""

    def __init__(self, table: RawTable, label: str) -> None:
        self.frame = table.frame
        self.labels: pd.Series[Any] = table.frame[label]
        self.division = Division()
        self.dropped: dict[str, int] = {}

    def drop(self, wrong: "pd.Series[bool]", reason: str) -> None:
        if count := int(wrong.sum()):
            self.dropped[reason] = count
            kept = ~wrong.to_numpy(dtype=bool)
            self.frame, self.labels = self.frame[kept], self.labels[kept]
            self.division = self.division.at(kept)


def clean(table: RawTable, config: TrainConfig) -> Dataset:
    """Drop the rows that cannot be learned from, and give every column its type.

    Raises:
        DatasetError: Columns are missing, labels or values are not what was declared, or nothing is left.
    """
    columns = _columns_of(table, config)
    _require_columns(table, [*(columns.text or []), *columns.inputs, columns.label, *config.where])
    if problems := problems_of(table, columns, config.split):
        raise DatasetError(
            "\n  ".join([f"{table.name}: {counted(len(problems), 'problem')}", *problems])
        )
    rows = _Rows(table, columns.label)
    warnings: list[str] = []
    for column, value in config.where.items():
        rows.drop(~_equal(rows.frame[column], value), f"where {column} is not {value}")
    if config.task == "multilabel":
        warnings += _separator_warnings(rows.labels, columns)
    rows.labels = _read_labels(table, rows.labels, columns, config)
    if config.task != "multilabel":  # where a row may well have no label
        rows.drop(rows.labels == "", "label missing")
        warnings += [f"{columns.label}: {why}" for why in unread_missing(rows.labels)]
    _require_rows(table, rows)
    no_inputs = columns_without_inputs(config.split, columns)
    typed = _type_inputs(table, rows.frame.drop(columns=list(no_inputs)), columns)
    rows.frame = typed.values
    of_texts = reads_only_texts(typed.column_types)
    rows.drop(_is_blank(rows.frame), "text empty" if of_texts else "every input missing")
    _require_rows(table, rows)
    duplicated = pd.concat([rows.frame, rows.labels.rename(None)], axis=1).duplicated()
    if of_texts:  # two rows of a table may be equal and still be two
        rows.drop(duplicated, "exact duplicate")
    rows.division = divide(table, rows.frame.index, rows.labels, config)
    targets = _targets_of(table, rows, columns, config)
    conflicting = _conflicts(rows.frame) if of_texts else rows.frame[:0]
    return Dataset(
        name=table.name,
        source=table.source,
        sha256=table.sha256,
        frame=rows.frame.reset_index(drop=True),
        column_types=typed.column_types,
        columns=targets.with_notation(typed.columns),
        unit=targets.unit,
        targets=targets.values,
        label_names=targets.label_names,
        division=rows.division,
        decided=table.decided,
        file=table.file,
        rows_read=len(table.frame),
        dropped=rows.dropped,
        duplicates=int(duplicated.sum()),
        rare_labels=targets.rare_labels,
        row_numbers=rows.frame.index.to_numpy(np.int64) + 1,
        ignored={**typed.ignored, **no_inputs},
        identifiers=codes_of_identifiers(
            table.frame.loc[rows.frame.index, _unread(table, typed, columns)]
        ),
        conflicts=len(conflicting),
        conflict_examples=tuple(
            map("\n".join, conflicting[:_CONFLICTS_SHOWN].itertuples(index=False))
        ),
        reasons=typed.reasons,
        seen=typed.seen,
        notes=(*typed.notes, *targets.notes),
        warnings=(*warnings, *typed.warnings),
        suspicions=tuple(
            suspicions(rows.frame, typed.column_types, targets.values, targets.label_names)
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
    labels, missing = as_text(column).str.strip(), columns.missing
    if config.task == "regression":
        return labels.mask(is_missing_token(labels, missing), "")
    return as_categories(labels.mask(labels.isin(missing), ""))


def _labels_in(cell: object, separator: str) -> tuple[str, ...]:
    """Return the labels of a cell, whatever pandas has put into it."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    elif not isinstance(cell, (str, list, tuple)):
        cell = as_text(pd.Series([cell], dtype=object)).item()
    return tuple(labels_in(cell, separator))


def _separator_warnings(cells: "pd.Series[Any]", columns: Columns) -> list[str]:
    """Warn if the configured separator is hardly in a cell, while another one is in many."""
    texts = as_text(
        cells[cells.map(lambda cell: isinstance(cell, str) and listed_in(cell) is None)]
    )
    shares = {sign: float(texts.str.contains(sign, regex=False).mean()) for sign in _SEPARATORS}
    ours = float(texts.str.contains(columns.separator, regex=False).mean()) if len(texts) else 1.0
    other = max(shares, key=shares.__getitem__)
    if ours > _HARDLY or not shares[other] > _MANY:
        return []
    return [
        f"{columns.label}: {columns.separator!r} separates labels in {ours:.1%} of the rows, but {other!r} is in "
        f"{shares[other]:.1%}. If it separates them, set columns.separator: {json.dumps(other)}"
    ]


@dataclass(frozen=True)
class _Targets:
    values: npt.NDArray[Any]
    label_names: list[str]
    rare_labels: int = 0
    # Of numbers: what they count, and how they are written, where that was evident rather than declared.
    unit: str | None = None
    evident: NumberNotation | None = None
    notes: tuple[str, ...] = ()

    def with_notation(self, columns: Columns) -> Columns:
        """Return the declared columns, with the notation of the label that was evident."""
        if self.evident is None:
            return columns
        return columns.model_copy(update={"label_notation": self.evident})


def _targets_of(table: RawTable, rows: _Rows, columns: Columns, config: TrainConfig) -> _Targets:
    if config.task == "regression":
        return _numbers(table, rows.labels, columns)
    if config.task == "multilabel":
        return _label_sets(table, rows, columns, config)
    if "task" not in config.model_fields_set:  # what is declared needs no question
        _refuse_quantities(table, rows.labels, columns)
    least = config.min_samples_per_label
    of_numbers = _are_numbers(rows.labels, columns)
    _drop_unseen_labels(rows)
    counts = _learned(rows).value_counts()
    rows.drop(rows.labels.map(counts).fillna(0) < least, f"label with fewer than {least} rows")
    _require_labels(table, rows, of_numbers)
    names = sorted(rows.labels.unique().tolist())
    return _Targets(pd.Index(names, dtype=object).get_indexer(rows.labels.astype(object)), names)


def _drop_unseen_labels(rows: _Rows) -> None:
    """Drop the test rows with labels that no other row has: nothing can be learned about these."""
    unlearned = rows.division.unlearned
    unseen = [] if unlearned is None else unseen_labels(rows.labels.tolist(), unlearned)
    if unseen:
        names = listed([repr(label) for label in unseen])
        wrong = rows.labels.isin(unseen)
        rows.division = rows.division.warned(
            f"{counted(len(unseen), 'label')} only in the test rows: {names}. "
            f"{counted(int(wrong.sum()), 'row')} with them left out of the test, "
            "because nothing can be learned about them"
        )
        rows.drop(wrong, "label only in the test rows")


def _learned(rows: _Rows) -> "pd.Series[Any]":
    """Return the labels that count as seen."""
    unlearned = rows.division.unlearned
    return rows.labels if unlearned is None else rows.labels[~unlearned]


def _refuse_quantities(table: RawTable, labels: "pd.Series[str]", columns: Columns) -> None:
    """Raise DatasetError if the labels are measured numbers rather than names of classes."""
    different = labels.nunique()
    if different <= max(_MOST_NUMBERED_LABELS, len(labels) // _ROWS_PER_NUMBERED_LABEL):
        return
    if _are_numbers(labels, columns):
        raise DatasetError(
            f"{table.name}: {columns.label} is a number with {different:,} different values in {len(labels):,} rows. "
            "To predict a number, set task: regression. If these are classes, set task: classification."
        )


def _are_numbers(labels: "pd.Series[str]", columns: Columns) -> bool:
    different = pd.Series(labels.unique(), dtype=object)
    return read_quantities(different, columns.notation_of_label).are_numbers


def _columns_of(table: RawTable, config: TrainConfig) -> Columns:
    """Return the declared columns; where nothing is declared, a column `text` is the input."""
    if config.columns is not None:
        return config.columns
    return Columns(text=["text"]) if "text" in table.frame else Columns()


def _unread(table: RawTable, typed: Typed, columns: Columns) -> list[str]:
    """Return the columns that are neither an input nor the label."""
    read = (*typed.column_types, columns.label)
    return [name for name in table.frame.columns.tolist() if name not in read]


def _is_blank(values: pd.DataFrame) -> "pd.Series[bool]":
    return pd.concat([is_missing(column) for _, column in values.items()], axis=1).all(axis=1)


def _conflicts(texts: pd.DataFrame) -> pd.DataFrame:
    """Return the texts that occur in more than one row, each once."""
    return texts[texts.duplicated(keep=False)].drop_duplicates()


def _numbers(table: RawTable, labels: "pd.Series[str]", columns: Columns) -> _Targets:
    """Return the targets of a regression, and what is to be known of their notation."""
    read = read_quantities(labels, columns.notation_of_label)
    values, unit = read.numbers, read.notation.unit
    wrong = ~np.isfinite(values)
    if wrong.any():
        examples = ", ".join(map(repr, labels[wrong].unique()[:_CONFLICTS_SHOWN]))
        doubt = f"{read.doubt}, in columns.label_notation. Else f" if read.doubt else "F"
        raise DatasetError(
            f"{table.name}: {columns.label}: a regression needs numbers; {int(wrong.sum()):,} of {len(labels):,} rows "
            f"have none, such as {examples}. {doubt}ix them, leave them out with `where`, or set task: classification."
        )
    if values.nunique() < 2:
        raise DatasetError(
            f"{table.name}: {columns.label} is the same in all {len(values):,} rows: there is nothing to learn."
        )
    return _Targets(
        np.asarray(values, np.float64),
        [],
        unit=unit if unit and labels.str.contains(unit, regex=False).any() else None,
        evident=read.notation if read.evident else None,
        notes=_notes_on(read, labels, columns.label),
    )


def _notes_on(read: Quantities, labels: "pd.Series[str]", name: str) -> tuple[str, ...]:
    """Say in which notation labels were read, and what an answer thus looks like."""
    if not read.evident:
        return ()
    written = {text: float(number) for text, number in zip(labels, read.numbers, strict=True)}
    longest = max(labels, key=len)  # shows the most of the notation
    unit = f", in {read.notation.unit}" if read.notation.unit else ""
    return (
        f"{name}: read with {show_keys(read.evident)} (columns.label_notation): {longest!r} is {written[longest]!r}, "
        f"and answers are such numbers{unit}",
    )


def _label_sets(table: RawTable, rows: _Rows, columns: Columns, config: TrainConfig) -> _Targets:
    """Return which rows have which labels, <bool>[num_rows, num_labels]."""
    sets = rows.labels
    counts = Counter(label for labels in _learned(rows) for label in labels)
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
    return _Targets(has_label, names, sum(map(len, sets)) - int(has_label.sum()))


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
        advice = "Name them in the configuration: columns.text, columns.inputs and columns.label."
        if len(known) == 1 and len(known[0].split()) > 1:
            advice = (
                "If blanks separate the fields, write one blank between two of them, and set "
                '`separator: " "`; if names are missing, put a line with names before the first row.'
            )
        raise DatasetError(
            f"{table.name}: {' '.join(problems)} Columns: {', '.join(known)}. {advice}"
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
