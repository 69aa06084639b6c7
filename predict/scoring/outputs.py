"""Predictions as a client reads them, a label, a number or a set of labels, made of what a model puts out."""

import sys
from collections.abc import Callable, Sequence
from itertools import compress
from operator import ge, itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Output

Prediction = dict[str, Any]
# Probabilities or values, <float32 or float64>[num_instances, output.width].
Raw = npt.NDArray[Any]
Rows = Sequence[Sequence[float]]

_SCORE = itemgetter(1)
# An array: numpy takes longer for a number of Python's.
_SIX_DIGITS = np.array(1e6)


def to_rows(raw: Raw, output: Output) -> list[list[float]]:
    """Return raw output as people read it: probabilities with six digits, numbers in full."""
    if output.kind == "number":
        # A float32 as the double that looks like it: 12.3, not 12.300000190734863.
        return [[float(str(value))] for value in raw[:, 0]]
    # As `round(6)` does it, which takes half as long again for a single row.
    scaled = raw.astype(np.float64)
    scaled *= _SIX_DIGITS
    np.rint(scaled, out=scaled)
    scaled /= _SIX_DIGITS
    rows: list[list[float]] = scaled.tolist()
    return rows


def decode(
    rows: Sequence[Sequence[float]], raw: Raw, output: Output, top_k: int | None = None
) -> list[Prediction]:
    """Turn raw output into predictions.

    Args:
        rows: The result of `to_rows`, all of it finite.
        raw: <float>[num_instances, output.width]. Thresholds are compared with these unrounded numbers.
        output: The meaning of the numbers.
        top_k: How many probabilities to list, the largest first; None for all.

    Returns:
        One dict an instance, in order: `label`, `score`, `probabilities` and, where the score is too low,
        `unsure`; or `value` and perhaps `interval`; or `labels` and `probabilities`.
    """
    return _DECODERS[output.kind](rows, raw, output, top_k)


def _as_label(rows: Rows, raw: Raw, output: Output, top_k: int | None) -> list[Prediction]:
    predictions: list[Prediction] = []
    labels = output.labels
    for row in rows:
        ranked = _ranked(row, labels)
        label, score = ranked[0]
        shown = dict(ranked if top_k is None else ranked[:top_k])
        predictions.append({"label": label, "score": score, "probabilities": shown})
    if len(output.thresholds) == 1:
        _apply_threshold(predictions, rows, raw, output)
    elif output.thresholds:
        _apply_thresholds(predictions, rows, raw, output)
    if output.unsure_below is not None:
        for prediction in predictions:
            if prediction["score"] < output.unsure_below:
                prediction["unsure"] = True
    return predictions


def _apply_threshold(
    predictions: Sequence[Prediction], rows: Rows, raw: Raw, output: Output
) -> None:
    """Answer the label that has a threshold where its probability reaches it, and the other label elsewhere."""
    [(positive, threshold)] = output.thresholds.items()
    place = output.labels.index(positive)
    for prediction, row, probability in zip(predictions, rows, raw[:, place].tolist(), strict=True):
        chosen = place if probability >= threshold else 1 - place
        prediction.update(label=output.labels[chosen], score=row[chosen])


def _apply_thresholds(
    predictions: Sequence[Prediction], rows: Rows, raw: Raw, output: Output
) -> None:
    """Answer the label whose probability is most of its threshold, the first of equal ones."""
    chosen = most_of_threshold(raw, [output.thresholds[label] for label in output.labels])
    for prediction, row, place in zip(predictions, rows, chosen.tolist(), strict=True):
        prediction.update(label=output.labels[place], score=row[place])


def most_of_threshold(raw: Raw, thresholds: Sequence[float]) -> npt.NDArray[np.int64]:
    """Return the index of the label whose probability is most of its threshold, <int64>[num_rows].

    Shares are told apart to six digits, as probabilities are; of two that are equal the first label wins.
    """
    shares = raw.astype(np.float64) / np.array(thresholds)
    best: npt.NDArray[np.int64] = shares.round(6).argmax(axis=1)
    return best


def _as_number(rows: Rows, raw: Raw, output: Output, top_k: int | None) -> list[Prediction]:
    if output.interval is None:
        return [{"value": value} for [value] in rows]
    half_width = output.interval.half_width
    return [
        {"value": value, "interval": [_finite(value - half_width), _finite(value + half_width)]}
        for [value] in rows
    ]


def _finite(value: float) -> float:
    return max(-sys.float_info.max, min(value, sys.float_info.max))


def _as_labels(rows: Rows, raw: Raw, output: Output, top_k: int | None) -> list[Prediction]:
    thresholds = [output.thresholds[label] for label in output.labels]
    predictions = []
    for row, probabilities in zip(rows, raw.tolist(), strict=True):
        ranked = _ranked(row, output.labels)
        chosen = set(compress(output.labels, map(ge, probabilities, thresholds)))
        labels = [{"label": label, "score": score} for label, score in ranked if label in chosen]
        predictions.append({"labels": labels, "probabilities": dict(ranked[:top_k])})
    return predictions


def _ranked(row: Sequence[float], labels: Sequence[str]) -> list[tuple[str, float]]:
    return sorted(zip(labels, row, strict=True), key=_SCORE, reverse=True)


_DECODERS: dict[str, Callable[[Rows, Raw, Output, int | None], list[Prediction]]] = {
    "label": _as_label,
    "number": _as_number,
    "labels": _as_labels,
}
