"""Claims about thresholds and intervals, against brute force and numbers worked out by hand."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from predict.contract.artefact import Output
from train.config import TrainConfig
from train.config.sections import CostAim
from train.data.splits import Prepared, Split
from train.models.decision import (
    Decision,
    choose_decision,
    choose_threshold,
    choose_unsure_below,
    default_decision,
    interval_half_width,
    problems_of,
    rows_for_accuracy,
    rows_for_interval,
)
from train.tests.tables import make_dataset, split_of

#   probability  0.1  0.2  0.3  0.6  0.7  0.9
#   truth         -    -    +    -    +    +
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
TRUTH = np.array([0, 0, 1, 0, 1, 1], bool)


def _cost(false_alarm: float, miss: float) -> CostAim:
    return CostAim.model_validate({"cost": {"fp": false_alarm, "fn": miss}})


@pytest.mark.parametrize(
    ("aim", "threshold"),
    [
        ("f1", 0.25),  # 3 hits, 1 alarm: 6/7; at 0.65 2 hits, no alarm, 1 miss: 4/5
        (
            "recall>=0.3",
            0.65,
        ),  # precision 1, and of the two such thresholds the one with more recall
        ("recall >= 0.9", 0.25),
        ("recall>=1", 0.25),
        ("precision>=0.75", 0.25),
        ("precision>=0.8", 0.65),
        ("precision>=1.0", 0.65),
        (_cost(1, 1), 0.65),
        (_cost(1, 10), 0.25),
        (_cost(10, 1), 0.65),
    ],
)
def test_a_threshold_lies_where_the_aim_is_best_met(aim: str | CostAim, threshold: float) -> None:
    assert choose_threshold(TRUTH, PROBABILITIES, aim) == (pytest.approx(threshold), True)


def test_to_say_yes_to_nobody_may_cost_least() -> None:
    threshold, reached = choose_threshold(~TRUTH, PROBABILITIES, _cost(100, 1))
    assert (threshold, reached) == (pytest.approx(0.95), True)


def test_a_precision_that_cannot_be_reached_is_said_and_the_highest_taken() -> None:
    truth = np.array([1, 0, 1, 0, 1, 0], bool)  # the most probable row is none: 1/2 at best
    assert choose_threshold(truth, PROBABILITIES, "precision>=0.9") == (pytest.approx(0.65), False)


@pytest.mark.parametrize("aim", ["f1", "recall>=0.9", "precision>=0.9", _cost(1, 1)])
def test_without_a_positive_row_the_threshold_is_a_half_and_the_aim_missed(aim: Any) -> None:
    assert choose_threshold(np.zeros(6, bool), PROBABILITIES, aim) == (0.5, False)


def test_probabilities_that_differ_by_rounding_alone_are_not_told_apart() -> None:
    nearly = np.array([0.2, 0.3, 0.1 + 0.2, 0.9])  # 0.1 + 0.2 is a hair above 0.3
    threshold, _ = choose_threshold(np.array([0, 0, 1, 1], bool), nearly, "f1")
    assert threshold == pytest.approx(0.25)


def _score(truth: Any, said: Any, aim: str | CostAim) -> tuple[float, ...]:
    """Return how good an answer is by an aim; larger is better."""
    hits, alarms = int((said & truth).sum()), int((said & ~truth).sum())
    misses = int(truth.sum()) - hits
    precision, recall = hits / max(1, hits + alarms), hits / truth.sum()
    if isinstance(aim, CostAim):
        return (-(aim.cost.fp * alarms + aim.cost.fn * misses),)
    if aim == "f1":
        return (2 * hits / (2 * hits + alarms + misses),)
    name, least = aim.split(">=")
    wanted, other = (recall, precision) if name == "recall" else (precision, recall)
    return (1.0, other) if wanted >= float(least) else (0.0, wanted)


@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.sampled_from([0, 0.001, 0.2, 0.25, 0.5, 0.75, 0.999, 1])),
        min_size=1,
        max_size=60,
    ),
    aim=st.one_of(
        st.just("f1"),
        st.builds("{}>={}".format, st.sampled_from(["recall", "precision"]),
                  st.sampled_from([0.1, 0.5, 0.6, 0.75, 0.9, 1.0])),
        st.builds(_cost, st.integers(0, 9), st.integers(0, 9)),
    ),
)  # fmt: skip
def test_no_other_threshold_is_better_and_no_probability_lies_on_it(rows: Any, aim: Any) -> None:
    truth, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    probabilities = probabilities.astype(float)
    threshold, reached = choose_threshold(truth, probabilities, aim)
    assert 0 <= threshold <= 1
    if not truth.any():
        return
    assert threshold not in probabilities or threshold == 0
    found = _score(truth, probabilities >= threshold, aim)
    # The format of artefacts knows no threshold above 1: a row that is certain is always taken.
    others = [*np.unique(probabilities), *([1.0] if probabilities.max() < 1 else [])]
    assert found >= max(_score(truth, probabilities >= other, aim) for other in others)
    assert reached == (isinstance(aim, CostAim) or aim == "f1" or found[0] == 1.0)


# ----------------------------------------------------------------- intervals


def test_a_half_width_is_the_error_of_the_rank_that_split_conformal_prediction_says() -> None:
    values, errors = np.full(19, 100.0), np.arange(1.0, 20.0)
    targets = values + np.where(np.arange(19) % 2, errors, -errors)
    assert interval_half_width(targets, values, 0.9) == 18  # the (19 + 1) × 0.9th of the 19
    assert interval_half_width(targets, values, 0.95) == 19
    assert interval_half_width(targets, values, 0.5) == 10


@pytest.mark.parametrize(
    ("coverage", "rows"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.999, 999)]
)
def test_an_interval_needs_so_many_rows_that_its_rank_is_among_them(
    coverage: float, rows: int
) -> None:
    assert rows_for_interval(coverage) == rows
    assert math.ceil(round((rows + 1) * coverage, 9)) <= rows


def test_of_too_few_rows_the_largest_error_is_taken() -> None:
    assert interval_half_width(np.array([1.0, 5.0]), np.zeros(2), 0.99) == 5


@given(st.integers(9, 60), st.sampled_from([0.5, 0.8, 0.9]))
def test_an_interval_holds_the_truth_as_often_as_asked(count: int, coverage: float) -> None:
    """Of exchangeable rows each is the new one equally often: leave each out and ask about it."""
    errors = np.random.default_rng(count).exponential(size=count + 1)
    held = [
        errors[i] <= interval_half_width(np.delete(errors, i), np.zeros(count), coverage)
        for i in range(count + 1)
    ]
    assert np.mean(held) >= coverage - 1e-9
    assert np.mean(held) <= coverage + 1 / (count + 1) + 1e-9  # nor much wider than that


# --------------------------------------------------------------------- doubt

#   score   0.5  0.6  0.7  0.8  0.9
#   right    -    +    -    +    +
DOUBTED = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
RIGHT = np.array([0, 1, 0, 1, 1], bool)


@pytest.mark.parametrize(
    ("accuracy", "unsure_below"),
    [(0.5, 0.0), (0.56, 0.0), (0.57, 0.55), (0.71, 0.55), (0.72, 0.75), (0.985, 0.75)],
)
def test_the_lowest_score_is_chosen_above_which_answers_are_accurate_enough(
    accuracy: float, unsure_below: float
) -> None:
    # Of 500 answers 300 are right, of the 400 surer ones 300, of the 200 surest all; the limits are 0.56, 0.71, 0.985.
    right, scores = np.tile(RIGHT, 100), np.tile(DOUBTED, 100)
    assert choose_unsure_below(right, scores, accuracy) == (pytest.approx(unsure_below), True)


@pytest.mark.parametrize(("rows", "is_shown"), [(58, False), (59, True)])
def test_few_rows_that_are_all_right_do_not_show_an_accuracy(rows: int, is_shown: bool) -> None:
    right, scores = np.ones(rows, bool), np.linspace(0.6, 0.9, rows)
    assert choose_unsure_below(right, scores, 0.95)[1] is is_shown


def test_the_accuracy_holds_on_new_rows_as_a_rule() -> None:
    random, held = np.random.default_rng(0), []
    for _ in range(200):
        scores = random.uniform(0.5, 1.0, 6000)
        right = random.random(6000) < scores
        threshold, _ = choose_unsure_below(right[:1000], scores[:1000], 0.9)
        held.append(right[1000:][scores[1000:] >= threshold].mean() >= 0.9)
    assert np.mean(held) > 0.85


def test_an_accuracy_that_no_score_reaches_is_said_and_the_highest_taken() -> None:
    # From the surest answer on: 0, 1/2, 1/3, 2/4, 2/5.
    right, scores = np.tile(np.array([0, 1, 0, 1, 0], bool), 100), np.tile(DOUBTED, 100)
    assert choose_unsure_below(right, scores, 0.9) == (pytest.approx(0.55), False)
    assert choose_unsure_below(np.zeros(5, bool), DOUBTED, 0.9) == (1.0, False)


def test_no_answer_at_all_does_not_count_as_accurate() -> None:
    right = np.array([1, 1, 1, 1, 0], bool)
    assert choose_unsure_below(right, DOUBTED, 0.95) == (pytest.approx(0.0, abs=0.25), False)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.5, 0.6, 0.75, 0.9, 0.999, 1.0])),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.5, 0.6, 0.75, 0.9, 0.99]),
)
def test_no_lower_score_would_do(rows: Any, accuracy: float) -> None:
    right, scores = (np.array(column) for column in zip(*rows, strict=True))
    threshold, reached = choose_unsure_below(right, scores, accuracy)
    assert 0 <= threshold <= 1
    limits = {
        score: binomtest(int(right[scores >= score].sum()), int((scores >= score).sum()))
        .proportion_ci(0.9, "exact")
        .low
        for score in np.unique(scores)
    }
    lowest = [score for score, limit in limits.items() if limit >= accuracy]
    assert reached == bool(lowest)
    if reached:
        assert (scores >= threshold).tolist() == (scores >= min(lowest)).tolist()


@pytest.mark.parametrize(("accuracy", "rows"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299)])
def test_an_accuracy_needs_so_many_rows_that_are_all_right(accuracy: float, rows: int) -> None:
    assert rows_for_accuracy(accuracy) == rows


def test_a_score_is_compared_as_it_is_shown() -> None:
    decision = Decision("label", ["a", "b"], unsure_below=0.7)
    outputs = np.array([[0.6999996, 0.3000004], [0.6999994, 0.3000006], [0.2, 0.8]])
    assert decision.scores(outputs).tolist() == [0.7, 0.699999, 0.8]
    assert decision.is_sure(outputs).tolist() == [True, False, True]
    assert decision.describe("y")["unsure_below"] == 0.7
    assert Decision("label", ["a", "b"]).is_sure(outputs).all()


# ------------------------------------------------------------------- answers


def test_of_two_labels_that_tie_to_six_digits_the_first_is_answered() -> None:
    outputs = np.array([[0.3, 0.7], [0.4999999, 0.5000001], [0.49999, 0.50001]])
    assert Decision("label", ["a", "b"]).answers(outputs).tolist() == [1, 0, 1]


@pytest.mark.parametrize(("positive", "answers"), [("b", [1, 1, 0]), ("a", [0, 1, 1])])
def test_a_threshold_answers_its_label_from_there_on(positive: str, answers: list[int]) -> None:
    threshold = {"a": 0.6, "b": 0.4}[positive]
    outputs = np.array([[0.3, 0.7], [0.6, 0.4], [0.61, 0.39]])
    if positive == "a":
        outputs = outputs[::-1][[0, 2, 2]]
        outputs[1:] = [[0.3, 0.7], [0.59, 0.41]]
    decision = Decision("label", ["a", "b"], thresholds={positive: threshold}, positive=positive)
    assert decision.answers(outputs).tolist() == answers


def test_every_label_of_several_has_its_own_threshold() -> None:
    decision = Decision("labels", ["a", "b"], thresholds={"a": 0.2, "b": 0.9})
    outputs = np.array([[0.2, 0.89], [0.1, 0.9]])
    assert decision.answers(outputs).tolist() == [[True, False], [False, True]]


def test_a_value_is_its_own_answer() -> None:
    assert Decision("number").answers(np.array([[1.5], [2.5]])).tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("decision", "output"),
    [
        (Decision("number", []), {"type": "number", "labels": []}),
        (
            Decision("number", [], half_width=2.5, coverage=0.9),
            {"type": "number", "labels": [], "interval": {"coverage": 0.9, "half_width": 2.5}},
        ),
        (Decision("label", ["a", "b", "c"]), {"type": "label", "labels": ["a", "b", "c"]}),
        (
            Decision("label", ["a", "b"], {"a": 0.25}, positive="a", unsure_below=0.75),
            {
                "type": "label",
                "labels": ["a", "b"],
                "thresholds": {"a": 0.25},
                "unsure_below": 0.75,
            },
        ),
        (
            Decision("labels", ["a", "b"], {"a": 0.2, "b": 0.9}),
            {"type": "labels", "labels": ["a", "b"], "thresholds": {"a": 0.2, "b": 0.9}},
        ),
    ],
)
def test_a_decision_is_described_in_an_artefact_and_read_again(
    decision: Decision, output: dict[str, Any]
) -> None:
    assert decision.describe("y") == {"name": "y", **output}
    assert Decision.of_output(Output.model_validate(decision.describe("y"))) == decision


# ------------------------------------------------------------------ choosing


def _config(**content: Any) -> TrainConfig:
    return TrainConfig.model_validate({"dataset": "d", "task": "classification"} | content)


TWO = make_dataset({"x": [0.0] * 8}, [0, 0, 0, 1, 0, 1, 0, 1], ["no", "yes"])
SPLIT = split_of(8, validation=3, test=1)  # rows 4, 5 and 6: no, yes, no
OUTPUTS = np.array([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2]])


def test_a_threshold_is_chosen_on_the_validation_rows() -> None:
    decision = choose_decision(Prepared(_config(decision={"aim": "f1"}), TWO, SPLIT), OUTPUTS)
    assert decision.thresholds == {"yes": pytest.approx(0.25)}
    assert decision.positive == "yes"
    assert decision.missed == ()


def test_without_an_aim_the_most_probable_label_is_the_answer() -> None:
    for aim in (None, "none"):
        decision = choose_decision(Prepared(_config(decision={"aim": aim}), TWO, SPLIT), OUTPUTS)
        assert decision == default_decision(Prepared(_config(), TWO, SPLIT))
        assert decision.thresholds == {}


def test_the_positive_label_is_the_rarer_of_the_training_rows_unless_it_is_named() -> None:
    assert default_decision(Prepared(_config(), TWO, SPLIT)).positive == "yes"
    assert (
        default_decision(
            Prepared(_config(), TWO, replace(SPLIT, train=np.array([1, 3, 5])))
        ).positive
        == "no"
    )
    named = _config(decision={"positive": "no"})
    assert default_decision(Prepared(named, TWO, SPLIT)).positive == "no"


def _several(truth: np.ndarray) -> tuple[Any, Split]:
    rows = np.arange(len(truth))
    dataset = make_dataset({"x": [0.0] * len(truth)}, truth, ["a", "b"])
    return dataset, Split(rows[:1], rows, rows[:1])


def test_several_labels_have_thresholds_for_f1_unless_something_else_is_said() -> None:
    # In a the positives are above 0.5, in b above 0.25.
    steps = np.linspace(0.005, 0.995, 100)
    dataset, split = _several(np.stack([steps > 0.5, steps > 0.25], axis=1))
    outputs = np.stack([steps, steps], axis=1)
    decision = choose_decision(Prepared(_config(task="multilabel"), dataset, split), outputs)
    assert decision.thresholds == {"a": pytest.approx(0.5), "b": pytest.approx(0.25)}
    none = _config(task="multilabel", decision={"aim": "none"})
    assert choose_decision(Prepared(none, dataset, split), outputs).thresholds == {
        "a": 0.5,
        "b": 0.5,
    }


def test_labels_with_few_positive_rows_share_the_threshold_of_all_for_f1() -> None:
    steps = np.linspace(0.005, 0.995, 100)
    dataset, split = _several(np.stack([steps > 0.3, steps > 0.9], axis=1))
    outputs = np.stack([steps, steps], axis=1)
    thresholds = choose_decision(
        Prepared(_config(task="multilabel"), dataset, split), outputs
    ).thresholds
    common, _ = choose_threshold(dataset.targets.ravel(), outputs.ravel(), "f1")
    assert thresholds == {"a": pytest.approx(0.3), "b": common}
    recall = _config(task="multilabel", decision={"aim": "recall>=1"})
    assert choose_decision(Prepared(recall, dataset, split), outputs).thresholds[
        "b"
    ] == pytest.approx(0.9)


MANY = (
    make_dataset({"x": [0.0] * 126}, [0, 0, 0, 1, 1, *[0, 1, 0] * 40, 1], ["no", "yes"]),
    split_of(126, validation=120, test=1),
)


def test_what_is_unsure_is_said_or_chosen_and_the_baselines_know_nothing_of_it() -> None:
    said = _config(decision={"unsure_below": 0.75})
    assert choose_decision(Prepared(said, TWO, SPLIT), None).unsure_below == 0.75
    assert default_decision(Prepared(said, TWO, SPLIT)).unsure_below is None
    # No, yes, no, forty times; all are answered no, with 0.9, 0.7 and 0.8.
    outputs = np.tile(OUTPUTS, (40, 1))
    aimed = _config(decision={"unsure_below": {"accuracy": 0.9}})
    decision = choose_decision(Prepared(aimed, *MANY), outputs)
    assert (decision.unsure_below, decision.unsure_missed) == (pytest.approx(0.75), False)
    wrong = choose_decision(Prepared(aimed, *MANY), outputs[:, ::-1])
    assert (wrong.unsure_below, wrong.unsure_missed) == (pytest.approx(0.35), True)


def test_what_is_unsure_is_chosen_among_the_answers_that_the_threshold_gives() -> None:
    # From 0.25 on it is yes: the second row is answered yes with 0.3, rightly, and so all are right.
    both = _config(decision={"aim": "f1", "unsure_below": {"accuracy": 0.9}})
    decision = choose_decision(Prepared(both, *MANY), np.tile(OUTPUTS, (40, 1)))
    assert decision.thresholds == {"yes": pytest.approx(0.25)}
    assert decision.unsure_below == 0.0


NUMBERS = make_dataset({"x": [0.0] * 8}, np.arange(8.0))
SEVERAL = make_dataset({"x": [0.0] * 8}, np.ones((8, 2), bool), ["a", "b"])
THREE = make_dataset({"x": [0.0] * 8}, [0, 1, 2, 0, 1, 2, 0, 1], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("dataset", "content", "complaint"),
    [
        (THREE, {"decision": {"aim": "f1"}}, "decision.aim: a threshold needs two labels; the dataset has 3"),
        (NUMBERS, {"task": "regression", "decision": {"aim": "f1"}}, "needs two labels; this is a regression"),
        (TWO, {"decision": {"positive": "si"}}, "decision.positive: .* got 'si'; labels: no, yes"),
        (THREE, {"decision": {"positive": "a"}}, "decision.positive: expected one of two labels, got 'a'"),
        (SEVERAL, {"task": "multilabel", "decision": {"positive": "a"}},
         "decision.positive: each label of a multilabel model has its own threshold"),
        (TWO, {"evaluation": {"interval": 0.9}}, "evaluation.interval: only a regression"),
        (NUMBERS, {"task": "regression", "decision": {"unsure_below": 0.5}},
         "decision.unsure_below: a number has no score. Take it out; evaluation.interval says"),
        (SEVERAL, {"task": "multilabel", "decision": {"unsure_below": {"accuracy": 0.9}}},
         "decision.unsure_below: a multilabel answer has no score of its own"),
        (TWO, {"decision": {"unsure_below": {"accuracy": 0.9}}},
         r"unsure_below: an accuracy of 0\.9 needs at least 29 validation rows; there are 3\. Lower it, give a score"),
        (NUMBERS, {"task": "regression", "evaluation": {"interval": 0.8}},
         r"evaluation.interval: 0\.8 needs at least 4 validation rows; there are 3\. Lower it, or raise split"),
    ],
)  # fmt: skip
def test_a_decision_that_does_not_fit_the_rows_is_refused(
    dataset: Any, content: dict[str, Any], complaint: str
) -> None:
    [problem] = problems_of(Prepared(_config(**content), dataset, SPLIT))
    assert re.search(complaint, problem)


def test_what_is_wrong_with_a_decision_is_said_all_at_once() -> None:
    content = {
        "decision": {"aim": "f1", "positive": "si"},
        "evaluation": {"interval": 0.9},
    }
    problems = problems_of(Prepared(_config(**content), THREE, SPLIT))
    assert [problem.partition(":")[0] for problem in problems] == [
        *("decision.aim", "decision.positive", "evaluation.interval")
    ]


def test_an_interval_of_enough_rows_is_let_pass() -> None:
    config = _config(task="regression", evaluation={"interval": 0.75})
    assert problems_of(Prepared(config, NUMBERS, SPLIT)) == []
