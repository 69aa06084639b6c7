"""Claims about feedback: which answer it is about, how often it counts, and what it says of a model."""

import json
import threading
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import Output
from predict.monitoring.feedback import (
    Feedback,
    FeedbackError,
    FeedbackGivenError,
    UnknownRequestError,
    report,
    student,
    wilson,
)
from predict.monitoring.snapshots import merged
from predict.monitoring.windows import BUCKET_S, BUCKETS
from predict.tests.test_windows import Clock

LABEL = Output(name="tag", type="label", labels=["git", "qt"])
NUMBER = Output(name="price", type="number")
LABELS = Output(
    name="genres", type="labels", labels=["a", "b", "c"], thresholds=dict.fromkeys("abc", 0.5)
)


def label(*given: str) -> list[dict[str, Any]]:
    return [{"label": each, "score": 0.9, "probabilities": {each: 0.9}} for each in given]


def number(*given: float) -> list[dict[str, Any]]:
    return [{"value": each} for each in given]


def labels(*given: str) -> list[dict[str, Any]]:
    return [{"labels": [{"label": one, "score": 0.9} for one in each]} for each in given]


def test_a_truth_counts_for_the_answer_to_its_request() -> None:
    feedback = Feedback(LABEL)
    feedback.remember("one", label("git"))
    feedback.remember("two", label("qt", "qt", "git"))
    assert feedback.give("two", ["qt", "git", None]) == 2
    assert feedback.give("one", ["git"]) == 1
    found = report(feedback.snapshot())
    assert (found["answers"], found["share_with_feedback"]) == (4, 0.75)
    assert found["recent"]["answers"] == found["since_loaded"]["answers"] == 3
    assert found["since_loaded"]["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["since_loaded"]["accuracy_interval"] == pytest.approx(wilson(2, 3), abs=1e-6)


def test_a_truth_counts_once() -> None:
    feedback = Feedback(LABEL)
    feedback.remember("one", label("git"))
    feedback.give("one", ["qt"])
    for _ in range(2):
        with pytest.raises(FeedbackGivenError, match="'one' was given before; it counts once"):
            feedback.give("one", ["git"])
    assert report(feedback.snapshot())["since_loaded"]["answers"] == 1


@pytest.mark.parametrize("request_id", ["never", "", "x" * 5_000])
def test_a_request_that_nobody_asked_is_unknown(request_id: str) -> None:
    feedback = Feedback(LABEL)
    feedback.remember("one", label("git"))
    with pytest.raises(
        UnknownRequestError, match=r"no answer to a request .* is remembered"
    ) as caught:
        feedback.give(request_id, ["git"])
    assert len(str(caught.value)) < 400
    assert report(feedback.snapshot())["since_loaded"]["answers"] == 0


def test_an_answer_expires_and_so_does_the_mark_that_its_truth_was_given() -> None:
    clock = Clock()
    feedback = Feedback(LABEL, clock, expires_s=60)
    feedback.remember("one", label("git"))
    feedback.remember("two", label("git"))
    feedback.give("one", ["git"])
    clock.now += 61
    for request_id in ("one", "two"):
        with pytest.raises(UnknownRequestError):
            feedback.give(request_id, ["git"])


def test_a_later_request_of_the_same_id_takes_the_place_of_the_earlier_one() -> None:
    feedback = Feedback(LABEL)
    feedback.remember("one", label("git"))
    feedback.give("one", ["git"])
    feedback.remember("one", label("qt", "qt"))
    assert feedback.give("one", ["git", "git"]) == 2


@pytest.mark.parametrize(
    ("output", "answers", "truths", "problem"),
    [
        (LABEL, label("git", "qt"), ["git"], "truths: expected 2 truths, one an answer, got 1"),
        (LABEL, label("git"), ["got"], r"truths.0: no label 'got'. Did you mean git\?"),
        (LABEL, label("git", "qt"), ["git", 3], "truths.1: expected a label, one of git, qt"),
        (LABEL, label("git"), [None], "truths: expected at least one that is not null"),
        (LABEL, label("git"), [["git"]], "truths.0: expected a label"),
        (NUMBER, number(1.0), ["1"], "truths.0: expected a finite number"),
        (NUMBER, number(1.0), [True], "truths.0: expected a finite number"),
        (NUMBER, number(1.0), [float("nan")], "truths.0: expected a finite number"),
        (NUMBER, number(1.0), [10**400], "truths.0: expected a finite number"),
        (LABELS, labels("ab"), ["a"], "truths.0: expected a list of labels"),
        (LABELS, labels("ab"), [["a", "a"]], "truths.0: expected each label once"),
        (LABELS, labels("ab"), [["a", "z"]], "truths.0: no label 'z'. Known: a, b, c"),
    ],
)
def test_truths_that_do_not_fit_are_refused_with_their_place_and_count_nothing(
    output: Output, answers: list[dict[str, Any]], truths: list[Any], problem: str
) -> None:
    feedback = Feedback(output)
    feedback.remember("one", answers)
    with pytest.raises(FeedbackError, match=problem) as caught:
        feedback.give("one", truths)
    assert caught.value.problems[0][0].startswith("truths")
    assert report(feedback.snapshot())["since_loaded"]["answers"] == 0


def test_at_most_ten_problems_are_told() -> None:
    feedback = Feedback(LABEL)
    feedback.remember("one", label(*["git"] * 50))
    with pytest.raises(FeedbackError, match="truths") as caught:
        feedback.give("one", ["no"] * 50)
    assert len(caught.value.problems) == 10


def test_the_memory_is_bounded_by_requests_and_keeps_the_newest() -> None:
    feedback = Feedback(LABEL, most_requests=100)
    for count in range(1_000):
        feedback.remember(str(count), label("git"))
    snapshot = feedback.snapshot()
    assert snapshot["answers"] == 1_000
    assert 50 <= snapshot["remembered"] <= 100
    assert all(feedback.give(str(count), ["git"]) for count in range(950, 1_000))
    with pytest.raises(UnknownRequestError):
        feedback.give("0", ["git"])


def test_where_nothing_is_remembered_every_request_is_unknown() -> None:
    feedback = Feedback(LABEL, most_requests=0)
    feedback.remember("one", label("git"))
    with pytest.raises(UnknownRequestError):
        feedback.give("one", ["git"])
    assert feedback.snapshot()["remembered"] == 0


def test_the_memory_is_bounded_by_bytes() -> None:
    feedback = Feedback(NUMBER, most_bytes=1_000_000)
    for count in range(100):
        feedback.remember(str(count), number(*map(float, range(1_000))))
    # 24 bytes of a float, and 8 for its place.
    assert 15 <= feedback.snapshot()["remembered"] <= 32
    feedback.remember("too large", number(*map(float, range(100_000))))
    with pytest.raises(UnknownRequestError):
        feedback.give("too large", [1.0] * 100_000)


def test_the_interval_of_a_share_is_that_of_wilson() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)
    assert wilson(0, 20) == pytest.approx([0.0, 0.1611], abs=1e-4)
    assert wilson(29, 29) == pytest.approx([0.8830, 1.0], abs=1e-4)
    assert wilson(0, 0) is None


