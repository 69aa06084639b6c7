"""Claims about calibration, coverage and doubt, against numbers worked out by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from predict.scoring.predictor import Predictor
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate
from train.evaluation.reliability import assess, calibration, coverage_curve, headline_numbers
from train.models.decision import Decision
from train.progress import SilentProgress
from train.run import prepare, run
from train.tests.tables import parts, table_config, write_table

THREE = Decision("label", ["a", "b", "c"])
TWO = Decision("label", ["no", "yes"], positive="yes")


def _of_three(scores: list[float], rights: list[int], decision: Decision = THREE) -> Answered:
    """Return rows that are always answered with `a`, with these scores, rightly where it says 1."""
    outputs = np.array([[score, (1 - score) / 2, (1 - score) / 2] for score in scores])
    return Answered(np.where(rights, 0, 1), outputs, decision)


def _of_two(scores: list[float], positives: list[int], decision: Decision = TWO) -> Answered:
    yes = np.array(scores)
    return Answered(np.array(positives), np.column_stack([1 - yes, yes]), decision)


# --------------------------------------------------------------- calibration


def test_of_many_labels_the_score_of_the_answer_is_compared_with_how_often_it_is_right() -> None:
    # Bins are 1/15 wide. In (0.8667, 0.9333]: 0.88, 0.90 and 0.92, of which two are right: 0.9 - 2/3.
    # In (0.6, 0.6667]: 0.62 and 0.64, both right: 1 - 0.63. In (0.4667, 0.5333]: 0.5, wrong: 0.5.
    answered = _of_three([0.88, 0.62, 0.92, 0.5, 0.64, 0.9], [1, 1, 0, 0, 1, 1])
    found = calibration(answered)
    assert found["ece"] == pytest.approx((3 * (0.9 - 2 / 3) + 2 * 0.37 + 0.5) / 6)
    assert found["bins"] == [
        {"from": 7 / 15, "to": 8 / 15, "rows": 1, "confidence": 0.5, "accuracy": 0.0},
        {
            "from": 9 / 15,
            "to": 10 / 15,
            "rows": 2,
            "confidence": pytest.approx(0.63),
            "accuracy": 1.0,
        },
        {
            "from": 13 / 15,
            "to": 14 / 15,
            "rows": 3,
            "confidence": pytest.approx(0.9),
            "accuracy": pytest.approx(2 / 3),
        },
    ]


def test_of_two_labels_the_positive_one_is_compared_from_0_to_1() -> None:
    # 0.1 twice, one of them positive: 0.4 too low. 0.7 once, and positive: 0.3 too low.
    answered = _of_two([0.1, 0.7, 0.1], [0, 1, 1])
    found = calibration(answered)
    assert found["ece"] == pytest.approx((2 * 0.4 + 0.3) / 3)
    assert [(each["confidence"], each["accuracy"]) for each in found["bins"]] == [
        (pytest.approx(0.1), 0.5),
        (pytest.approx(0.7), 1.0),
    ]


def test_of_several_labels_each_yes_and_no_counts() -> None:
    sets = Decision("labels", ["a", "b"], thresholds={"a": 0.5, "b": 0.5})
    outputs = np.array([[0.2, 0.9], [0.2, 0.9]])
    truth = np.array([[1, 1], [0, 0]], bool)
    assert calibration(Answered(truth, outputs, sets))["ece"] == pytest.approx(
        (2 * 0.3 + 2 * 0.4) / 4
    )


def test_a_probability_on_an_edge_belongs_to_the_bin_below_and_0_and_1_to_the_outer_ones() -> None:
    answered = _of_two([0.0, 0.2, 0.4, 1.0], [0, 0, 0, 1])
    bins = calibration(answered)["bins"]
    assert [each["to"] for each in bins] == [1 / 15, 3 / 15, 6 / 15, 1.0]


SCORES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(SCORES)
def test_the_bins_are_those_of_scikit_learn(rows: Any) -> None:
    scores, positives = zip(*rows, strict=True)
    answered = _of_two(list(scores), list(map(int, positives)))
    found = calibration(answered)["bins"]
    true, said = calibration_curve(answered.truth, answered.outputs[:, 1], n_bins=15)
    assert [each["accuracy"] for each in found] == pytest.approx(true.tolist())
    assert [each["confidence"] for each in found] == pytest.approx(said.tolist(), abs=1e-12)
    assert sum(each["rows"] for each in found) == len(rows)


@given(SCORES)
def test_the_error_is_the_same_whichever_label_is_the_positive_one(rows: Any) -> None:
    # But for edges, which belong to the bin below on either side.
    scores, positives = zip(*[(round(s, 4) + 1e-5, p) for s, p in rows if s < 0.999] or [(0.5, True)],
                            strict=True)  # fmt: skip
    answered = _of_two(list(scores), list(map(int, positives)))
    other = Decision("label", ["no", "yes"], positive="no")
    assert calibration(answered)["ece"] == pytest.approx(
        calibration(replace(answered, decision=other))["ece"]
    )


# ------------------------------------------------------------------ coverage


def test_the_surer_the_answers_the_fewer_and_here_the_more_accurate() -> None:
    answered = _of_three([0.9, 0.6, 0.8, 0.5], [1, 1, 1, 0])
    assert coverage_curve(answered) == [
        {"threshold": 0.5, "coverage": 1.0, "accuracy": 0.75},
        {"threshold": 0.6, "coverage": 0.75, "accuracy": 1.0},
        {"threshold": 0.8, "coverage": 0.5, "accuracy": 1.0},
        {"threshold": 0.9, "coverage": 0.25, "accuracy": 1.0},
    ]


def test_answers_of_the_same_score_are_given_or_withheld_together() -> None:
    answered = _of_three([0.7, 0.7, 0.9, 0.7], [1, 0, 1, 1])
    assert coverage_curve(answered) == [
        {"threshold": 0.7, "coverage": 1.0, "accuracy": 0.75},
        {"threshold": 0.9, "coverage": 0.25, "accuracy": 1.0},
    ]


@given(st.integers(1, 3000), st.sampled_from([2, 6]))
def test_a_curve_of_at_most_fifty_points_says_what_each_threshold_gives(
    count: int, digits: int
) -> None:
    random = np.random.default_rng(count)
    outputs = random.dirichlet([1, 1, 1], count).round(digits)
    targets = random.integers(0, 3, count)
    curve = coverage_curve(Answered(targets, outputs, THREE))
    assert 1 <= len(curve) <= 50
    assert curve[0]["coverage"] == 1.0
    is_right, scores = THREE.answers(outputs) == targets, THREE.scores(outputs)
    for point in curve:
        sure = scores >= point["threshold"]
        assert point["coverage"] == pytest.approx(sure.mean())
        assert point["accuracy"] == pytest.approx(is_right[sure].mean())
    assert [p["threshold"] for p in curve] == sorted({p["threshold"] for p in curve})


def test_the_score_is_that_of_the_answered_label_even_if_the_other_is_more_probable() -> None:
    eager = Decision("label", ["no", "yes"], thresholds={"yes": 0.3}, positive="yes")
    answered = _of_two([0.4, 0.1], [1, 0], eager)
    assert answered.scores().tolist() == [0.4, 0.9]
    assert [p["threshold"] for p in coverage_curve(answered)] == [0.4, 0.9]


# ----------------------------------------------------------- headline numbers


def test_unsure_answers_are_counted_and_the_others_measured() -> None:
    doubting = Decision("label", ["a", "b", "c"], unsure_below=0.8)
    answered = _of_three([0.9, 0.6, 0.8, 0.5], [1, 0, 0, 0], doubting)
    found = headline_numbers(answered)
    assert (found["unsure_share"], found["accuracy_when_sure"]) == (0.5, 0.5)
    assert set(headline_numbers(replace(answered, decision=THREE))) == {"ece"}
    metrics = evaluate(answered)
    assert {name: metrics[name] for name in found} == found


def test_no_answers_at_all_are_not_accurate() -> None:
    never = Decision("label", ["a", "b", "c"], unsure_below=0.95)
    found = headline_numbers(_of_three([0.9, 0.6], [1, 1], never))
    assert (found["unsure_share"], found["accuracy_when_sure"]) == (1.0, 0.0)


def test_evidence_is_of_probabilities_alone() -> None:
    assert assess(Answered(np.arange(3.0), np.ones((3, 1)), Decision("number")), None) == {}
    sets = Decision("labels", ["a"], thresholds={"a": 0.5})
    found = assess(Answered(np.array([[True]]), np.array([[0.5]]), sets), None)
    assert list(found) == ["calibration"]
    assert "ece_before" not in found["calibration"]


def test_the_error_before_calibration_is_that_of_the_uncalibrated_probabilities() -> None:
    before = _of_three([0.6, 0.6], [1, 0]).outputs
    found = assess(_of_three([0.9, 0.9], [1, 0]), before)["calibration"]
    assert (found["ece"], found["ece_before"]) == (pytest.approx(0.4), pytest.approx(0.1))


# --------------------------------------------------------------- end to end


@pytest.mark.parametrize(
    "decision",
    [{"unsure_below": 0.8}, {"aim": "recall>=0.9", "unsure_below": {"accuracy": 0.9}}],
)
def test_served_answers_are_unsure_where_the_evaluation_counted_them(
    tmp_path: Path, decision: dict[str, Any]
) -> None:
    config = table_config(tmp_path, write_table(tmp_path / "t.csv"), decision=decision)
    result = run(config, SilentProgress())
    predictor = Predictor.load(result.artefact_dir)
    output = predictor.metadata.outputs[0]
    assert output.unsure_below is not None
    _, dataset, split = parts(prepare(config, SilentProgress()))
    answers = predictor.predict(dataset.instances(split.test))
    unsure = [answer.get("unsure", False) for answer in answers]
    assert unsure == [answer["score"] < output.unsure_below for answer in answers]
    assert 0 < np.mean(unsure) < 1
    assert result.metrics["unsure_share"] == pytest.approx(np.mean(unsure))
