"""The evaluation layer: metrics. Arrays in, numbers out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from predict.features import tokenize

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def evaluate_classification(
    labels: Labels, probabilities: Probabilities, label_names: Sequence[str]
) -> dict[str, Any]:
    """Measure probabilities against the truth.

    Args:
        labels: <int64>[num_rows], indices into `label_names`.
        probabilities: <float64>[num_rows, num_labels], rows summing to 1.
        label_names: In the order of the columns. With two, the second one is the positive label,
            unless the first is rarer.

    Returns:
        `accuracy`, `macro_f1`, `log_loss`; for two labels `positive_label`, `roc_auc` and `pr_auc` (average
        precision); `per_label` and `confusion_matrix` (truth in rows, predictions in columns).
    """
    predicted = probabilities.argmax(axis=1)
    # float32 sums are 1 to seven digits; log_loss wants more.
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    result: dict[str, Any] = _evaluate_labels(labels, predicted)
    result["log_loss"] = float(
        metrics.log_loss(labels, probabilities, labels=np.arange(len(label_names)))
    )
    if (
        len(label_names) == 2 and len(np.unique(labels)) == 2
    ):  # a test split of its own may lack one
        positive = rarer_label(labels)
        result["positive_label"] = label_names[positive]
        result.update(_evaluate_ranking(labels == positive, probabilities[:, positive]))
    result["per_label"] = _per_label(labels, predicted, label_names)
    result["confusion_matrix"] = metrics.confusion_matrix(
        labels, predicted, labels=np.arange(len(label_names))
    ).tolist()
    return result


def evaluate_baselines(
    train_texts: Sequence[str], train_labels: Labels, test_texts: Sequence[str], test_labels: Labels
) -> dict[str, dict[str, float]]:
    """Fit and measure what any model has to beat: the majority label, and TF-IDF with a linear model.

    The vectors are those of words and word pairs; the linear model is scikit-learn's LinearSVC, which gives
    no probabilities, hence no log loss.
    """
    majority = DummyClassifier(strategy="most_frequent").fit(
        np.zeros((len(train_labels), 1)), train_labels
    )
    scores = {
        "majority label": _evaluate_labels(
            test_labels, majority.predict(np.zeros((len(test_labels), 1)))
        )
    }
    linear = make_pipeline(
        TfidfVectorizer(
            tokenizer=_all_tokens,
            token_pattern=None,
            lowercase=False,
            ngram_range=(1, 2),
            sublinear_tf=True,
        ),
        LinearSVC(random_state=0),
    ).fit(train_texts, train_labels)
    scores["TF-IDF + linear SVM"] = _evaluate_labels(test_labels, linear.predict(test_texts))
    if len(np.unique(train_labels)) == 2 and len(np.unique(test_labels)) == 2:
        positive = rarer_label(test_labels)
        margins = linear.decision_function(test_texts) * (1 if positive == 1 else -1)
        scores["TF-IDF + linear SVM"].update(_evaluate_ranking(test_labels == positive, margins))
        constant = np.zeros(len(test_labels))
        scores["majority label"].update(_evaluate_ranking(test_labels == positive, constant))
    return scores


def rarer_label(labels: Labels) -> int:
    """Return which of the labels 0 and 1 is rarer: the one that ranking metrics are about; 1 if they tie."""
    return 0 if np.count_nonzero(labels == 0) < np.count_nonzero(labels == 1) else 1


def headline(result: dict[str, Any]) -> dict[str, float]:
    """Return the single numbers of an evaluation."""
    return {name: value for name, value in result.items() if isinstance(value, float)}


def _all_tokens(text: str) -> list[str]:
    return tokenize(text, max_pieces=100_000)


def _evaluate_labels(labels: Labels, predicted: Labels) -> dict[str, float]:
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", zero_division=0)),
    }


def _evaluate_ranking(
    is_positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> dict[str, float]:
    return {
        "roc_auc": float(metrics.roc_auc_score(is_positive, scores)),
        "pr_auc": float(metrics.average_precision_score(is_positive, scores)),
    }


def _per_label(
    labels: Labels, predicted: Labels, label_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=np.arange(len(label_names)), zero_division=0
    )
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(label_names)
    }
