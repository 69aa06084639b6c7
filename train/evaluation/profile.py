"""The profile of the test rows: what live traffic is compared with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Input, Metadata, Output
from predict.contract.counting import (
    AnswerCounting,
    InputCounting,
    answer_reader,
    count_numbers,
    value_reader,
)
from predict.contract.profile import LABEL, UNKNOWN_SHARE, Dimension, Profile, Source

# Bins of a number with many values, if there are enough rows: each holds at least so many.
_MOST_BINS, _LEAST_ROWS_A_BIN = 10, 20
# Values of a category, and labels, that have bins of their own; the values occur at least so often, or they might
# tell who a row is about.
_MOST_CATEGORIES, _LEAST_ROWS_A_CATEGORY = 50, 5
_MOST_LABELS = 200


def profile_of(
    metadata: Metadata,
    instances: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    unknown_shares: Sequence[float] | None = None,
) -> Profile:
    """Return how the fields, the texts and the answers of test rows are distributed.

    Args:
        metadata: Says what the model reads and answers.
        instances: The test rows as requests would send them; at least one.
        predictions: The exported model's answers to them.
        unknown_shares: The share of unknown words of each; None for a model without a vocabulary.
    """
    inputs, output = metadata.inputs, metadata.outputs[0]
    dimensions = [
        _dimension_of_input(column, [instance[column.name] for instance in instances])
        for column in inputs
    ]
    names, read = answer_reader(output.kind)
    for name, values in zip(names, zip(*map(read, predictions), strict=True), strict=True):
        if name == LABEL:
            dimensions.append(_dimension_of_label(output, values))
        else:
            dimensions.append(_of_numbers("answer", name, values, missing=False))
    by_input = InputCounting(dimensions, inputs)
    by_answer = AnswerCounting(dimensions, output)
    counts = [
        *zip(by_input.dimensions, by_input.count(list(map(by_input.row, instances))), strict=True),
        *zip(by_answer.dimensions, by_answer.count(list(map(by_answer.row, predictions))), strict=True),
    ]  # fmt: skip
    filled = [one.model_copy(update={"counts": counted.tolist()}) for one, counted in counts]
    if unknown_shares is not None:
        of_texts = _of_numbers("texts", UNKNOWN_SHARE, unknown_shares, missing=False)
        counted = count_numbers(of_texts, unknown_shares).tolist()
        filled.append(of_texts.model_copy(update={"counts": counted}))
    return Profile(rows=len(instances), dimensions=filled)


def _dimension_of_input(column: Input, values: Sequence[Any]) -> Dimension:
    given = [value for value in map(value_reader(column), values) if value is not None]
    if column.type == "date":  # which goes on, and so cannot be where it was
        return Dimension(of="input", name=column.name, edges=[], missing=True, counts=[0, 0])
    if column.type != "category":
        return _of_numbers("input", column.name, given, missing=True)
    frequent = [
        value
        for value, count in Counter(given).most_common(_MOST_CATEGORIES)
        if count >= _LEAST_ROWS_A_CATEGORY
    ]
    return _of_values("input", column.name, frequent, missing=True)


def _dimension_of_label(output: Output, given: Sequence[str | None]) -> Dimension:
    labels = output.labels
    if len(labels) > _MOST_LABELS:
        frequency = Counter(given)
        labels = sorted(labels, key=lambda label: -frequency[label])[:_MOST_LABELS]
    # A set of labels may be empty.
    return _of_values("answer", LABEL, labels, missing=output.kind == "labels")


def _of_values(of: Source, name: str, values: Sequence[str], missing: bool) -> Dimension:
    empty = [0] * (len(values) + 1 + missing)
    return Dimension(of=of, name=name, values=list(values), missing=missing, counts=empty)


def _of_numbers(of: Source, name: str, numbers: Sequence[float], missing: bool) -> Dimension:
    edges = _edges(np.array(numbers, np.float64))
    empty = [0] * (len(edges) + 1 + missing)
    return Dimension(of=of, name=name, edges=edges, missing=missing, counts=empty)


def _edges(numbers: npt.NDArray[np.float64]) -> list[float]:
    """Return the edges between bins that hold equally many numbers each, as nearly as that is possible.

    A value that alone would fill a bin, such as the 0 of many columns, has a bin of its own.
    """
    if not len(numbers):
        return []
    num_bins = max(2, min(_MOST_BINS, len(numbers) // _LEAST_ROWS_A_BIN))
    quantiles = np.quantile(numbers, np.arange(1, num_bins) / num_bins, method="higher")
    values, counts = np.unique(numbers, return_counts=True)
    heavy = values[counts >= len(numbers) / num_bins]
    with np.errstate(over="ignore"):
        edges = np.unique([*quantiles, *heavy, *np.nextafter(heavy, np.inf)])
    edges = edges[np.isfinite(edges)]
    # Between two neighbours with bins of their own there would be an empty one.
    places = np.searchsorted(edges, numbers, side="right")
    inner = np.bincount(places, minlength=len(edges) + 1)[1:-1]
    kept: list[float] = edges[np.append(inner > 0, True)].tolist()
    return kept
