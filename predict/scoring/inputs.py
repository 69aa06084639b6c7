"""The way of instances into a model's graph: one class for texts and one for tables, with the same few methods.

The predictor chooses one when it loads an artefact; no other module asks which family a model belongs to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import ColumnType, Derived, Input, column_types
from predict.contract.canonical import category_reader, text_of
from predict.contract.columns import MAX_TEXT_PIECES, Column, model_columns
from predict.contract.features import TextFeatures
from predict.contract.words import most_characters
from predict.scoring.values import PROBLEM_OF, as_iso_date, kind_of, missing, unknown_fields
from predict.wording import listed, shorten

Instance = Mapping[str, Any]
# A field, and what is wrong with it.
Problem = tuple[str, str]
# {"field": …, "message": …}: the value is scored, though training saw nothing like it.
FieldWarning = dict[str, str]

# Instances as a graph takes them: graph input -> array with one row an instance; and the warnings by row, for the
# rows that have any.
Encode = Callable[[Sequence[str]], dict[str, npt.NDArray[Any]]]
Batch = tuple[dict[str, npt.NDArray[Any]], Mapping[int, list[FieldWarning]]]

# Rows scored at once: a category of thousands of values becomes as many numbers a row inside the model.
_MOST_ROWS = 1_000
# Fewer texts are scored at once, and their number times the length of the longest is bounded: padding makes all rows
# as long as that one, and a text model needs some 5 kB of memory for every character.
_MOST_TEXTS = 256
_MOST_CHARACTERS = 25_000

ONNX_TYPES = {"number": "tensor(double)", "category": "tensor(string)", "text": "tensor(string)"}


class InstanceError(Exception):
    """Instances that the model cannot take.

    Attributes:
        problems: (place, message) pairs, such as `("instances.3.title", "missing")`.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {message}" for place, message in problems))
        self.problems = list(problems)


class Inputs(Protocol):
    """What the predictor asks of either family."""

    def problems_of(self, instance: Instance) -> list[Problem]:
        """Return what keeps the model from taking an instance; nothing if it can take it."""
        ...

    def batches(self, instances: Sequence[Instance]) -> Iterator[Batch]:
        """Encode instances that have no problems, in order, as many at once as memory allows."""
        ...

    def unknown_rows(self, instances: Sequence[Instance]) -> list[int]:
        """Return the instances of which the model knows nothing: texts without a word of its vocabulary."""
        ...

    def unknown_shares(self, instances: Sequence[Instance]) -> list[float]:
        """Return the share of each text's words that are unknown; 1 without words."""
        ...


class TextInputs:
    """The inputs of a text model. Several fields count as one text of several lines."""

    def __init__(
        self, inputs: Sequence[Input], features: TextFeatures, encode: Encode | None = None
    ) -> None:
        """Take what tells texts apart.

        Args:
            inputs: The fields of an instance.
            features: The words of texts.
            encode: Texts -> what the graph reads; None if nothing is to be scored.
        """
        self._inputs = list(inputs)
        self._fields = [column.name for column in inputs]
        self._features = features
        self._encode = encode

    def problems_of(self, instance: Instance) -> list[Problem]:
        """See `Inputs`. At least one of the texts must say something."""
        problems = []
        for column in self._inputs:
            name = column.name
            if name not in instance:
                problems.append((name, missing(column)))
            elif not isinstance(value := instance[name], str) and not (
                value is None and column.nullable
            ):
                problems.append((name, f"expected a text, got {kind_of(value)}"))
        if not problems and not any((instance[name] or "").strip() for name in self._fields):
            problems.append((self._fields[0], "empty text"))
        return problems + unknown_fields(instance, self._fields)

    def batches(self, instances: Sequence[Instance]) -> Iterator[Batch]:
        """See `Inputs`."""
        assert self._encode is not None  # or nothing is scored
        texts = self._texts(instances)
        if len(texts) == 1:
            yield self._encode(texts), {}
            return
        most = self._features.most_characters
        for start, end in stretches([min(len(text), most) for text in texts]):
            yield self._encode(texts[start:end]), {}

    def unknown_rows(self, instances: Sequence[Instance]) -> list[int]:
        """See `Inputs`."""
        knows = self._features.knows
        return [row for row, text in enumerate(self._texts(instances)) if not knows(text)]

    def unknown_shares(self, instances: Sequence[Instance]) -> list[float]:
        """See `Inputs`."""
        return [self._features.unknown_share(text) for text in self._texts(instances)]

    def _texts(self, instances: Sequence[Instance]) -> list[str]:
        fields = self._fields
        if len(fields) == 1:
            [field] = fields
            return [instance[field] or "" for instance in instances]
        return ["\n".join([instance[name] or "" for name in fields]) for instance in instances]


