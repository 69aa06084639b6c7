"""The dataset: clean, labelled rows with typed columns. How rows get clean is in `cleaning`."""

from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from predict.contract.artefact import FileFormat, Kind, reads_only_texts
from train.config.sections import Columns
from train.data.parts import Division

# Doubles cannot tell larger whole numbers apart.
_WHOLE = 2**53


@dataclass(frozen=True)
class Dataset:
    """Clean, labelled rows.

    Attributes:
        frame: The inputs, a column each: numbers as float64, anything else as str.
        column_types: Input -> number, category, text or date, in the order of the columns.
        targets: What is to be predicted. Classification: <int64>[num_rows], indices into `label_names`;
            multilabel: <bool>[num_rows, num_labels]; regression: <float64>[num_rows].
        label_names: In alphabetical order; empty for a regression.
        division: What is known of the part of each row.
        dropped: Reason -> rows dropped for it.
        duplicates: Rows that repeat an earlier one, label included; texts drop them.
        rare_labels: multilabel: how many labels were removed from rows for being too rare.
        unit: What the targets of a regression count, as the file writes it, such as %; None if it writes none.
        ignored: Column -> why it is not an input.
        row_numbers: Which row of the file each row is, from 1, <int64>[num_rows]; None: all are kept.
        reasons: Input -> why it has its type.
        seen: Column -> the share of rows in which it is missing, and a few values as they are in the file.
        identifiers: Column -> a number for each value, -1 for missing, of columns that may identify a row.
        decided: Key of the configuration -> what was guessed from the file.
        file: How the file is written, if it is one of separated values.
        conflicts: How many texts occur with more than one label; `conflict_examples` has a few.
        notes: How values were read, a sentence each, where that was not declared.
        warnings: What was probably not read as it was meant, a sentence each.
        suspicions: What a model should probably not learn from, a sentence each.
    """

    name: str
    source: str
    sha256: str
    frame: pd.DataFrame
    column_types: dict[str, str]
    columns: Columns
    targets: npt.NDArray[Any]
    label_names: list[str]
    rows_read: int
    division: Division = field(default_factory=Division)
    dropped: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    rare_labels: int = 0
    unit: str | None = None
    ignored: dict[str, str] = field(default_factory=dict)
    identifiers: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    conflicts: int = 0
    conflict_examples: tuple[str, ...] = ()
    row_numbers: npt.NDArray[np.int64] | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    seen: dict[str, tuple[float, tuple[str, ...]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    suspicions: tuple[str, ...] = ()
    decided: dict[str, Any] = field(default_factory=dict)
    file: FileFormat | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    @property
    def kind(self) -> Kind:
        """The kind of answer that is to be predicted."""
        if not self.label_names:
            return "number"
        return "labels" if self.targets.ndim == 2 else "label"

    @property
    def reads_only_texts(self) -> bool:
        """Whether its rows are texts rather than rows of a table."""
        return reads_only_texts(self.column_types)

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
        return [
            dict(zip(self.column_types, values, strict=True))
            for values in zip(*columns, strict=True)
        ]

    def truth(self, row: int) -> Any:
        """Return the target of a row as an answer would give it."""
        target = self.targets[row]
        if self.kind == "labels":
            return [name for name, has in zip(self.label_names, target, strict=True) if has]
        return self.label_names[target] if self.kind == "label" else float(target)

    def row_number(self, row: int) -> int:
        """Return which row of the file a row is, from 1."""
        return row + 1 if self.row_numbers is None else int(self.row_numbers[row])

    def label_counts(self) -> dict[str, int]:
        """Return label -> rows."""
        if self.kind == "number":
            return {}
        counts = (
            self.targets.sum(axis=0)
            if self.kind == "labels"
            else np.bincount(self.targets, minlength=len(self.label_names))
        )
        return dict(zip(self.label_names, counts.tolist(), strict=True))


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
