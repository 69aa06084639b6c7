"""The evaluation layer: metrics. Arrays in, numbers out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from train.evaluation.reliability import headline_numbers
from train.models.decision import Decision

Labels = npt.NDArray[np.int64]
LabelSets = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]

# Smaller is better; of every other metric, more.
ERRORS = frozenset(
    ("log_loss", "mae", "rmse", "median_absolute_error", "hamming_loss", "ece", "unsure_share")
)
# What a search may go by: the single numbers that every fold has.
_OF_ONE_LABEL = ("accuracy", "macro_f1", "log_loss", "ece")
_OF_TWO_LABELS = ("roc_auc", "pr_auc", "precision", "recall", "f1")
_OF_LABEL_SETS = (
    "micro_f1",
    "macro_f1",
    "subset_accuracy",
    "hamming_loss",
    "ranking_precision",
    "ece",
)
_OF_VALUES = ("rmse", "mae", "median_absolute_error", "r2")
_CURVE_POINTS = 100


def evaluate(targets: npt.NDArray[Any], outputs: Values, decision: Decision) -> dict[str, Any]:
    """Measure what a model puts out against the truth.

    Args:
        targets: Label indices <int64>[num_rows], which labels are given <bool>[num_rows, num_labels], or
            values <float64>[num_rows].
        outputs: Probabilities <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
        decision: How they become answers.

    Returns:
        Single numbers, by name, and whatever needs more than one; see the functions below, and
        `reliability.headline_numbers` for probabilities.
    """
    answers = decision.answers(outputs)
    if not decision.label_names:
        return evaluate_regression(targets, answers, decision)
    if decision.several:
        result = evaluate_label_sets(targets, answers, outputs, decision.label_names)
    else:
        result = evaluate_classification(targets, answers, outputs, decision)
    return result | headline_numbers(targets, outputs, decision)


def metric_names(label_names: Sequence[str], several: bool) -> tuple[str, ...]:
    """Return the single numbers that `evaluate` gives, but for those of intervals and of unsure answers."""
    if several:
        return _OF_LABEL_SETS
    if not label_names:
        return _OF_VALUES
    return _OF_ONE_LABEL + (_OF_TWO_LABELS if len(label_names) == 2 else ())


def evaluate_classification(
    labels: Labels, answers: Labels, probabilities: Values, decision: Decision
) -> dict[str, Any]:
    """Measure one label a row.

    Returns:
        `accuracy`, `macro_f1`, `log_loss`, `per_label` and `confusion_matrix` (truth in rows, answers in columns).
        For two labels also `positive_label`, its `precision`, `recall` and `f1` at the threshold, the same over all
        thresholds as `roc_auc` and `pr_auc` (average precision), and `thresholds`, a table of the trade-off.
    """
    names = decision.label_names
    # float32 sums are 1 to seven digits; log_loss wants more.
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    result = measure_labels(labels, answers)
    result["log_loss"] = float(
        metrics.log_loss(labels, probabilities, labels=np.arange(len(names)))
    )
    if len(names) == 2 and len(np.unique(labels)) == 2:  # a test split of its own may lack one
        positive = positive_of(labels, decision)
        is_positive, scores = labels == positive, probabilities[:, positive]
        result.update(
            positive_label=names[positive],
            **measure_ranking(is_positive, scores),
            **measure_hits(is_positive, answers == positive),
            thresholds=_trade_off(is_positive, scores),
        )
    result["per_label"] = _per_label(labels, answers, names)
    result["confusion_matrix"] = metrics.confusion_matrix(
        labels, answers, labels=np.arange(len(names))
    ).tolist()
    return result


def evaluate_label_sets(
    truth: LabelSets, answers: LabelSets, probabilities: Values, names: Sequence[str]
) -> dict[str, Any]:
    """Measure any number of labels a row.

    Returns:
        `micro_f1`, `macro_f1`, `subset_accuracy` (all labels of a row right), `hamming_loss` (share of wrong
        yes and no), `ranking_precision` (label ranking average precision), and `per_label`.
    """
    result: dict[str, Any] = measure_label_sets(truth, answers)
    result["ranking_precision"] = float(
        metrics.label_ranking_average_precision_score(truth, probabilities)
    )
    result["per_label"] = _per_label(truth, answers, names)
    return result


def evaluate_regression(truth: Values, values: Values, decision: Decision) -> dict[str, Any]:
    """Measure a number a row.

    Returns:
        `mae`, `rmse`, `median_absolute_error` and, of two rows or more, `r2`; with intervals,
        `interval_coverage` (how often they hold the truth) and `interval_width`.
    """
    result = {
        "mae": float(metrics.mean_absolute_error(truth, values)),
        "rmse": float(metrics.root_mean_squared_error(truth, values)),
        "median_absolute_error": float(metrics.median_absolute_error(truth, values)),
    }
    if len(truth) > 1:  # a single one does not vary
        result["r2"] = float(metrics.r2_score(truth, values))
    if decision.half_width is not None:
        result["interval_coverage"] = float(np.mean(np.abs(truth - values) <= decision.half_width))
        result["interval_width"] = 2 * decision.half_width
    return result


def positive_of(labels: Labels, decision: Decision) -> int:
    """Return which of the labels 0 and 1 is positive: the one chosen, or else the rarer one; 1 if they tie."""
    if decision.positive is not None:
        return list(decision.label_names).index(decision.positive)
    return rarer_label(labels)


def rarer_label(labels: Labels) -> int:
    """Return which of the labels 0 and 1 is rarer; 1 if they tie."""
    return 0 if np.count_nonzero(labels == 0) < np.count_nonzero(labels == 1) else 1


def headline(result: dict[str, Any]) -> dict[str, float]:
    """Return the single numbers of an evaluation."""
    return {name: value for name, value in result.items() if isinstance(value, float)}


def measure_labels(labels: Labels, answers: Labels) -> dict[str, Any]:
    """Return `accuracy` and `macro_f1`, which need no probabilities."""
    return {
        "accuracy": float(metrics.accuracy_score(labels, answers)),
        "macro_f1": float(metrics.f1_score(labels, answers, average="macro", zero_division=0)),
    }


def measure_label_sets(truth: LabelSets, answers: LabelSets) -> dict[str, Any]:
    """Return what needs no probabilities of label sets."""
    hits, said, given = _count_hits(truth, answers)
    return {
        "micro_f1": float(2 * hits.sum() / max(1, said.sum() + given.sum())),
        "macro_f1": float(np.mean(2 * hits / np.maximum(said + given, 1))),
        "subset_accuracy": float((truth == answers).all(axis=1).mean()),
        "hamming_loss": float(np.mean(truth != answers)),
    }


def measure_ranking(is_positive: npt.NDArray[np.bool_], scores: Values) -> dict[str, float]:
    """Return `roc_auc` and `pr_auc`, which say how well scores rank, at whatever threshold."""
    return {
        "roc_auc": float(metrics.roc_auc_score(is_positive, scores)),
        "pr_auc": float(metrics.average_precision_score(is_positive, scores)),
    }


def measure_hits(
    is_positive: npt.NDArray[np.bool_], said_positive: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Return `precision`, `recall` and `f1` of one label."""
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        is_positive, said_positive, average="binary", zero_division=0
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def _trade_off(is_positive: npt.NDArray[np.bool_], scores: Values) -> list[dict[str, float]]:
    """Return precision, recall and F1 at thresholds spread evenly over the recalls, from low to high.

    Of thresholds with the same recall it is the highest, which is the most precise.
    """
    precision, recall, thresholds = metrics.precision_recall_curve(is_positive, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point has no threshold
    wanted = np.linspace(1, 0, _CURVE_POINTS)
    places = np.unique(np.searchsorted(-recall, -wanted, side="right") - 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return [
        {
            "threshold": float(thresholds[i]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
        }
        for i in places
    ]


def _count_hits(
    truth: LabelSets, answers: LabelSets
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return of each label how often it was answered rightly, was answered, and is the truth."""
    # Scikit-learn takes a single column of yes and no for two labels.
    return (truth & answers).sum(axis=0), answers.sum(axis=0), truth.sum(axis=0)


def _per_label(
    truth: npt.NDArray[Any], answers: npt.NDArray[Any], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    if truth.ndim == 2:
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
