"""The points of curves: ROC, precision and recall, thresholds, and the values of a regression."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from train.evaluation.answered import Answered
from train.models.decision import Flags, Outputs, Values

_CURVE_POINTS = 200
_SAMPLED_VALUES = 1000
# Probabilities that a curve of all labels together is drawn from; of more, some rows are taken.
_POOLED = 2_000_000


def six_digits(value: float) -> float:
    """Round a number to six digits, which is enough to be looked at."""
    return float(f"{value:.6g}")


def draw_curves(answered: Answered) -> dict[str, Any]:
    """Return the points of curves, at most a few hundred each.

    Returns:
        - One of two labels: `roc` and `pr` of the positive one (`label`).
        - One of more labels: `roc` and `pr` of all of them together (`label` is None). Every row with every label is
          a case, which is positive if the row has the label.
        - Label sets: the same, and `thresholds`: precision, recall and F1 at a threshold common to all labels.
        - Numbers: `values`, with `truth` and `value` of up to a thousand rows.
    """
    if answered.kind == "number":
        chosen = _sample(len(answered.truth), _SAMPLED_VALUES)
        pairs = {"truth": answered.truth, "value": answered.answers}
        return {"values": {name: _short(values[chosen]) for name, values in pairs.items()}}
    is_positive, scores, label = _cases(answered)
    if is_positive.all() or not is_positive.any():
        return {}
    precision, recall, thresholds = metrics.precision_recall_curve(is_positive, scores)
    curves: dict[str, Any] = {
        "roc": {"label": label, **_roc(is_positive, scores)},
        "pr": {
            "label": label,
            "average_precision": float(metrics.average_precision_score(is_positive, scores)),
            "positive_share": float(is_positive.mean()),
            **_thinned({"recall": recall, "precision": precision}, along=-recall),
        },
    }
    if answered.kind == "labels":
        curves["thresholds"] = _threshold_table(precision[:-1], recall[:-1], thresholds)
    return curves


def _cases(answered: Answered) -> tuple[Flags, Outputs, str | None]:
    positive, names = answered.positive, answered.label_names
    if positive is not None:
        return answered.truth == positive, answered.outputs[:, positive], names[positive]
    part = answered.part(_sample(len(answered.truth), max(1, _POOLED // len(names))))
    if part.kind == "labels":
        return part.truth.ravel(), part.outputs.ravel(), None
    return (part.truth[:, None] == np.arange(len(names))).ravel(), part.outputs.ravel(), None


def _roc(is_positive: Flags, scores: Values) -> dict[str, Any]:
    false, true, _ = metrics.roc_curve(is_positive, scores)
    rates = {"false_positive_rate": false, "true_positive_rate": true}
    return {"area": float(metrics.auc(false, true)), **_thinned(rates, along=false + true)}


def _threshold_table(
    precision: Values, recall: Values, thresholds: Values
) -> list[dict[str, float]]:
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    columns = {"threshold": thresholds, "precision": precision, "recall": recall, "f1": f1}
    thin = _thinned(columns, along=-recall)
    return [dict(zip(thin, row, strict=True)) for row in zip(*thin.values(), strict=True)]


def _thinned(columns: Mapping[str, Values], along: Values) -> dict[str, list[float]]:
    """Keep points that are spread evenly `along` something that never falls; the first and the last among them."""
    points = np.arange(len(along))
    if len(along) > _CURVE_POINTS:
        spread = np.linspace(along[0], along[-1], _CURVE_POINTS)
        # Where points have the same recall, the last one is the most precise.
        nearest = np.searchsorted(along, spread, side="right") - 1
        points = np.unique(np.concatenate([nearest, points[[0, -1]]]))
    return {name: _short(values[points]) for name, values in columns.items()}


def _sample(count: int, most: int) -> npt.NDArray[np.int64]:
    """Return up to so many rows, in their order; the same ones every time."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _short(values: Values) -> list[float]:
    return [six_digits(value) for value in values]
