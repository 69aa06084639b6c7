"""The columns of an answer: their names, and the values of a prediction in them."""

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from predict.contract.artefact import Output
from predict.scoring.outputs import Prediction

# What a value is: "json" is an object or a list of objects.
ValueKind = Literal["text", "number", "boolean", "texts", "numbers", "json"]


class AnswerColumn(NamedTuple):
    """A column of the answer."""

    name: str
    kind: ValueKind


class AnswerColumns:
    """The columns that a model's answers have in a file.

    Attributes:
        columns: In their order.
    """

    def __init__(self, output: Output, prefix: str, probabilities: bool) -> None:
        """Choose the columns for a kind of answer; each name begins with the prefix."""
        self._output, self._probabilities = output, probabilities
        kinds: dict[str, ValueKind] = {}
        if output.kind == "label":
            kinds = {"label": "text", "score": "number"}
            if output.can_be_unsure:
                kinds["unsure"] = "boolean"
        elif output.kind == "labels":
            kinds = {"labels": "texts", "scores": "numbers"}
        else:
            kinds = {"value": "number"}
            if output.interval is not None:
                kinds |= {"low": "number", "high": "number"}
        kinds["warnings"] = "json"
        if probabilities:
            kinds["probabilities"] = "json"
        self.columns = [AnswerColumn(prefix + name, kind) for name, kind in kinds.items()]
        self._keys = list(kinds)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [column.name for column in self.columns]

    def values(self, prediction: Prediction) -> list[Any]:
        """Return a prediction's value in each column."""
        values: list[Any]
        if self._output.kind == "label":
            values = [prediction["label"], prediction["score"]]
            if self._output.can_be_unsure:
                values.append(prediction.get("unsure", False))
        elif self._output.kind == "labels":
            given = prediction["labels"]
            values = [[one["label"] for one in given], [one["score"] for one in given]]
        else:
            values = [prediction["value"], *prediction.get("interval", ())]
        values.append(prediction.get("warnings", []))
        if self._probabilities:
            values.append(prediction["probabilities"])
        return values

    def cells(self, values: Sequence[Any], decimal: str) -> list[str]:
        """Return the values as cells of separated values.

        Args:
            values: Those of `values`.
            decimal: The mark before decimals.
        """
        cells: list[str] = []
        for value in values:
            if isinstance(value, str):
                cells.append(value)
            elif isinstance(value, bool):
                cells.append("true" if value else "false")
            elif isinstance(value, float):
                text = repr(value)
                cells.append(text if decimal == "." else text.replace(".", decimal))
            else:
                cells.append(as_json(value) if value or value == {} else "")
        return cells

    def typed(self, values: Sequence[Any]) -> list[Any]:
        """Return the values as Parquet has them, where warnings and probabilities are texts of JSON."""
        return [
            (as_json(value) if value else None) if column.kind == "json" else value
            for column, value in zip(self.columns, values, strict=True)
        ]


def as_json(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False)
