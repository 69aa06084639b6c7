"""Claims about the metrics, with numbers that were worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from train.config import TrainConfig
from train.config.sections import Columns
from train.data.dataset import Dataset
from train.data.splits import Prepared, Split
from train.evaluation.answered import Answered
from train.evaluation.baselines import baselines_beside, measure_baselines
from train.evaluation.measures import evaluate, headline
from train.evaluation.metrics import METRICS, headline_keys, keys_of
from train.models.decision import Decision, positive_label
from train.tests.tables import make_dataset, split_of

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


def _measure(labels: Any, probabilities: Any, names: list[str], **more: Any) -> dict[str, Any]:
    decision = Decision("label", names, **more)
    return evaluate(Answered(np.asarray(labels), np.asarray(probabilities), decision))


@pytest.fixture
def three() -> dict[str, Any]:
    return _measure(LABELS, PROBABILITIES, ["a", "b", "c"])


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
    metrics = _measure(LABELS, single, ["a", "b", "c"])
    assert metrics["log_loss"] == pytest.approx(three["log_loss"], abs=1e-6)


def test_three_labels_have_no_positive_one(three: dict[str, Any]) -> None:
    assert not {"positive_label", "roc_auc", "pr_auc"} & set(three)


def test_a_label_that_the_test_split_lacks_is_still_listed() -> None:
    metrics = _measure(LABELS[:5], PROBABILITIES[:5], ["a", "b", "c"])
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
    metrics = _measure(labels, np.column_stack(columns), names)
    assert metrics["positive_label"] == names[rare]
    assert metrics["roc_auc"] == pytest.approx(ROC_AUC)
    assert metrics["pr_auc"] == pytest.approx(PR_AUC)


@pytest.mark.parametrize(
    ("labels", "rarer"), [([0, 1, 1], 0), ([0, 0, 1], 1), ([0, 1], 1), ([1, 0, 0, 1], 1)]
)
def test_the_second_label_is_positive_where_neither_is_rarer(labels: list[int], rarer: int) -> None:
    assert positive_label(["no", "yes"], np.array(labels)) == ["no", "yes"][rarer]
    assert positive_label(["no", "yes"], np.array(labels), declared="no") == "no"


def test_the_headline_is_single_numbers_alone(three: dict[str, Any]) -> None:
    assert set(headline(three)) == {"accuracy", "macro_f1", "log_loss", "ece"}
    two = _measure(POSITIVE, np.column_stack([1 - SCORES, SCORES]), ["a", "b"])
    assert set(headline(two)) == {
        *("accuracy", "macro_f1", "log_loss", "roc_auc", "pr_auc", "precision", "recall", "f1"),
        "ece",
    }


def test_a_test_split_without_a_label_has_no_ranking() -> None:
    metrics = _measure([0, 0], [[0.9, 0.1], [0.2, 0.8]], ["no", "yes"], positive="yes")
    assert set(headline(metrics)) == {"accuracy", "macro_f1", "log_loss", "ece"}
    assert metrics["per_label"]["yes"]["support"] == 0


# At 0.15: said +, +, +, +, -; at a half: +, +, +, -, -. The truth: +, -, +, -, -.
@pytest.mark.parametrize(("threshold", "hits", "alarms"), [(0.15, 2, 2), (0.5, 2, 1), (0.85, 1, 0)])
def test_precision_recall_and_f1_are_those_at_the_threshold(
    threshold: float, hits: int, alarms: int
) -> None:
    outputs = np.column_stack([1 - SCORES, SCORES])
    metrics = _measure(
        POSITIVE, outputs, ["no", "yes"], thresholds={"yes": threshold}, positive="yes"
    )
    precision, recall = hits / (hits + alarms), hits / 2
    assert metrics["precision"] == pytest.approx(precision)
    assert metrics["recall"] == pytest.approx(recall)
    assert metrics["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert metrics["accuracy"] == pytest.approx((hits + 3 - alarms) / 5)
    assert metrics["per_label"]["yes"]["f1"] == pytest.approx(metrics["f1"])


def test_a_named_positive_label_is_what_precision_is_about() -> None:
    outputs = np.column_stack([1 - SCORES, SCORES])
    metrics = _measure(POSITIVE, outputs, ["no", "yes"], positive="no")
    assert metrics["positive_label"] == "no"
    assert (metrics["precision"], metrics["recall"]) == (1.0, pytest.approx(2 / 3))


def test_the_trade_off_has_the_most_precise_threshold_for_every_recall() -> None:
    metrics = _measure(POSITIVE, np.column_stack([1 - SCORES, SCORES]), ["no", "yes"])
    assert metrics["thresholds"] == [
        {"threshold": 0.7, "precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(4 / 5)},
        {"threshold": 0.9, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
    ]  # fmt: skip


def test_the_trade_off_of_many_rows_is_a_table_of_at_most_a_hundred_that_is_true() -> None:
    random = np.random.default_rng(0)
    truth, scores = random.random(5000) < 0.1, random.random(5000)
    metrics = _measure(truth.astype(int), np.column_stack([1 - scores, scores]), ["no", "yes"])
    rows = metrics["thresholds"]
    assert 50 < len(rows) <= 100
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)
    for row in rows[::10]:
        said = scores >= row["threshold"]
        assert row["precision"] == pytest.approx((said & truth).sum() / said.sum())
        assert row["recall"] == pytest.approx((said & truth).sum() / truth.sum())


# ------------------------------------------------------------------- numbers


def test_a_regression_is_measured_in_its_own_unit() -> None:
    truth, values = np.array([1.0, 2.0, 3.0, 6.0]), np.array([[2.0], [2.0], [3.0], [3.0]])
    metrics = evaluate(Answered(truth, values, Decision("number")))
    # Errors of 1, 0, 0 and 3; the truth is spread by 4 + 1 + 0 + 9 around its mean of 3.
    assert metrics == pytest.approx(
        {"mae": 1.0, "rmse": math.sqrt(10 / 4), "median_absolute_error": 0.5, "r2": 1 - 10 / 14}
    )


def test_an_interval_is_measured_by_how_often_it_holds_the_truth() -> None:
    truth, values = np.array([1.0, 2.0, 3.0, 6.0]), np.array([[2.0], [2.0], [3.0], [3.0]])
    metrics = evaluate(Answered(truth, values, Decision("number", half_width=1.0, coverage=0.9)))
    assert (metrics["interval_coverage"], metrics["interval_width"]) == (0.75, 2.0)


def test_a_single_row_has_no_r2() -> None:
    assert "r2" not in evaluate(Answered(np.array([1.0]), np.array([[2.0]]), Decision("number")))


# ---------------------------------------------------------------- label sets

#   truth   ab  a   c   -
#   given   a   ac  c   b
SETS = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], bool)
GIVEN = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 0]], bool)


def _measure_sets(truth: Any, given: Any) -> dict[str, Any]:
    names = list("abc")[: truth.shape[1]]
    outputs = np.where(given, 0.75, 0.25)
    decision = Decision("labels", names, dict.fromkeys(names, 0.5))
    return evaluate(Answered(truth, outputs, decision))


def test_label_sets_are_measured_by_label_and_by_row() -> None:
    metrics = _measure_sets(SETS, GIVEN)
    assert metrics["subset_accuracy"] == 1 / 4
    assert metrics["hamming_loss"] == pytest.approx(3 / 12)
    assert metrics["micro_f1"] == pytest.approx(2 * 3 / (5 + 4))
    # a: 2 of 2 and 2; b: none; c: 1 hit of 2 said and 1 given.
    assert metrics["macro_f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert metrics["per_label"]["c"] == pytest.approx(
        {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}
    )


def test_label_sets_are_measured_as_scikit_learn_does() -> None:
    random = np.random.default_rng(0)
    truth, given = random.random((60, 3)) < 0.3, random.random((60, 3)) < 0.3
    metrics = _measure_sets(truth, given)
    for average in ("micro", "macro"):
        expected = sklearn_metrics.f1_score(truth, given, average=average)
        assert metrics[f"{average}_f1"] == pytest.approx(expected)
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(truth, given)
    for i, row in enumerate(metrics["per_label"].values()):
        assert list(row.values()) == pytest.approx([precision[i], recall[i], f1[i], support[i]])


def test_one_label_alone_is_measured_as_given_or_not() -> None:
    truth, given = np.array([[1], [0], [1]], bool), np.array([[1], [0], [0]], bool)
    metrics = _measure_sets(truth, given)
    assert metrics["per_label"] == {
        "a": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    }
    assert metrics["macro_f1"] == metrics["micro_f1"] == pytest.approx(2 / 3)


INTERVALS = Decision("number", half_width=1.0, coverage=0.9)
DOUBT = {"unsure_below": 0.5}


@pytest.mark.parametrize(
    ("measured", "keys"),
    [
        (_measure(LABELS, PROBABILITIES, ["a", "b", "c"]), headline_keys("label", 3)),
        (_measure(POSITIVE, np.column_stack([1 - SCORES, SCORES]), ["a", "b"]), headline_keys("label", 2)),
        (_measure_sets(SETS, GIVEN), headline_keys("labels", 3)),
        (evaluate(Answered(np.arange(3.0), np.ones((3, 1)), Decision("number"))), headline_keys("number")),
        (_measure(LABELS, PROBABILITIES, ["a", "b", "c"], **DOUBT), keys_of("label", "unsure")),
        (evaluate(Answered(np.arange(3.0), np.ones((3, 1)), INTERVALS)), keys_of("number", "interval")),
    ],
)  # fmt: skip
def test_the_table_of_metrics_knows_what_is_measured_before_it_is(
    measured: dict[str, Any], keys: list[str]
) -> None:
    assert set(headline(measured)) == set(keys)
    for key in keys:
        least, most = METRICS[key].bounds
        assert least <= measured[key] <= most


# ----------------------------------------------------------------- baselines


def _texts(texts: list[str], targets: Any, names: list[str]) -> Dataset:
    dataset = make_dataset({"text": texts}, targets, names)
    assert dataset.columns == Columns()
    return dataset


def _prepared(dataset: Dataset, split: Split) -> Prepared:
    task = "multilabel" if dataset.kind == "labels" else "classification"
    content = {"dataset": "d", "task": task, "model": {"pipeline": "wide_and_deep"}}
    return Prepared(TrainConfig.model_validate(content), dataset, split)


def _measured(dataset: Dataset, split: Split) -> dict[str, dict[str, float]]:
    return measure_baselines(_prepared(dataset, split))


SPAM, HAM = ["buy now", "great offer", "buy offer"], ["see you", "at home", "you home"]


def _baselines(names: list[str], of_spam: int) -> dict[str, dict[str, float]]:
    texts = [*SPAM * 4, *HAM * 8, "great offer now", "home at you", "see home", "at you"]
    targets = [of_spam] * 12 + [1 - of_spam] * 24 + [of_spam, *[1 - of_spam] * 3]
    return _measured(_texts(texts, np.array(targets), names), split_of(40, 6, 4))


def test_baselines_measured_beside_something_else_are_the_same() -> None:
    texts = _texts([*SPAM, *HAM] * 5, np.array([1, 1, 1, 0, 0, 0] * 5), ["ham", "spam"])
    prepared = _prepared(texts, split_of(18, 6, 6))
    assert baselines_beside(prepared)() == measure_baselines(prepared)


def test_what_keeps_baselines_from_being_fitted_is_raised_to_whoever_asks_for_them() -> None:
    without_words = _texts([" "] * 30, np.array([0, 1] * 15), ["ham", "spam"])
    measured = baselines_beside(_prepared(without_words, split_of(18, 6, 6)))
    with pytest.raises(ValueError, match="empty vocabulary"):
        measured()


@pytest.mark.parametrize(("names", "of_spam"), [(["ham", "spam"], 1), (["advert", "letter"], 0)])
def test_the_linear_baseline_solves_what_is_separable_and_the_majority_does_not(
    names: list[str], of_spam: int
) -> None:
    baselines = _baselines(names, of_spam)
    measured = (*("accuracy", "macro_f1", "roc_auc", "pr_auc"), *("precision", "recall", "f1"))
    assert baselines["TF-IDF words and characters + linear SVM"] == dict.fromkeys(measured, 1.0)
    # It says the other label every time: right three times in four; F1 of 6/7 for that, none for the positive.
    majority = {"accuracy": 0.75, "macro_f1": 3 / 7, "roc_auc": 0.5, "pr_auc": 0.25}
    none = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    unsurprising = {"log_loss": -(np.log(1 / 3) + 3 * np.log(2 / 3)) / 4, "ece": 1 / 3 - 1 / 4}
    assert baselines["majority label"] == pytest.approx(majority | none | unsurprising)


def test_with_three_labels_the_svm_has_accuracy_and_macro_f1_alone() -> None:
    texts = ["red rose", "blue sky", "green grass"] * 4 + ["a rose", "the sky", "some grass"]
    dataset = _texts(texts, [0, 1, 2] * 5, ["a", "b", "c"])
    baselines = _measured(dataset, split_of(15, 3, 3))
    assert baselines["TF-IDF words and characters + linear SVM"] == {
        "accuracy": 1.0,
        "macro_f1": 1.0,
    }
    majority = {"accuracy": 1 / 3, "macro_f1": 1 / 6, "log_loss": np.log(3), "ece": 0.0}
    # A third is told to six digits.
    assert baselines["majority label"] == pytest.approx(majority, abs=1e-6)


def test_a_label_that_all_texts_have_is_no_surprise_to_the_baselines() -> None:
    texts, targets = ["red rose", "blue sky"] * 9, np.array([[1, 0], [1, 1]] * 9, bool)
    baselines = _measured(_texts(texts, targets, ["a", "b"]), split_of(12, 3, 3))
    assert baselines["TF-IDF words and characters + linear SVM"]["subset_accuracy"] == 1.0


def test_with_several_labels_a_row_the_baselines_answer_sets() -> None:
    texts = ["red rose", "blue sky", "rose sky"] * 6
    targets = np.array([[1, 0], [0, 1], [1, 1]] * 6, bool)
    baselines = _measured(_texts(texts, targets, ["a", "b"]), split_of(18, 3, 3))
    assert baselines["TF-IDF words and characters + linear SVM"]["subset_accuracy"] == 1.0
    # Both labels stand in two rows of three: both are said every time, which is right once in three.
    assert baselines["majority label"]["subset_accuracy"] == pytest.approx(1 / 3)
    assert baselines["majority label"]["micro_f1"] == pytest.approx(2 * 4 / (4 + 6))
