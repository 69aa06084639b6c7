"""The truth in a file that has a column with it, read by the rules with which training reads its label."""

from math import isfinite
from typing import Any

from predict.batch.cells import as_float
from predict.contract.artefact import Output
from predict.contract.canonical import canonical, form_of, text_of
from predict.contract.label_sets import labels_in
from predict.contract.notation import Marks, read_number


class TruthReader:
    """The function from a cell to a label, a number, or a set of labels; None where it is missing."""

    def __init__(self, output: Output) -> None:
        self._kind, self._separator = output.kind, output.separator or ","
        self._missing = frozenset(output.missing or ())
        self._marks = Marks(output.decimal, output.thousands, output.unit)
        self._form = form_of(output.labels) if output.kind == "label" else None

    def read(self, value: Any) -> Any:
        """Return the truth of a cell. A number that cannot be read is missing, too."""
        if self._kind == "labels":
            return frozenset(labels_in(value, self._separator))
        if value is None or value != value:
            return None
        if self._kind == "number":
            return self._number(value)
        text = text_of(value).strip()
        if text in self._missing:
            return None
        return canonical(text, self._form) or None

    def _number(self, value: Any) -> float | None:
        if isinstance(value, str):
            number = read_number(value, self._marks, self._missing)
        elif isinstance(value, bool) or text_of(value) in self._missing:
            return None
        else:
            try:
                number = as_float(value)
            except (TypeError, ValueError):
                return None
        return number if number is not None and isfinite(number) else None
