"""Claims about intervals and tests, against brute force, scikit-learn, scipy and numbers worked out by hand."""

import time
from collections.abc import Callable
from dataclasses import replace
from math import comb
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from train.evaluation import significance
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate, headline
from train.evaluation.metrics import METRICS
from train.evaluation.significance import (
    confidence_intervals,
    label_differences,
    mcnemar,
    num_resamples,
    paired_differences,
    ranking_precisions,
)
from train.models.decision import Decision


def _labels(count: int, width: int, seed: int = 0, **more: Any) -> Answered:
    random = np.random.default_rng(seed)
    targets = random.integers(width, size=count)
    outputs = random.random((count, width)) ** 2
    outputs[np.arange(count), targets] += random.random(count) * 0.6
    names = [f"l{number}" for number in range(width)]
    outputs /= outputs.sum(axis=1, keepdims=True)
    return Answered(targets, outputs, Decision("label", names, **more))


def _two(count: int = 120, seed: int = 0, **decision: Any) -> Answered:
    """Coarse probabilities: many rows tie."""
    decision = decision or {"thresholds": {"l1": 0.4}, "positive": "l1"}
    fine = _labels(count, 2, seed, **decision)
    coarse = fine.outputs[:, 1].round(1)
    return replace(fine, outputs=np.column_stack([1 - coarse, coarse]))


def _sets(count: int = 90, seed: int = 0) -> Answered:
    random = np.random.default_rng(seed)
    truth = random.random((count, 4)) < [0.5, 0.3, 0.1, 0.02]
    outputs = np.clip(random.random((count, 4)) * 0.6 + truth * 0.35, 0, 1).round(1)
    names = list("abcd")
    return Answered(truth, outputs, Decision("labels", names, dict.fromkeys(names, 0.5)))


def _values(count: int = 101, seed: int = 0) -> Answered:
    random = np.random.default_rng(seed)
    truth = 1e6 + random.normal(size=count).round(1)
    outputs = truth + random.normal(size=count).round(1) / 2
    decision = Decision("number", half_width=0.5, coverage=0.9)
    return Answered(truth, outputs[:, None], decision)


CASES = {
    "two labels": _two(),
    "the first label positive": _two(positive="l0"),
    "three labels": _labels(80, 3),
    "unsure answers": _labels(80, 3, unsure_below=0.55),
    "unsure answers of two labels": _two(thresholds={"l1": 0.4}, positive="l1", unsure_below=0.6),
    "many labels, few rows": _labels(60, 25),
    "label sets": _sets(),
    "values": _values(),
    "an even number of values": _values(100),
}


