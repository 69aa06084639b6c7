"""The values of metrics: arrays in, numbers out. `train.evaluation.metrics` says what they are called."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from train.evaluation.answered import Answered
from train.evaluation.reliability import headline_numbers
from train.models.decision import Flags, Values

_CURVE_POINTS = 100


def evaluate(answered: Answered) -> dict[str, Any]:
    """Measure what a model answers against the truth.

    Returns:
        Single numbers, by key, and whatever needs more than one; see the functions below, and
        `reliability.headline_numbers` for probabilities.
    """
    if answered.kind == "number":
        return _evaluate_numbers(answered)
    of_kind = _evaluate_label_sets if answered.kind == "labels" else _evaluate_labels
    return of_kind(answered) | headline_numbers(answered)


def _evaluate_labels(answered: Answered) -> dict[str, Any]:
    """Measure one label a row.

    Returns:
        `accuracy`, `macro_f1`, `log_loss`, `per_label` and `confusion_matrix` (truth in rows, answers in columns).
        For two labels also `positive_label`, its `precision`, `recall` and `f1` at the threshold, `roc_auc` and
        `pr_auc` (average precision) over all thresholds, and `thresholds`, a table of the trade-off.
    """
    truth, answers, every = answered.truth, answered.answers, np.arange(len(answered.label_names))
    # float32 sums are 1 to seven digits; log_loss wants more.
    probabilities = answered.outputs / answered.outputs.sum(axis=1, keepdims=True)
    result: dict[str, Any] = measure_labels(truth, answers)
    result["log_loss"] = float(metrics.log_loss(truth, probabilities, labels=every))
    positive = answered.positive
    if positive is not None and len(np.unique(truth)) == 2:  # a test split of its own may lack one
        is_positive, scores = truth == positive, probabilities[:, positive]
        result |= {
            "positive_label": answered.label_names[positive],
            **measure_ranking(is_positive, scores),
            **measure_hits(is_positive, answers == positive),
            "thresholds": _trade_off(is_positive, scores),
        }
    result["per_label"] = _per_label(answered)
    result["confusion_matrix"] = metrics.confusion_matrix(truth, answers, labels=every).tolist()
    return result


def _evaluate_label_sets(answered: Answered) -> dict[str, Any]:
    """Measure any number of labels a row.

    Returns:
        `micro_f1`, `macro_f1`, `subset_accuracy` (all labels of a row right), `hamming_loss` (the share of wrong
        yes and no), `ranking_precision` (label ranking average precision) and `per_label`.
    """
    truth = answered.truth
    ranking = metrics.label_ranking_average_precision_score(truth, answered.outputs)
    return {
        **measure_label_sets(truth, answered.answers),
        "ranking_precision": float(ranking),
        "per_label": _per_label(answered),
    }


def _evaluate_numbers(answered: Answered) -> dict[str, Any]:
    """Measure a number a row.

    Returns:
        `mae`, `rmse`, `median_absolute_error` and, for two rows or more, `r2`; with intervals,
        `interval_coverage` (how often they hold the true value) and `interval_width`.
    """
    truth, values = answered.truth, answered.answers
    result = {
        "mae": float(metrics.mean_absolute_error(truth, values)),
        "rmse": float(metrics.root_mean_squared_error(truth, values)),
        "median_absolute_error": float(metrics.median_absolute_error(truth, values)),
    }
    if len(truth) > 1:  # a single one does not vary
        result["r2"] = float(metrics.r2_score(truth, values))
    half_width = answered.decision.half_width
    if half_width is not None:
        result["interval_coverage"] = float(np.mean(np.abs(truth - values) <= half_width))
        result["interval_width"] = 2 * half_width
    return result


def headline(result: dict[str, Any]) -> dict[str, float]:
    """Return the single numbers of an evaluation."""
    return {name: value for name, value in result.items() if isinstance(value, float)}


def measure_labels(labels: npt.NDArray[np.int64], answers: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return `accuracy` and `macro_f1`, which need no probabilities."""
    return {
        "accuracy": float(metrics.accuracy_score(labels, answers)),
        "macro_f1": float(metrics.f1_score(labels, answers, average="macro", zero_division=0)),
    }


def measure_label_sets(truth: Flags, answers: Flags) -> dict[str, Any]:
    """Return the metrics of label sets that need no probabilities."""
    hits, said, support = _count_hits(truth, answers)
    return {
        "micro_f1": float(2 * hits.sum() / max(1, said.sum() + support.sum())),
        "macro_f1": float(np.mean(2 * hits / np.maximum(said + support, 1))),
        "subset_accuracy": float((truth == answers).all(axis=1).mean()),
        "hamming_loss": float(np.mean(truth != answers)),
    }


def measure_ranking(is_positive: Flags, scores: Values) -> dict[str, float]:
    """Return `roc_auc` and `pr_auc`, which say how well scores rank, at whatever threshold."""
    return {
        "roc_auc": float(metrics.roc_auc_score(is_positive, scores)),
        "pr_auc": float(metrics.average_precision_score(is_positive, scores)),
    }


def measure_hits(is_positive: Flags, said_positive: Flags) -> dict[str, float]:
    """Return `precision`, `recall` and `f1` of one label."""
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        is_positive, said_positive, average="binary", zero_division=0
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def _trade_off(is_positive: Flags, scores: Values) -> list[dict[str, float]]:
    """Return precision, recall and F1 at thresholds spread evenly over the recalls, from low to high.

    Where thresholds have the same recall, the highest is taken, which is the most precise.
    """
    precision, recall, thresholds = metrics.precision_recall_curve(is_positive, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point has no threshold
    recalls = np.linspace(1, 0, _CURVE_POINTS)
    chosen = np.unique(np.searchsorted(-recall, -recalls, side="right") - 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return [
        {
            "threshold": float(thresholds[i]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
        }
        for i in chosen
    ]


def _count_hits(
    truth: Flags, answers: Flags
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how often each label was answered rightly, was answered, and is the truth."""
    # Scikit-learn takes a single column of yes and no for two labels.
    return (truth & answers).sum(axis=0), answers.sum(axis=0), truth.sum(axis=0)


def _per_label(answered: Answered) -> dict[str, dict[str, float]]:
    truth, answers, names = answered.truth, answered.answers, answered.label_names
    if answered.kind == "labels":
        hits, said, support = _count_hits(truth, answers)
        precision, recall = hits / np.maximum(said, 1), hits / np.maximum(support, 1)
        f1 = 2 * hits / np.maximum(said + support, 1)
    else:
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            truth, answers, labels=np.arange(len(names)), average=None, zero_division=0
        )
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(names)
    }
