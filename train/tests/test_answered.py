"""Claims about rows with their truth and their answers, of every kind."""

from typing import Any

import numpy as np
import pytest

from train.evaluation.answered import Answered
from train.models.decision import Decision

TWO = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
SETS = Decision("labels", ["a", "b"], {"a": 0.5, "b": 0.5})


def _two(truth: Any, **decision: Any) -> Answered:
    return Answered(np.array(truth), TWO, Decision("label", ["no", "yes"], **decision))


@pytest.mark.parametrize(
    ("truth", "declared", "positive"),
    [([0, 0, 1], None, 1), ([1, 0, 1], None, 0), ([1, 0, 1], "yes", 1), ([0, 0, 0], None, 1)],
)
def test_the_positive_label_is_the_declared_one_or_the_rarer_one(
    truth: list[int], declared: str | None, positive: int
) -> None:
    assert _two(truth, positive=declared).positive == positive


def test_only_one_of_two_labels_can_be_positive() -> None:
    three = Decision("label", ["a", "b", "c"], positive="a")
    for decision in (three, SETS, Decision("number")):
        assert Answered(np.array([0]), np.array([[0.5, 0.5, 0.0]]), decision).positive is None


def test_a_part_keeps_the_positive_label_and_the_answers_of_all_rows() -> None:
    others = np.array([1, 1, 1])
    whole = Answered(np.array([0, 0, 1]), TWO, Decision("label", ["no", "yes"]), others)
    part = whole.part(np.array([1, 2, 2]))  # where "no" is rarer
    assert part.positive == 1
    assert part.answers.tolist() == [1, 1, 1]
    assert part.right().tolist() == [False, True, True]


def test_answers_of_a_decision_of_its_own_are_what_scores_are_about() -> None:
    decision = Decision("label", ["no", "yes"])
    foreign = Answered(np.array([0, 0, 1]), TWO, decision, np.array([0, 0, 1]))
    assert foreign.scores().tolist() == [0.9, 0.4, 0.3]
    assert foreign.right().all()
    assert not Answered(np.array([0, 0, 1]), TWO, decision).right()[2]


def test_a_row_of_label_sets_is_right_if_all_of_it_is_and_half_wrong_if_half_is() -> None:
    truth = np.array([[True, False], [True, True]])
    answered = Answered(truth, np.array([[0.9, 0.1], [0.9, 0.2]]), SETS)
    assert answered.right().tolist() == [True, False]
    assert answered.losses().tolist() == [0.0, 0.5]


def test_what_is_claimed_depends_on_the_kind_of_answer() -> None:
    said, so = _two([0, 0, 1]).claims()
    assert (said.tolist(), so.tolist()) == ([[0.1], [0.6], [0.3]], [[False], [False], [True]])
    three = Answered(np.array([1]), np.array([[0.2, 0.3, 0.5]]), Decision("label", ["a", "b", "c"]))
    said, so = three.claims()
    assert (said.tolist(), so.tolist()) == ([[0.5]], [[False]])
    sets = Answered(np.array([[True, False]]), np.array([[0.9, 0.2]]), SETS)
    said, so = sets.claims()
    assert (said.tolist(), so.tolist()) == ([[0.9, 0.2]], [[True, False]])