class TableInputs:
    """The inputs of a table model: a graph input for every column, of the same name, doubles or strings, [rows, 1]."""

    def __init__(
        self,
        inputs: Sequence[Input],
        derived: Sequence[Derived],
        graph_inputs: Mapping[str, str],
    ) -> None:
        """Match an artefact's columns with what its graph reads.

        Args:
            inputs: The fields of an instance.
            derived: The columns that are computed from them.
            graph_inputs: Name -> type as onnxruntime calls it, such as `tensor(double)`.

        Raises:
            ValueError: The graph reads something that is not a column, or reads a column as another type.
        """
        _check_graph(graph_inputs, column_types(inputs, derived))
        self._derived = derived
        self._fields = [column.name for column in inputs]
        self._checks = [(column.name, PROBLEM_OF[column.type], column) for column in inputs]
        numbers = [column for column in inputs if column.type == "number"]
        self._numbers = [column.name for column in numbers]
        self._number_values = _getter(self._numbers)
        self._number_columns = numbers
        self._lows = _limits(
            [_first(column.seen_minimum, column.minimum) for column in numbers], -np.inf
        )
        self._highs = _limits(
            [_first(column.seen_maximum, column.maximum) for column in numbers], np.inf
        )
        self._string_readers = {
            column.name: _reader_of(column) for column in inputs if column.type != "number"
        }
        self._texts = [column.name for column in inputs if column.type == "text"]
        # Numbers go to the graph as they are. Derived columns, and columns of other types, are computed.
        self._numbers_read = set(self._numbers) & set(graph_inputs)
        self._computed_read = [name for name in graph_inputs if name not in self._numbers_read]
        made_of = {name for made in derived for name in made.of}
        self._computed_from = [
            column for column in inputs if column.type != "number" or column.name in made_of
        ]
        self._seen = {
            column.name: {"", *(category.strip() for category in known)}
            for column in inputs
            if (known := column.seen_categories or column.categories) is not None
        }

    def problems_of(self, instance: Instance) -> list[Problem]:
        """See `Inputs`."""
        problems = []
        for name, problem_of, column in self._checks:
            if name not in instance:
                problems.append((name, missing(column)))
            elif (why := problem_of(instance[name], column)) is not None:
                problems.append((name, why))
        if problems or len(instance) != len(self._checks):
            problems += unknown_fields(instance, self._fields)
        return problems

    def batches(self, instances: Sequence[Instance]) -> Iterator[Batch]:
        """See `Inputs`."""
        for start, end in self._stretches(instances):
            yield self._encode(instances[start:end])

    def unknown_rows(self, instances: Sequence[Instance]) -> list[int]:
        """See `Inputs`. A row of a table has more than words, and new values in it have their warnings."""
        return []

    def unknown_shares(self, instances: Sequence[Instance]) -> list[float]:
        """See `Inputs`. Words are not counted in tables."""
        return [0.0] * len(instances)

    def _stretches(self, instances: Sequence[Instance]) -> Iterable[tuple[int, int]]:
        if not self._texts:
            starts = range(0, max(1, len(instances)), _MOST_ROWS)
            return [(start, start + _MOST_ROWS) for start in starts]
        most = most_characters(MAX_TEXT_PIECES)
        return stretches(
            [
                sum(min(len(instance[name] or ""), most) for name in self._texts)
                for instance in instances
            ]
        )

    def _encode(self, rows: Sequence[Instance]) -> Batch:
        warnings: dict[int, list[FieldWarning]] = {}
        # All numbers in one array, <float64>[columns, rows], null being NaN: one for each takes four times as long.
        numbers = np.array(list(map(self._number_values, rows)), np.float64)
        numbers = np.ascontiguousarray(numbers.reshape(len(rows), len(self._numbers)).T)
        self._warn_of_numbers(numbers, warnings)
        columns = zip(self._numbers, numbers[:, :, np.newaxis], strict=True)
        feeds = {name: column for name, column in columns if name in self._numbers_read}
        if self._computed_from:
            self._compute(rows, numbers, feeds, warnings)
        return feeds, warnings

    def _compute(
        self,
        rows: Sequence[Instance],
        numbers: npt.NDArray[np.float64],
        feeds: dict[str, npt.NDArray[Any]],
        warnings: dict[int, list[FieldWarning]],
    ) -> None:
        """Add to the feeds every column that is not a number as it was sent."""
        raw: dict[str, Column] = dict(zip(self._numbers, numbers, strict=True))
        for name, read in self._string_readers.items():
            raw[name] = np.array([read(row[name]) for row in rows], dtype=object)
        self._warn_of_categories(raw, warnings)
        columns = model_columns(raw, self._computed_from, self._derived)
        for name in self._computed_read:
            feeds[name] = columns[name].reshape(-1, 1)

    def _warn_of_numbers(
        self, numbers: npt.NDArray[np.float64], warnings: dict[int, list[FieldWarning]]
    ) -> None:
        outside = (numbers < self._lows) | (numbers > self._highs)  # never where one is NaN
        if not outside.any():
            return
        for column, row in np.argwhere(outside).tolist():
            message = self._why_outside(column, numbers[column, row])
            warnings.setdefault(row, []).append(
                {"field": self._numbers[column], "message": message}
            )

    def _why_outside(self, column: int, value: float) -> str:
        """Say which limit a number is beyond: the one that was declared, or else what training saw."""
        field, low, high = (
            self._number_columns[column],
            self._lows[column, 0],
            self._highs[column, 0],
        )
        if value < low:
            side, end, seen, limit = "below", "smallest", low, field.minimum
            is_declared = field.seen_minimum is not None and limit is not None and value < limit
        else:
            side, end, seen, limit = "above", "largest", high, field.maximum
            is_declared = field.seen_maximum is not None and limit is not None and value > limit
        if is_declared and limit is not None:
            return f"{_plain(value)} is {side} {_plain(limit)}, the {end} declared"
        return f"{_plain(value)} is {side} {_plain(seen)}, the {end} in training"

    def _warn_of_categories(
        self, raw: Mapping[str, Column], warnings: dict[int, list[FieldWarning]]
    ) -> None:
        for name, seen in self._seen.items():
            for row, value in enumerate(raw[name].tolist()):
                if value not in seen:
                    message = f"{shorten(value)!r} was not seen in training"
                    warnings.setdefault(row, []).append({"field": name, "message": message})


