"""Claims about the metrics, with numbers that were worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest

from train.evaluation import evaluate_baselines, evaluate_classification, headline, rarer_label

# Six rows, three labels; rows 2 and 5 are mistaken.
#   truth      a    a    a    b    b    c
#   predicted  a    a    b    b    b    a
LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.5, 0.25, 0.25],
        [0.2, 0.7, 0.1],
        [0.1, 0.8, 0.1],
        [0.25, 0.5, 0.25],
        [0.5, 0.3, 0.2],
    ]
)


@pytest.fixture
def three() -> dict[str, Any]:
    return evaluate_classification(LABELS, PROBABILITIES, ["a", "b", "c"])


def test_accuracy_is_the_share_of_right_answers(three: dict[str, Any]) -> None:
    assert three["accuracy"] == pytest.approx(4 / 6)


def test_the_confusion_matrix_has_the_truth_in_rows(three: dict[str, Any]) -> None:
    assert three["confusion_matrix"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_every_label_has_its_precision_recall_f1_and_support(three: dict[str, Any]) -> None:
    a, b, c = (three["per_label"][name] for name in "abc")
    assert a == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3})
    assert b == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 4 / 5, "support": 2})
    assert c == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_macro_f1_is_the_mean_over_the_labels(three: dict[str, Any]) -> None:
    assert three["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_log_loss_is_the_mean_surprise_at_the_truth(three: dict[str, Any]) -> None:
    said_of_the_truth = [0.8, 0.5, 0.2, 0.8, 0.5, 0.2]
    assert three["log_loss"] == pytest.approx(-sum(map(math.log, said_of_the_truth)) / 6)


def test_probabilities_of_single_precision_may_miss_one_by_a_little(three: dict[str, Any]) -> None:
    single = (PROBABILITIES * (1 + 3e-7)).astype(np.float32).astype(float)
    metrics = evaluate_classification(LABELS, single, ["a", "b", "c"])
    assert metrics["log_loss"] == pytest.approx(three["log_loss"], abs=1e-6)


def test_three_labels_have_no_positive_one(three: dict[str, Any]) -> None:
    assert not {"positive_label", "roc_auc", "pr_auc"} & set(three)


def test_a_label_that_the_test_split_lacks_is_still_listed() -> None:
    metrics = evaluate_classification(LABELS[:5], PROBABILITIES[:5], ["a", "b", "c"])
    assert metrics["per_label"]["c"]["support"] == 0
    assert [len(row) for row in metrics["confusion_matrix"]] == [3, 3, 3]


# Two positives among five rows; by falling score: +, -, +, -, -.
SCORES = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
POSITIVE = np.array([1, 0, 1, 0, 0])
# Of the 6 pairs of a positive and a negative one, 5 are in order; a positive stands at ranks 1 and 3.
ROC_AUC, PR_AUC = 5 / 6, (1 / 1 + 2 / 3) / 2


@pytest.mark.parametrize(("names", "rare"), [(["ham", "spam"], 1), (["fraud", "usual"], 0)])
def test_ranking_metrics_are_about_the_rarer_label(names: list[str], rare: int) -> None:
    labels = POSITIVE if rare == 1 else 1 - POSITIVE
    columns = [1 - SCORES, SCORES] if rare == 1 else [SCORES, 1 - SCORES]
    metrics = evaluate_classification(labels, np.column_stack(columns), names)
    assert metrics["positive_label"] == names[rare]
    assert metrics["roc_auc"] == pytest.approx(ROC_AUC)
    assert metrics["pr_auc"] == pytest.approx(PR_AUC)


@pytest.mark.parametrize(
    ("labels", "rarer"), [([0, 1, 1], 0), ([0, 0, 1], 1), ([0, 1], 1), ([1, 0, 0, 1], 1)]
)
def test_the_second_label_is_positive_where_neither_is_rarer(labels: list[int], rarer: int) -> None:
    assert rarer_label(np.array(labels)) == rarer


def test_the_headline_is_single_numbers_alone(three: dict[str, Any]) -> None:
    assert set(headline(three)) == {"accuracy", "macro_f1", "log_loss"}
    two = evaluate_classification(POSITIVE, np.column_stack([1 - SCORES, SCORES]), ["a", "b"])
    assert set(headline(two)) == {"accuracy", "macro_f1", "log_loss", "roc_auc", "pr_auc"}


WORDS = (["buy now", "great offer", "buy offer"], ["see you", "at home", "you home"])


def test_the_linear_baseline_solves_what_is_separable_and_the_majority_does_not() -> None:
    texts, labels = WORDS[0] * 4 + WORDS[1] * 8, np.array([1] * 12 + [0] * 24)
    test, truth = ["great offer now", "home at you", "see home", "at you"], np.array([1, 0, 0, 0])
    baselines = evaluate_baselines(texts, labels, test, truth)
    perfect = {"accuracy": 1.0, "macro_f1": 1.0, "roc_auc": 1.0, "pr_auc": 1.0}
    assert baselines["TF-IDF + linear SVM"] == perfect
    # It says "0" every time: right three times in four; F1 of 6/7 for 0, none for 1.
    majority = {"accuracy": 0.75, "macro_f1": 3 / 7, "roc_auc": 0.5, "pr_auc": 0.25}
    assert baselines["majority label"] == pytest.approx(majority)


def test_the_baselines_rank_the_rarer_label_too_where_it_comes_first() -> None:
    texts, labels = WORDS[0] * 4 + WORDS[1] * 8, np.array([0] * 12 + [1] * 24)
    test, truth = ["great offer now", "home at you", "see home"], np.array([0, 1, 1])
    baselines = evaluate_baselines(texts, labels, test, truth)
    assert baselines["TF-IDF + linear SVM"]["roc_auc"] == 1.0
    assert baselines["majority label"]["pr_auc"] == pytest.approx(1 / 3)


def test_with_three_labels_the_baselines_have_accuracy_and_macro_f1_alone() -> None:
    texts, labels = ["red rose", "blue sky", "green grass"] * 4, np.array([0, 1, 2] * 4)
    baselines = evaluate_baselines(texts, labels, ["a rose", "the sky", "some grass"], labels[:3])
    assert baselines["TF-IDF + linear SVM"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert baselines["majority label"] == pytest.approx({"accuracy": 1 / 3, "macro_f1": 1 / 6})
