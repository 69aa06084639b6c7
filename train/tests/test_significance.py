"""Claims about intervals and tests, against brute force, scikit-learn, scipy and numbers worked out by hand."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, chi2
from sklearn import metrics as sklearn_metrics

from train.evaluation import significance
from train.evaluation.measures import ERRORS, evaluate, headline
from train.evaluation.significance import (
    Scored,
    confidence_intervals,
    label_differences,
    mcnemar,
    num_resamples,
    paired_differences,
    ranking_precisions,
)
from train.models.decision import Decision

Case = tuple[Any, Any, Decision]


def _labels(count: int, width: int, seed: int = 0, **more: Any) -> Case:
    random = np.random.default_rng(seed)
    targets = random.integers(width, size=count)
    outputs = random.random((count, width)) ** 2
    outputs[np.arange(count), targets] += random.random(count) * 0.6
    names = [f"l{number}" for number in range(width)]
    return targets, outputs / outputs.sum(axis=1, keepdims=True), Decision(names, **more)


def _two(count: int = 120, seed: int = 0) -> Case:
    """Coarse probabilities: many rows tie."""
    targets, outputs, decision = _labels(count, 2, seed, thresholds={"l1": 0.4}, positive="l1")
    coarse = outputs[:, 1].round(1)
    return targets, np.column_stack([1 - coarse, coarse]), decision


def _sets(count: int = 90, seed: int = 0) -> Case:
    random = np.random.default_rng(seed)
    truth = random.random((count, 4)) < [0.5, 0.3, 0.1, 0.02]
    outputs = np.clip(random.random((count, 4)) * 0.6 + truth * 0.35, 0, 1).round(1)
    names = list("abcd")
    return truth, outputs, Decision(names, several=True, thresholds=dict.fromkeys(names, 0.5))


def _values(count: int = 101, seed: int = 0) -> Case:
    random = np.random.default_rng(seed)
    truth = 1e6 + random.normal(size=count).round(1)
    outputs = truth + random.normal(size=count).round(1) / 2
    return truth, outputs[:, None], Decision([], half_width=0.5, coverage=0.9)


CASES = {
    "two labels": _two(),
    "the first label positive": (*_two()[:2], Decision(["l0", "l1"], positive="l0")),
    "three labels": _labels(80, 3),
    "unsure answers": _labels(80, 3, unsure_below=0.55),
    "unsure answers of two labels": (
        *_two()[:2],
        Decision(["l0", "l1"], thresholds={"l1": 0.4}, positive="l1", unsure_below=0.6),
    ),
    "many labels, few rows": _labels(60, 25),
    "label sets": _sets(),
    "values": _values(),
    "an even number of values": _values(100),
}


def _brute_force(targets: Any, outputs: Any, decision: Decision, seed: int) -> dict[str, Any]:
    """Evaluate copies of the drawn rows, one resample after the other."""
    found: dict[str, list[float]] = {}
    for draws in significance._draw(len(targets), seed):
        for draw in draws.astype(int):
            rows = np.repeat(np.arange(len(targets)), draw)
            for name, value in headline(evaluate(targets[rows], outputs[rows], decision)).items():
                found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_intervals_are_those_of_evaluating_each_resample(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(significance, "_RESAMPLES", ((1000, 60),))
    expected = _brute_force(*case, seed=7)
    found = confidence_intervals(*case, seed=7)
    assert set(found) == set(expected) - {"interval_width"}
    for name, (low, high) in found.items():
        ends = np.quantile(expected[name], (0.025, 0.975))
        assert low == pytest.approx(min(ends[0], expected[name][0]), rel=1e-9), name
        assert high == pytest.approx(max(ends[1], expected[name][0]), rel=1e-9), name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_interval_holds_the_metric_itself(case: Case) -> None:
    metrics = headline(evaluate(*case))
    for name, (low, high) in confidence_intervals(*case).items():
        assert low - 1e-12 <= metrics[name] <= high + 1e-12


def test_an_interval_is_stretched_where_resampling_is_biased() -> None:
    """Half is said, and exactly half is so: resampled, it is always a little more or less."""
    targets, outputs = np.arange(1000) % 2, np.full((1000, 2), 0.5)
    low, high = confidence_intervals(targets, outputs, Decision(["a", "b"]))["ece"]
    assert (low, high) == (0.0, pytest.approx(0.035, abs=0.005))


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert confidence_intervals(*CASES["two labels"]) == confidence_intervals(*CASES["two labels"])
    other = confidence_intervals(*CASES["two labels"], seed=1)
    assert other != confidence_intervals(*CASES["two labels"])


def test_the_interval_of_an_accuracy_is_as_wide_as_the_normal_one() -> None:
    targets = np.zeros(4000, np.int64)
    said = np.arange(4000) < 3600  # 0.9 ± 1.96 * sqrt(0.9 * 0.1 / 4000)
    outputs = np.column_stack([said, ~said]).astype(float)
    low, high = confidence_intervals(targets, outputs, Decision(["a", "b"]))["accuracy"]
    assert (low, high) == pytest.approx((0.9 - 0.0093, 0.9 + 0.0093), abs=0.0006)


def test_what_is_always_right_is_certain() -> None:
    targets = np.arange(30) % 3
    found = confidence_intervals(targets, np.eye(3)[targets], Decision(list("abc")))
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
        decision = Decision(["a", "b"])
        low, high = confidence_intervals(np.zeros(200, np.int64), outputs, decision)["accuracy"]
        held += low <= 0.8 <= high
    assert 0.88 <= held / 80 <= 0.99


@pytest.mark.parametrize(
    ("targets", "outputs", "decision", "lacking"),
    [
        ([0, 0, 0], [[0.9, 0.1]] * 3, Decision(["a", "b"]), {"roc_auc", "f1"}),
        ([5.0], [[4.0]], Decision([]), {"r2"}),
        ([5.0, 5.0], [[4.0], [5.0]], Decision([]), {"r2"}),
    ],
)
def test_a_metric_that_does_not_exist_has_no_interval(
    targets: list[Any], outputs: Any, decision: Decision, lacking: set[str]
) -> None:
    found = confidence_intervals(np.array(targets), np.array(outputs), decision)
    assert found
    assert not lacking & set(found)


def test_resamples_without_a_positive_row_do_not_count_for_ranking() -> None:
    targets = np.array([1, *[0] * 9])
    scores = np.linspace(1, 0.1, 10)
    outputs = np.column_stack([1 - scores, scores])
    found = confidence_intervals(targets, outputs, Decision(["a", "b"]))
    assert found["roc_auc"] == [1.0, 1.0]


@pytest.mark.parametrize(("rows", "count"), [(20_000, 2000), (20_001, 1000), (200_001, 200)])
def test_fewer_resamples_are_drawn_of_many_rows(rows: int, count: int) -> None:
    assert num_resamples(rows) == count


def test_rankings_of_labels_are_those_of_scikit_learn() -> None:
    truth, outputs, _ = _sets()
    truth[0], truth[1] = True, False
    expected = [
        sklearn_metrics.label_ranking_average_precision_score(truth[[row]], outputs[[row]])
        for row in range(len(truth))
    ]
    assert ranking_precisions(truth, outputs) == pytest.approx(expected)


# ------------------------------------------------------------------ two models


def _pair(make: Callable[..., Case]) -> tuple[Any, Scored, Scored]:
    targets, outputs, decision = make()
    worse = 0.4 * outputs + 0.6 * np.random.default_rng(3).permutation(outputs)
    return targets, Scored.of(outputs, decision), Scored.of(worse, decision)


@pytest.mark.parametrize("make", [_two, _sets, _values, lambda: _labels(80, 3)])
def test_differences_are_those_of_evaluations(make: Callable[..., Case]) -> None:
    targets, first, second = _pair(make)
    found = paired_differences(targets, first, second)
    metrics = [headline(evaluate(targets, m.outputs, m.decision)) for m in (first, second)]
    assert set(found) == set(metrics[0]) - {"interval_width"}
    for name, difference in found.items():
        assert difference.first == pytest.approx(metrics[0][name])
        assert difference.second == pytest.approx(metrics[1][name])
        assert difference.difference == pytest.approx(metrics[1][name] - metrics[0][name])
        assert difference.low <= difference.difference <= difference.high
        assert difference.significant == (difference.low > 0 or difference.high < 0)


def test_a_much_worse_model_is_significantly_worse() -> None:
    targets, first, second = _pair(lambda: _labels(300, 3))
    differences = paired_differences(targets, first, second)
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert differences[name].significant
        assert (differences[name].difference > 0) == (name in ERRORS)


def test_a_model_does_not_differ_from_itself() -> None:
    targets, first, _ = _pair(_two)
    for found in paired_differences(targets, first, first).values():
        assert (found.difference, found.low, found.high, found.significant) == (0, 0, 0, False)


def test_rows_that_are_hard_for_both_cancel_out() -> None:
    """Each is right in about 60 %, but one of them in 12 rows of 400 more than the other, and never less."""
    targets = np.zeros(400, np.int64)
    right, also = np.arange(400) < 252, np.arange(400) < 240
    decision = Decision(["a", "b"])
    better, worse = (
        Scored.of(np.column_stack([said, ~said]).astype(float), decision) for said in (right, also)
    )
    intervals = [
        confidence_intervals(targets, model.outputs, decision)["accuracy"]
        for model in (better, worse)
    ]
    assert intervals[1][1] > intervals[0][0]
    found = paired_differences(targets, better, worse)["accuracy"]
    assert found.significant
    # 12 / 400 ± 1.96 * sqrt(0.03 * 0.97 / 400)
    assert (found.low, found.high) == pytest.approx((-0.0467, -0.0133), abs=0.003)


def test_labels_are_compared_one_by_one() -> None:
    targets = np.array([0, 0, 1, 1, 2, 2] * 40)
    worse = np.where(targets == 2, 1, targets)
    names = Decision(list("abc"))
    first, second = Scored.of(np.eye(3)[targets], names), Scored.of(np.eye(3)[worse], names)
    a, b, c = label_differences(targets, first, second)
    assert (a.difference, a.significant) == (0, False)
    assert (b.first, b.second) == pytest.approx((1, 2 * 80 / (80 + 160)))
    assert (c.first, c.second, c.significant) == (1, 0, True)


def test_labels_of_sets_are_compared_one_by_one() -> None:
    targets, first, second = _pair(_sets)
    for index, found in enumerate(label_differences(targets, first, second)):
        expected = sklearn_metrics.f1_score(
            targets[:, index], second.answers[:, index], zero_division=0
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
        (59, 6, 1.1e-10),
        (121, 59, 5.45e-6),  # statistic (62 - 1)² / 180 = 20.67
    ],
)
def test_mcnemar_gives_what_is_worked_out_by_hand(
    only_first: int, only_second: int, p_value: float
) -> None:
    assert mcnemar(*_discordant(only_first, only_second)) == pytest.approx(p_value, rel=0.02)


@pytest.mark.parametrize("only_first", [0, 1, 5, 12, 20, 24])
def test_mcnemar_is_exact_for_few_pairs(only_first: int) -> None:
    pair = _discordant(only_first, 24 - only_first)
    assert mcnemar(*pair) == pytest.approx(binomtest(only_first, 24).pvalue)


@pytest.mark.parametrize("only_first", [0, 1, 9, 12, 13, 25])
def test_mcnemar_is_chi_squared_for_many(only_first: int) -> None:
    pair = _discordant(only_first, 25 - only_first)
    statistic = (abs(2 * only_first - 25) - 1) ** 2 / 25
    assert mcnemar(*pair) == pytest.approx(chi2.sf(statistic, 1))


# ---------------------------------------------------------------------- speed


def test_four_thousand_rows_and_twenty_labels_take_less_than_three_seconds() -> None:
    case = _labels(4000, 20)
    started = time.perf_counter()
    confidence_intervals(*case)
    assert time.perf_counter() - started < 3
