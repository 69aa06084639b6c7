"""How familiar an instance is to a model: near to what it was trained on, or outside of its scope.

Training chooses a familiarity and writes it as one file, and serving compares its value with `familiar_from`. Both
compute it here. Neither needs the training rows: what is kept of them is bounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from predict.contract.arrays import read_arrays
from predict.contract.artefact import FAMILIARITY, ColumnType
from predict.contract.encoder import ENCODED
from predict.contract.text_table import SMALLEST_SQUARE, SUMS, Sums

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
# Graph inputs, or columns: name -> one value an instance.
Columns = Mapping[str, npt.NDArray[Any]]

_SMALLEST_LENGTH = 1e-9
# Standard deviations beyond which a number is as far away as can be; a distance is a sum of squares.
_FARTHEST = 1e6
# How far away a category is that training has not seen, in standard deviations of a number.
_UNSEEN = 3.0
_HALF_ROOT = np.sqrt(0.5)


class Familiarity(Protocol):
    """What a server asks."""

    @property
    def column_types(self) -> Mapping[str, ColumnType]:
        """The columns that it reads beside those of the graph, with their types."""
        ...

    def of(self, feeds: Columns, unknown_shares: Sequence[float]) -> list[float]:
        """Return how familiar each instance is; the more, the nearer.

        Args:
            feeds: The inputs of the model.
            unknown_shares: The share of unknown words in each text; 0 for rows of tables.
        """
        ...


class _Stored:
    """What one file holds: the arrays of a dataclass."""

    def write(self, directory: Path) -> None:
        """Write the file."""
        arrays = {name: getattr(self, name) for name in sorted(_arrays(self))}
        np.savez(directory / FAMILIARITY, **arrays)

    @classmethod
    def read(cls, directory: Path, all_labels: int) -> Self:
        """Read the file of a model with so many labels; see `parse`."""
        return cls.parse((directory / FAMILIARITY).read_bytes(), all_labels)

    @classmethod
    def parse(cls, content: bytes, all_labels: int) -> Self:
        """Take the content of the file."""
        raise NotImplementedError


@dataclass(frozen=True)
class TextFamiliarity(_Stored):
    """The familiarity of texts, from the margins of the wide head and the words that nobody has seen.

    Attributes:
        columns: Which labels are within the scope, <int64>[num_labels]: columns of the wide margins.
        bias: Of the margins, <float32>[num_labels].
        directions: The mean direction of the margins of each label's training texts, <float32>[num_labels, num_labels].
        weights: Of the largest margin, of the cosine to the nearest direction, of the length of the margins, of the
            share of unknown words, and a constant, <float64>[5].
        encoder: What the vector of a pretrained encoder adds to all margins, <float32>[encoder width or 0, width].
        width: How many labels the wide head has, in scope or not; its margins come first in the sums of a text.
    """

    columns: npt.NDArray[np.int64]
    bias: Floats
    directions: Floats
    weights: Values
    encoder: Floats
    width: int

    @property
    def column_types(self) -> Mapping[str, ColumnType]:
        """See `Familiarity`."""
        return {}

    def of(self, feeds: Columns, unknown_shares: Sequence[float]) -> list[float]:
        """See `Familiarity`. A text alone is worked out by itself: arrays of one row take three times as long."""
        sums = feeds[SUMS]
        added = feeds[ENCODED].dot(self.encoder) if len(self.encoder) else None
        if len(sums) == 1:
            return [self._of_one(sums[0], None if added is None else added[0], unknown_shares[0])]
        scales = 1 / np.sqrt(sums[:, :, :1] + np.float32(SMALLEST_SQUARE))
        margins = (sums[:, :, 1 : 1 + self.width] * scales).sum(axis=1)
        if added is not None:
            margins += added
        shares = np.array(unknown_shares[: len(sums)])
        values: list[float] = self.of_margins(margins, shares).tolist()
        return values

    def _of_one(self, sums: Sums, added: Floats | None, unknown_share: float) -> float:
        tokens, ngrams = sums
        margins = tokens[1 : 1 + self.width] * (float(tokens[0]) + SMALLEST_SQUARE) ** -0.5
        margins += ngrams[1 : 1 + self.width] * (float(ngrams[0]) + SMALLEST_SQUARE) ** -0.5
        if added is not None:
            margins += added
        if len(margins) != len(self.columns):
            margins = margins.take(self.columns)
        clear, near = margins + self.bias, self.directions.dot(margins)
        length = sqrt(float(margins.dot(margins)))
        a, b, c, d, e = map(float, self.weights)
        cosine = float(near[near.argmax()]) / max(length, _SMALLEST_LENGTH)
        return a * float(clear[clear.argmax()]) + b * cosine + c * length + d * unknown_share + e

    def of_margins(self, margins: Floats, unknown_shares: Values) -> Values:
        """Return the familiarity of texts by their wide margins without bias, <float32>[num_texts, all columns]."""
        signs = signs_of(margins.take(self.columns, axis=1), self.bias, self.directions)
        values: Values = signs @ self.weights[:3]
        values += unknown_shares * self.weights[3] + self.weights[4]
        return values

    @classmethod
    def parse(cls, content: bytes, all_labels: int) -> Self:
        """Take the content of the file of a model with so many labels.

        Raises:
            ValueError: Its arrays do not fit one another, or the labels.
        """
        arrays = _parse(content, cls)
        num_labels = _length(arrays["columns"])
        _check(
            arrays,
            columns=(np.int64, (num_labels,)),
            bias=(np.float32, (num_labels,)),
            directions=(np.float32, (num_labels, num_labels)),
            weights=(np.float64, (5,)),
            encoder=(np.float32, (_length(arrays["encoder"]), all_labels)),
        )
        if not set(arrays["columns"].tolist()) <= set(range(all_labels)):
            raise ValueError(f"{FAMILIARITY}: columns: expected labels from 0 to {all_labels - 1}")
        return cls(**arrays, width=all_labels)


def signs_of(margins: Floats, bias: Floats, directions: Floats) -> Floats:
    """Return what tells familiar texts, <float32>[num_texts, 3]: the first three that `weights` are of.

    Args:
        margins: Without bias, <float32>[num_texts, num_labels].
        bias: See `TextFamiliarity`.
        directions: See `TextFamiliarity`.
    """
    signs = np.empty((len(margins), 3), np.float32)
    (margins + bias).max(axis=1, out=signs[:, 0])
    lengths = np.sqrt(np.einsum("ij,ij->i", margins, margins))
    signs[:, 1] = (margins @ directions.T).max(axis=1) / np.maximum(
        lengths, np.float32(_SMALLEST_LENGTH)
    )
    signs[:, 2] = lengths
    return signs


@dataclass(frozen=True)
class RowFamiliarity(_Stored):
    """The familiarity of the rows of a table: minus the distance to the nearest of some typical training rows.

    A number counts in standard deviations from its mean; a category that differs counts 1, a new one more, and a
    missing number 1.

    Attributes:
        numbers: The columns of numbers, <str>[num_numbers].
        means: <float64>[num_numbers].
        scales: The standard deviations, <float64>[num_numbers].
        categories: The columns of categories, <str>[num_columns].
        seen: All categories of all columns, <str>[num_seen].
        column_of_seen: The column that each belongs to, <int64>[num_seen].
        prototypes: The typical rows as `encode` has them, <float32>[num_prototypes, width].
    """

    numbers: npt.NDArray[np.str_]
    means: Values
    scales: Values
    categories: npt.NDArray[np.str_]
    seen: npt.NDArray[np.str_]
    column_of_seen: npt.NDArray[np.int64]
    prototypes: Floats

    @cached_property
    def _places(self) -> list[dict[str, int]]:
        places: list[dict[str, int]] = [{} for _ in self.categories]
        for place, (column, value) in enumerate(
            zip(self.column_of_seen.tolist(), self.seen.tolist(), strict=True)
        ):
            places[column][value] = place
        return places

    @cached_property
    def _squares(self) -> Values:
        squares: Values = np.einsum("ij,ij->i", self.prototypes, self.prototypes, dtype=np.float64)
        return squares

    @property
    def column_types(self) -> Mapping[str, ColumnType]:
        """See `Familiarity`."""
        numbers: dict[str, ColumnType] = dict.fromkeys(self.numbers.tolist(), "number")
        return numbers | dict.fromkeys(self.categories.tolist(), "category")

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return 2 * len(self.numbers) + len(self.seen) + len(self.categories)

    def encode(self, columns: Columns) -> Values:
        """Return rows as numbers whose Euclidean distances count, <float64>[num_rows, width].

        Args:
            columns: At least those of `column_types`, [num_rows] or [num_rows, 1].
        """
        num_rows = len(next(iter(columns.values())))
        rows = np.zeros((num_rows, self.width))
        count = len(self.numbers)
        for place, name in enumerate(self.numbers.tolist()):
            values = columns[name].reshape(-1).astype(np.float64)
            is_missing = np.isnan(values)
            with np.errstate(over="ignore"):
                standard = (values - self.means[place]) / self.scales[place]
            rows[:, place] = np.where(is_missing, 0, np.clip(standard, -_FARTHEST, _FARTHEST))
            rows[:, count + place] = is_missing
        first, new = 2 * count, 2 * count + len(self.seen)
        for place, name in enumerate(self.categories.tolist()):
            places = self._places[place]
            found = [places.get(value, -1) for value in columns[name].reshape(-1).tolist()]
            at = np.array(found)
            known = np.flatnonzero(at >= 0)
            rows[known, first + at[known]] = _HALF_ROOT  # two that differ are 1 apart
            rows[at < 0, new + place] = _UNSEEN
        return rows

    def of(self, feeds: Columns, unknown_shares: Sequence[float]) -> list[float]:
        """See `Familiarity`."""
        values: list[float] = self.of_columns(feeds).tolist()
        return values

    def of_columns(self, columns: Columns) -> Values:
        """Return the familiarity of rows; see `encode`."""
        rows = self.encode(columns)
        squares = np.einsum("ij,ij->i", rows, rows)[:, np.newaxis] + self._squares
        squares -= 2 * (rows @ self.prototypes.T)
        values: Values = -np.sqrt(np.maximum(squares.min(axis=1), 0))
        return values

    @classmethod
    def parse(cls, content: bytes, all_labels: int) -> Self:
        """Take the content of the file; the labels do not matter.

        Raises:
            ValueError: Its arrays do not fit one another.
        """
        arrays = _parse(content, cls)
        numbers, seen, categories = (
            _length(arrays[name]) for name in ("numbers", "seen", "categories")
        )
        width = 2 * numbers + seen + categories
        _check(
            arrays,
            numbers=(np.str_, (numbers,)),
            means=(np.float64, (numbers,)),
            scales=(np.float64, (numbers,)),
            categories=(np.str_, (categories,)),
            seen=(np.str_, (seen,)),
            column_of_seen=(np.int64, (seen,)),
            prototypes=(np.float32, (_length(arrays["prototypes"]), width)),
        )
        if seen and not 0 <= arrays["column_of_seen"].min() <= arrays["column_of_seen"].max() < categories:  # fmt: skip
            raise ValueError(f"{FAMILIARITY}: column_of_seen: expected columns of categories")
        return cls(**arrays)


def _arrays(of: Any) -> set[str]:
    """Return the names of the arrays of a class or an object; all else is known from elsewhere."""
    return {field.name for field in fields(of)} - {"width"}


def _parse(content: bytes, of: type[Any]) -> dict[str, npt.NDArray[Any]]:
    arrays, expected = read_arrays(content, FAMILIARITY), _arrays(of)
    if set(arrays) != expected:
        raise ValueError(f"{FAMILIARITY}: expected {sorted(expected)}, got {sorted(arrays)}")
    return arrays


def _check(
    arrays: Mapping[str, npt.NDArray[Any]], **expected: tuple[type[Any], tuple[int, ...]]
) -> None:
    """Raise ValueError unless arrays have these types and shapes."""
    for name, (kind, shape) in expected.items():
        array = arrays[name]
        if not np.issubdtype(array.dtype, kind) or array.shape != shape:
            raise ValueError(
                f"{FAMILIARITY}: {name}: expected {kind.__name__} of shape {shape}, "
                f"got {array.dtype} of shape {array.shape}"
            )


def _length(array: npt.NDArray[Any]) -> int:
    """Return the length of an array of at least one dimension; 0 for a single number, which `_check` refuses."""
    return len(array) if array.ndim else 0
