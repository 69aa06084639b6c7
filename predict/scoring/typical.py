"""The typical value of a column, as far as an artefact tells: what an explanation compares a row with."""

from collections import Counter
from collections.abc import Sequence
from math import inf, nextafter
from typing import Any

import numpy as np

from predict.contract.artefact import Input, Metadata
from predict.contract.counting import value_reader
from predict.contract.profile import Dimension
from predict.scoring.values import as_iso_date


def typical_values(metadata: Metadata) -> dict[str, Any]:
    """Return the typical value of every input, as an instance would have it.

    Of a number, that is the median, and of a category the most frequent one: of the test rows if the artefact has their
    profile, to within a bin, else of its golden examples. Of a date it is the median of the golden examples, for the
    profile has none; of a text, no words. It is None where a value is mostly missing.
    """
    profile = {} if metadata.profile is None else _of_inputs(metadata.profile.dimensions)
    return {
        column.name: _typical(
            column,
            profile.get(column.name),
            [example.instance[column.name] for example in metadata.examples],
        )
        for column in metadata.inputs
    }


def unusual_values(metadata: Metadata) -> list[dict[str, Any]]:
    """Return two instances that differ from the typical one wherever the metadata says how: half way to each end."""
    typical = typical_values(metadata)
    return [
        {column.name: _towards(column, typical[column.name], at_end) for column in metadata.inputs}
        for at_end in (False, True)
    ]


def _towards(column: Input, typical: Any, at_end: bool) -> Any:
    if column.type == "category" and column.categories:
        return column.categories[-1 if at_end else 0]
    end = column.maximum if at_end else column.minimum
    if column.type == "number" and end is not None:
        # The sum might be larger than any number.
        return (end if typical is None else typical) / 2 + end / 2
    return typical


def _of_inputs(dimensions: Sequence[Dimension]) -> dict[str, Dimension]:
    return {one.name: one for one in dimensions if one.of == "input" and any(one.counts)}


def _typical(column: Input, counted: Dimension | None, given: Sequence[Any]) -> Any:
    if column.type == "text":
        return ""
    if counted is not None and column.nullable and _is_mostly_missing(counted):
        return None
    if counted is not None and counted.edges and column.type == "number":
        return _whole(_median(counted.edges, counted.counts[: len(counted.edges) + 1]))
    if counted is not None and counted.values:
        return counted.values[int(np.argmax(counted.counts[: len(counted.values)]))]
    read = value_reader(column)
    if column.type == "category":
        return Counter(map(read, given)).most_common(1)[0][0]
    known = [value for value in given if read(value) is not None]
    if column.type == "date":
        known.sort(key=lambda text: as_iso_date(text, column))
    else:
        known.sort()
    return known[(len(known) - 1) // 2] if known else None


def _is_mostly_missing(counted: Dimension) -> bool:
    # The last bin is of missing values.
    return counted.missing and counted.counts[-1] > sum(counted.counts) / 2


def _median(edges: Sequence[float], counts: Sequence[int]) -> float:
    """Return the edge between two bins that parts the rows most evenly; it is a value that a row has."""
    below = np.cumsum(counts)[:-1]
    best = int(np.abs(below - sum(counts) / 2).argmin())
    # A bin of a single value ends right after it.
    is_end = best and edges[best] == nextafter(edges[best - 1], inf)
    return edges[best - 1] if is_end else edges[best]


def _whole(number: float) -> float | int:
    """Return a number as a person would write it: 38, not 38.0."""
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