def _brute_force(case: Answered, seed: int) -> dict[str, Any]:
    """Evaluate copies of the drawn rows, one resample after the other."""
    found: dict[str, list[float]] = {}
    for draws in significance._draw(len(case.truth), seed):
        for draw in draws.astype(int):
            rows = np.repeat(np.arange(len(case.truth)), draw)
            copy = Answered(case.truth[rows], case.outputs[rows], case.decision)
            for name, value in headline(evaluate(copy)).items():
                found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_intervals_are_those_of_evaluating_each_resample(
    case: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(significance, "_RESAMPLES", ((1000, 60),))
    expected = _brute_force(case, seed=7)
    found = confidence_intervals(case, seed=7)
    assert set(found) == set(expected) - {"interval_width"}
    for name, (low, high) in found.items():
        ends = np.quantile(expected[name], (0.025, 0.975))
        assert low == pytest.approx(min(ends[0], expected[name][0]), rel=1e-9), name
        assert high == pytest.approx(max(ends[1], expected[name][0]), rel=1e-9), name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_interval_holds_the_metric_itself(case: Answered) -> None:
    metrics = headline(evaluate(case))
    for name, (low, high) in confidence_intervals(case).items():
        assert low - 1e-12 <= metrics[name] <= high + 1e-12


def _intervals(targets: Any, outputs: Any, names: Any) -> dict[str, list[float]]:
    return confidence_intervals(Answered(targets, outputs, Decision("label", names)))


def test_an_interval_is_stretched_where_resampling_is_biased() -> None:
    """Half is said, and exactly half is so: resampled, it is always a little more or less."""
    targets, outputs = np.arange(1000) % 2, np.full((1000, 2), 0.5)
    low, high = _intervals(targets, outputs, ["a", "b"])["ece"]
    assert (low, high) == (0.0, pytest.approx(0.035, abs=0.005))


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert confidence_intervals(CASES["two labels"]) == confidence_intervals(CASES["two labels"])
    other = confidence_intervals(CASES["two labels"], seed=1)
    assert other != confidence_intervals(CASES["two labels"])


def test_the_interval_of_an_accuracy_is_as_wide_as_the_normal_one() -> None:
    targets = np.zeros(4000, np.int64)
    said = np.arange(4000) < 3600  # 0.9 ± 1.96 * sqrt(0.9 * 0.1 / 4000)
    outputs = np.column_stack([said, ~said]).astype(float)
    low, high = _intervals(targets, outputs, ["a", "b"])["accuracy"]
    assert (low, high) == pytest.approx((0.9 - 0.0093, 0.9 + 0.0093), abs=0.0006)


def test_what_is_always_right_is_certain() -> None:
    targets = np.arange(30) % 3
    found = _intervals(targets, np.eye(3)[targets], list("abc"))
    assert found["accuracy"] == found["macro_f1"] == [1.0, 1.0]


def test_intervals_cover_the_truth_about_as_often_as_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(significance, "_RESAMPLES", ((1000, 300),))
    held = 0
    for seed in range(80):
        random = np.random.default_rng(seed)
        right = random.random(200) < 0.8
        outputs = np.column_stack([right, ~right]).astype(float)
        low, high = _intervals(np.zeros(200, np.int64), outputs, ["a", "b"])["accuracy"]
        held += low <= 0.8 <= high
    assert 0.88 <= held / 80 <= 0.99


@pytest.mark.parametrize(
    ("targets", "outputs", "decision", "lacking"),
    [
        ([0, 0, 0], [[0.9, 0.1]] * 3, Decision("label", ["a", "b"]), {"roc_auc", "f1"}),
        ([5.0], [[4.0]], Decision("number"), {"r2"}),
        ([5.0, 5.0], [[4.0], [5.0]], Decision("number"), {"r2"}),
    ],
)
def test_a_metric_that_does_not_exist_has_no_interval(
    targets: list[Any], outputs: Any, decision: Decision, lacking: set[str]
) -> None:
    found = confidence_intervals(Answered(np.array(targets), np.array(outputs), decision))
    assert found
    assert not lacking & set(found)


def test_resamples_without_a_positive_row_do_not_count_for_ranking() -> None:
    targets = np.array([1, *[0] * 9])
    scores = np.linspace(1, 0.1, 10)
    outputs = np.column_stack([1 - scores, scores])
    found = _intervals(targets, outputs, ["a", "b"])
    assert found["roc_auc"] == [1.0, 1.0]


@pytest.mark.parametrize(("rows", "count"), [(20_000, 2000), (20_001, 1000), (200_001, 200)])
def test_fewer_resamples_are_drawn_of_many_rows(rows: int, count: int) -> None:
    assert num_resamples(rows) == count


def test_rankings_of_labels_are_those_of_scikit_learn() -> None:
    case = _sets()
    truth, outputs = case.truth, case.outputs
    truth[0], truth[1] = True, False
    expected = [
        sklearn_metrics.label_ranking_average_precision_score(truth[[row]], outputs[[row]])
        for row in range(len(truth))
    ]
    assert ranking_precisions(truth, outputs) == pytest.approx(expected)


# ------------------------------------------------------------------ two models


def _pair(make: Callable[[], Answered]) -> tuple[Answered, Answered]:
    better = make()
    noise = np.random.default_rng(3).permutation(better.outputs)
    return better, replace(better, outputs=0.4 * better.outputs + 0.6 * noise)


@pytest.mark.parametrize("make", [_two, _sets, _values, lambda: _labels(80, 3)])
def test_differences_are_those_of_evaluations(make: Callable[[], Answered]) -> None:
    first, second = _pair(make)
    found = paired_differences(first, second)
    metrics = [headline(evaluate(model)) for model in (first, second)]
    assert set(found) == set(metrics[0]) - {"interval_width"}
    for name, difference in found.items():
        assert difference.first == pytest.approx(metrics[0][name])
        assert difference.second == pytest.approx(metrics[1][name])
        assert difference.difference == pytest.approx(metrics[1][name] - metrics[0][name])
        assert difference.low <= difference.difference <= difference.high
        assert difference.significant == (difference.low > 0 or difference.high < 0)


def test_a_much_worse_model_is_significantly_worse() -> None:
    differences = paired_differences(*_pair(lambda: _labels(300, 3)))
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert differences[name].significant
        assert (differences[name].difference > 0) == (METRICS[name].better == "lower")


def test_a_model_does_not_differ_from_itself() -> None:
    for found in paired_differences(_two(), _two()).values():
        assert (found.difference, found.low, found.high, found.significant) == (0, 0, 0, False)


def test_rows_that_are_hard_for_both_cancel_out() -> None:
    """Each is right in about 60 %, but one of them in 12 rows of 400 more than the other, and never less."""
    targets = np.zeros(400, np.int64)
    right, also = np.arange(400) < 252, np.arange(400) < 240
    decision = Decision("label", ["a", "b"])
    better, worse = (
        Answered(targets, np.column_stack([said, ~said]).astype(float), decision)
        for said in (right, also)
    )
    intervals = [confidence_intervals(model)["accuracy"] for model in (better, worse)]
    assert intervals[1][1] > intervals[0][0]
    found = paired_differences(better, worse)["accuracy"]
    assert found.significant
    # 12 / 400 ± 1.96 * sqrt(0.03 * 0.97 / 400)
    assert (found.low, found.high) == pytest.approx((-0.0467, -0.0133), abs=0.003)


def test_labels_are_compared_one_by_one() -> None:
    targets = np.array([0, 0, 1, 1, 2, 2] * 40)
    worse = np.where(targets == 2, 1, targets)
    names = Decision("label", list("abc"))
    first, second = (Answered(targets, np.eye(3)[said], names) for said in (targets, worse))
    a, b, c = label_differences(first, second)
    assert (a.difference, a.significant) == (0, False)
    assert (b.first, b.second) == pytest.approx((1, 2 * 80 / (80 + 160)))
    assert (c.first, c.second, c.significant) == (1, 0, True)


def test_labels_of_sets_are_compared_one_by_one() -> None:
    first, second = _pair(_sets)
    for index, found in enumerate(label_differences(first, second)):
        expected = sklearn_metrics.f1_score(
            second.truth[:, index], second.answers[:, index], zero_division=0
        )
        assert found.second == pytest.approx(expected)


# -------------------------------------------------------------------- McNemar


def _discordant(only_first: int, only_second: int) -> tuple[Any, Any]:
    first = [True] * only_first + [False] * only_second + [True, False] * 5
    second = [False] * only_first + [True] * only_second + [True, False] * 5
    return np.array(first), np.array(second)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (0, 5, 2 / 32),  # by hand: all five one way or all the other way
        (1, 5, 14 / 64),  # (1 + 6) ways of at most one in six, twice
        (3, 3, 1.0),
        (9, 16, 2 * sum(comb(25, k) for k in range(10)) / 2**25),
        (121, 59, 2 * sum(comb(180, k) for k in range(60)) / 2**180),
        (1500, 1500, 1.0),
    ],
)
def test_mcnemar_gives_what_is_worked_out_by_hand(
    only_first: int, only_second: int, p_value: float
) -> None:
    assert mcnemar(*_discordant(only_first, only_second)) == pytest.approx(p_value)


# ---------------------------------------------------------------------- speed


def test_four_thousand_rows_and_twenty_labels_take_less_than_three_seconds() -> None:
    case = _labels(4000, 20)
    started = time.perf_counter()
    confidence_intervals(case)
    assert time.perf_counter() - started < 3
