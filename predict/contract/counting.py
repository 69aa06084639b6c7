"""The counting of instances and predictions into the bins of a profile.

Training counts its test rows by it, and serving counts what it answers: the two cannot differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Input, Kind, Output
from predict.contract.canonical import category_reader
from predict.contract.columns import bin_names
from predict.contract.profile import LABEL, LABELS_GIVEN, SCORE, VALUE, Dimension

# What is counted of one instance: a number, or None or NaN for missing, a column. It keeps no text.
Row = tuple[float | None, ...]
# What is counted of one prediction: numbers, and the label as it is.
AnswerRow = tuple[Any, ...]
Counts = npt.NDArray[np.int64]
Instance = Mapping[str, Any]


def value_reader(column: Input) -> Callable[[Any], Any]:
    """Return the function from a value of a column, as a request has it, to what is counted; None for missing.

    A number is itself, a category its one form, a text the number of its characters, and a date 0.
    """
    if column.type == "number":
        return lambda value: value
    if column.type == "text":
        return lambda text: len(text) if text and not text.isspace() else None
    missing = frozenset(("", *(column.missing or ())))
    if column.type == "date":
        return lambda text: None if (text or "").strip() in missing else 0.0
    read = category_reader(column.form, column.missing or (), column.categories or ())
    return lambda value: read(value) or None


def answer_reader(kind: Kind) -> tuple[tuple[str, ...], Callable[[Mapping[str, Any]], AnswerRow]]:
    """Return what is counted of a prediction: the names, and the function that returns a value for each."""
    if kind == "number":
        return (VALUE,), lambda prediction: (prediction["value"],)
    if kind == "label":
        return (LABEL, SCORE), itemgetter("label", "score")
    return (LABEL, LABELS_GIVEN, SCORE), _values_of_labels


def _values_of_labels(prediction: Mapping[str, Any]) -> AnswerRow:
    # Both begin with the most probable one.
    given = prediction["labels"]
    best = next(iter(prediction["probabilities"].values()), 0.0)
    return given[0]["label"] if given else None, len(given), best


class InputCounting:
    """Counts the fields of instances."""

    def __init__(self, dimensions: Sequence[Dimension], inputs: Sequence[Input]) -> None:
        """Prepare for the dimensions that are `of` an input.

        Args:
            dimensions: Those of a profile that has been checked; all but the inputs' are left out.
            inputs: The inputs of the model.
        """
        columns = {column.name: column for column in inputs}
        of_inputs = [dimension for dimension in dimensions if dimension.of == "input"]
        numbers = [one for one in of_inputs if columns[one.name].type == "number"]
        rest = [one for one in of_inputs if columns[one.name].type != "number"]
        # In the order of a row.
        self.dimensions = [*numbers, *rest]
        self._bins = [_Bins.of(dimension, place) for place, dimension in enumerate(self.dimensions)]
        self.row = _row_reader(
            [one.name for one in numbers],
            [(one.name, _finder_of(columns[one.name], one)) for one in rest],
        )

    def count(self, rows: Sequence[Row]) -> list[Counts]:
        """Return how many rows are in each bin, <int64>[num_bins] for each dimension.

        Args:
            rows: What `row` returns for instances that the model could take.
        """
        return _count(list(zip(*rows, strict=True)), self._bins)


def _row_reader(
    numbers: Sequence[str], rest: Sequence[tuple[str, Callable[[Any], float | None]]]
) -> Callable[[Instance], Row]:
    """Return the fastest function from an instance to its row."""
    if not numbers:
        if len(rest) == 1:
            [(only, place_of)] = rest
            return lambda instance: (place_of(instance[only]),)
        return lambda instance: tuple([place_of(instance[name]) for name, place_of in rest])
    # One name alone would give no tuple: the last one is read twice, and counted once.
    read_numbers: Callable[[Instance], Row] = itemgetter(*numbers, numbers[-1])
    if not rest:
        return read_numbers
    return lambda instance: (
        *read_numbers(instance)[:-1],
        *[place_of(instance[name]) for name, place_of in rest],
    )


class AnswerCounting:
    """Counts predictions."""

    def __init__(self, dimensions: Sequence[Dimension], output: Output) -> None:
        """Prepare for the dimensions that are `of` the answer; several may be of the same name."""
        names, self.row = answer_reader(output.kind)
        self.dimensions = [one for one in dimensions if one.of == "answer" and one.name in names]
        self._bins = [_Bins.of(one, names.index(one.name)) for one in self.dimensions]
        self._places: dict[str | None, float] = {}
        for one in self.dimensions:
            if one.values is not None:  # a label, which is the first of a row
                self._places = _places_of(one)

    def count(self, rows: Sequence[AnswerRow]) -> list[Counts]:
        """Return how many rows are in each bin, <int64>[num_bins] for each dimension.

        Args:
            rows: What `row` returns for predictions.
        """
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        if self._places and columns:
            place_of, other = self._places.get, float(len(self._places) - 1)
            columns[0] = [place_of(label, other) for label in columns[0]]
        return _count(columns, self._bins)


def _places_of(dimension: Dimension) -> dict[str | None, float]:
    """Return value -> its place among the values of a dimension; NaN for None."""
    places: dict[str | None, float] = {
        value: float(place) for place, value in enumerate(dimension.values or ())
    }
    return places | {None: nan}


@dataclass(frozen=True, eq=False)
class _Bins:
    """Where the numbers of a dimension stand in a row, and how they become bins."""

    place: int
    num_bins: int
    missing: bool
    edges: npt.NDArray[np.float64] | None

    @classmethod
    def of(cls, dimension: Dimension, place: int) -> "_Bins":
        edges = None if dimension.edges is None else np.array(dimension.edges, np.float64)
        return cls(place, dimension.num_bins, dimension.missing, edges)

    def count(self, numbers: npt.NDArray[np.float64]) -> Counts:
        is_missing = np.isnan(numbers)
        num_missing = np.count_nonzero(is_missing)
        known = numbers[~is_missing] if num_missing else numbers
        edges = self.edges
        places = (
            known.astype(np.int64) if edges is None else edges.searchsorted(known, side="right")
        )
        counts: Counts = np.bincount(places, minlength=self.num_bins)
        if self.missing:
            counts[-1] += num_missing
        return counts


def _count(columns: Sequence[Sequence[Any]], bins: Sequence[_Bins]) -> list[Counts]:
    """Count the columns of rows; there are none without rows."""
    if not columns:
        return [np.zeros(each.num_bins, np.int64) for each in bins]
    arrays = [np.array(column, np.float64) for column in columns]  # None becomes NaN
    return [each.count(arrays[each.place]) for each in bins]


def count_numbers(dimension: Dimension, numbers: Sequence[float]) -> Counts:
    """Count numbers into the bins of one dimension that has edges."""
    return _Bins.of(dimension, 0).count(np.array(numbers, np.float64))


def _finder_of(column: Input, dimension: Dimension) -> Callable[[Any], float | None]:
    """Return the function from a value of a column to its number in a row: a length, or the place of a category."""
    read = value_reader(column)
    if dimension.values is None:
        return read
    places = _places_of(dimension)
    other = float(len(dimension.values))

    def place_of(value: Any) -> float:
        # Most values are written in the one form already.
        place = places.get(value)
        return places.get(read(value), other) if place is None else place

    return place_of


def names_of_bins(dimension: Dimension) -> list[str]:
    """Return what people call the bins of a dimension.

    >>> names_of_bins(Dimension(of="input", name="port", values=["C"], missing=True, counts=[1, 2, 3]))
    ['C', '(other)', '(missing)']
    """
    if dimension.values is not None:
        names = [*dimension.values, "(other)"]
    elif not dimension.edges:
        names = ["(given)"]
    else:
        names = bin_names(dimension.edges)
    return [*names, "(missing)"] if dimension.missing else names
