"""Claims about what is suspicious in a dataset, and what is not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from train.data.suspicions import suspicions

ROWS = 60
XY = np.arange(ROWS) % 2
SOME = np.arange(ROWS) * 7 % 60 * 1.25


def told(values: Any, targets: Any = XY, labels: tuple[str, ...] = ("x", "y")) -> list[str]:
    is_number = np.asarray(values).dtype != object
    frame = pd.DataFrame({"c": pd.Series(values, dtype=float if is_number else object)})
    kinds = {"c": "number" if is_number else "category"}
    return suspicions(frame, kinds, np.asarray(targets), list(labels))


def words(*values: str) -> Any:
    return np.array([values[i % len(values)] for i in range(ROWS)], dtype=object)


@pytest.mark.parametrize(
    ("values", "targets", "labels", "why"),
    [
        (words("paid", "late"), XY, ("x", "y"), "it tells the label in every row"),
        (XY * 3, XY, ("x", "y"), "it tells the label in every row"),
        (words("a", "b", "c"), np.arange(ROWS) % 3, ("x", "y", "z"), "it tells the label in every row"),
        (np.where(np.arange(ROWS) < 5, np.nan, XY), XY, ("x", "y"), "it tells the label in every row"),
        (SOME, SOME, (), "it is a copy of the target"),
        (SOME * 2.5 - 3, SOME, (), "it lies on a line with the target"),
        (np.arange(ROWS) * 3, XY, ("x", "y"), "it counts the rows"),
        (np.arange(ROWS)[::-1] * 3, XY, ("x", "y"), "it counts the rows"),
        (np.arange(ROWS) * 7 % 61, XY, ("x", "y"), "it has another whole number in every row"),
        (np.array([f"id{i}" for i in range(ROWS)], dtype=object), XY, ("x", "y"), "it has another value in every row"),
    ],
)  # fmt: skip
def test_a_column_that_gives_the_label_away_or_is_an_id_is_named(
    values: Any, targets: Any, labels: tuple[str, ...], why: str
) -> None:
    [warning] = told(values, targets, labels)
    assert warning.startswith(f"c: {why}")
    assert warning.endswith('set columns.inputs: {"c": ignore}')


@pytest.mark.parametrize(
    ("values", "targets", "labels"),
    [
        (words("a", "b", "c", "d"), XY, ("x", "y")),  # tells the label, but says more
        (words("a", "b", "a"), XY, ("x", "y")),
        (SOME, XY, ("x", "y")),
        (SOME + np.sin(np.arange(ROWS)), SOME, ()),
        (np.where(np.arange(ROWS) < 40, np.nan, XY), XY, ("x", "y")),
        (np.zeros(ROWS), SOME, ()),
        (words("a", "b"), np.ones((ROWS, 2), bool), ("x", "y")),
    ],
)
def test_an_ordinary_column_is_not_suspected(
    values: Any, targets: Any, labels: tuple[str, ...]
) -> None:
    assert told(values, targets, labels) == []


def test_spellings_are_named_in_labels_and_categories() -> None:
    targets = np.arange(ROWS) % 3
    [categories, labels] = told(
        words("New  York", "new york", "a", "b"), targets, ("Spam", "ham", "spam")
    )
    assert (
        categories
        == "c: categories differ by case or blanks alone: 'New  York' and 'new york'. Are they the same?"
    )
    assert labels == "labels differ by case or blanks alone: 'Spam' and 'spam'. Are they the same?"