def stretches(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each stretch of texts, given by their lengths, that may be scored at once."""
    start, longest = 0, 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        count = index - start + 1
        if count > 1 and (count > _MOST_TEXTS or count * longest > _MOST_CHARACTERS):
            yield start, index
            start, longest = index, length
    yield start, len(lengths)


def _reader_of(column: Input) -> Callable[[Any], str]:
    """Return the function that turns a value, which has no problems, into the string that the model knows."""
    if column.type == "category":
        return category_reader(column.form, column.missing or (), column.categories or ())
    if column.type == "date":
        return partial(as_iso_date, column=column)
    return lambda value: text_of(value).strip()


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _plain(value: float) -> str:
    """Write a double as a person would: 60, not 60.0."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))


def _getter(names: Sequence[str]) -> Callable[[Instance], object]:
    """Return a function that picks the values of some fields: a tuple, or one value."""
    return itemgetter(*names) if names else lambda row: ()


def _limits(values: Sequence[float | None], missing: float) -> npt.NDArray[np.float64]:
    limits = [missing if value is None else value for value in values]
    return np.array(limits, np.float64).reshape(-1, 1)  # one a row, beside any number of instances


def _check_graph(graph_inputs: Mapping[str, str], types: Mapping[str, ColumnType]) -> None:
    expected = {name: ONNX_TYPES[kind] for name, kind in types.items() if kind != "date"}
    for name, actual in graph_inputs.items():
        if name not in expected:
            raise ValueError(f"it reads {name!r}, but the columns are {listed(list(expected))}")
        if actual != expected[name]:
            raise ValueError(f"it reads {name} as {actual}, expected {expected[name]}")