@pytest.mark.parametrize(("degrees", "expected"), [(3, 3.1824), (5, 2.5706), (30, 2.0423)])
def test_the_quantile_of_student_is_that_of_the_tables(degrees: int, expected: float) -> None:
    assert student(degrees) == pytest.approx(expected, rel=0.01)


def test_numbers_have_a_mean_absolute_error_with_its_interval() -> None:
    feedback = Feedback(NUMBER)
    feedback.remember("one", number(10.0, 20.0, 30.0))
    feedback.give("one", [11, 17, 35.0])
    found = report(feedback.snapshot())["since_loaded"]
    assert found["mean_absolute_error"] == 3.0
    half = student(2) * 2 / np.sqrt(3)
    assert found["mean_absolute_error_interval"] == [0.0, pytest.approx(3 + half)]


def test_the_interval_of_an_error_holds_the_truth_as_often_as_it_says() -> None:
    randomly, held = np.random.default_rng(0), 0
    for _ in range(300):
        feedback = Feedback(NUMBER)
        truths = randomly.normal(size=40).tolist()
        feedback.remember("one", number(*[0.0] * 40))
        feedback.give("one", truths)
        low, high = report(feedback.snapshot())["recent"]["mean_absolute_error_interval"]
        held += low <= np.sqrt(2 / np.pi) <= high
    assert 0.91 <= held / 300 <= 0.98


def test_an_error_beyond_any_double_stays_a_number() -> None:
    feedback = Feedback(NUMBER)
    feedback.remember("one", number(-1.7e308, -1.7e308))
    feedback.give("one", [1.7e308, 1.7e308])
    json.dumps(report(feedback.snapshot()), allow_nan=False)


def test_sets_have_a_micro_f1_and_exact_matches() -> None:
    feedback = Feedback(LABELS)
    feedback.remember("one", labels("ab", "", "c", "b"))
    feedback.give("one", [["a"], [], ["a", "c"], ["b"]])
    found = report(feedback.snapshot())["since_loaded"]
    assert found["micro_f1"] == pytest.approx(2 * 3 / (3 + 3 + 2), abs=1e-6)
    assert found["exact_match"] == pytest.approx(2 / 4, abs=1e-6)
    low, high = found["micro_f1_interval"]
    assert 0 <= low < found["micro_f1"] < high <= 1


def test_a_few_sets_that_are_all_right_do_not_make_certain() -> None:
    feedback = Feedback(LABELS)
    feedback.remember("one", labels("ab", "c"))
    feedback.give("one", [["a", "b"], ["c"]])
    found = report(feedback.snapshot())["since_loaded"]
    assert found["micro_f1"] == 1
    assert found["micro_f1_interval"] == pytest.approx(wilson(2, 2), abs=1e-6)


def test_the_interval_of_a_micro_f1_holds_it_as_often_as_it_says() -> None:
    randomly, held = np.random.default_rng(0), 0

    def drawn() -> list[str]:
        return ["".join(np.array(list("abc"))[randomly.random(3) < 0.6]) for _ in range(60)]

    # A label is in both sets with a probability of .36, and in each of them with .6.
    for _ in range(300):
        feedback = Feedback(LABELS)
        feedback.remember("one", labels(*drawn()))
        feedback.give("one", [list(each) for each in drawn()])
        low, high = report(feedback.snapshot())["recent"]["micro_f1_interval"]
        held += low <= 0.6 <= high
    assert 0.91 <= held / 300 <= 0.98


@pytest.mark.parametrize("output", [LABEL, NUMBER, LABELS])
def test_without_a_truth_nothing_is_claimed(output: Output) -> None:
    found = report(Feedback(output).snapshot())
    assert found["share_with_feedback"] is None
    assert {value for value in found["recent"].values() if value != 0} == {None}


def test_the_recent_window_forgets() -> None:
    clock = Clock()
    feedback = Feedback(LABEL, clock)
    feedback.remember("one", label("git"))
    feedback.give("one", ["git"])
    clock.now += BUCKETS * BUCKET_S
    found = report(feedback.snapshot())
    assert (found["recent"]["answers"], found["since_loaded"]["answers"]) == (0, 1)


def test_the_feedback_of_two_processes_adds_up_as_json() -> None:
    one, two = Feedback(LABEL), Feedback(LABEL)
    for feedback, truth in ((one, "git"), (two, "qt")):
        feedback.remember("one", label("git"))
        feedback.give("one", [truth])
    found = report(merged([json.loads(json.dumps(each.snapshot())) for each in (one, two)]))
    assert found["since_loaded"]["accuracy"] == 0.5
    assert found["answers"] == 2


def test_threads_lose_no_answer_and_no_truth_counts_twice() -> None:
    feedback, refused = Feedback(LABEL), []

    def ask(first: int) -> None:
        for count in range(first, first + 1_000):
            feedback.remember(str(count), label("git"))

    def give() -> None:
        for count in range(4_000):
            try:
                feedback.give(str(count), ["git"])
            except FeedbackGivenError:
                refused.append(count)

    for targets in ([(ask, (1_000 * n,)) for n in range(4)], [(give, ()) for _ in range(3)]):
        threads = [threading.Thread(target=target, args=args) for target, args in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = report(feedback.snapshot())
    assert found["answers"] == found["since_loaded"]["answers"] == 4_000
    assert len(refused) == 8_000
