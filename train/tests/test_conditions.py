"""Claims about conditions: how they are read, and which values meet them."""

import pytest

from train.acceptance.conditions import Condition

SIZES = {"": 1, "kB": 1000}


def parsed(text: str) -> Condition:
    condition = Condition.parse(text, SIZES)
    assert condition is not None
    return condition


@pytest.mark.parametrize(
    ("text", "sign", "limit", "number"),
    [
        (">=0.9", ">=", "0.9", 0.9),
        (" <  .50 ", "<", ".50", 0.5),
        ("<=-3e-1", "<=", "-3e-1", -0.3),
        ("> 50 kB", ">", "50 kB", 50_000),
        ("=titan*", "=", "titan*", None),
        ("!=", "!=", "", None),
        (">=0,9", ">=", "0,9", None),
        (">=50TB", ">=", "50TB", None),
        ("<nan", "<", "nan", None),
        ("=>0.9", "=", ">0.9", None),
    ],
)
def test_a_condition_is_a_sign_and_a_limit_as_it_was_written(
    text: str, sign: str, limit: str, number: float | None
) -> None:
    assert parsed(text) == Condition(sign, limit, number)


@pytest.mark.parametrize("text", ["", "0.9", "about 0.9", "~0.9", "!0.9"])
def test_what_begins_with_no_sign_is_no_condition(text: str) -> None:
    assert Condition.parse(text) is None


def test_a_number_has_no_unit_where_none_is_known() -> None:
    assert Condition.parse(">50kB") == Condition(">", "50kB", None)


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        (">=0.9", 0.9, True),
        (">0.9", 0.9, False),
        ("<=0.9", 0.9, True),
        ("<0.9", 0.9, False),
        ("=0.9", 0.9, True),
        ("!=0.9", 0.9, False),
        (">50kB", 50_001, True),
        (">50kB", 50_000, False),
        (">=0.9", float("nan"), False),
        ("=titan*", "titanic", True),
        ("!=titan*", "titanic", False),
        ("=titan", "titanic", False),
        ("=Titan*", "titanic", False),
        ("=0.90", "0.9", False),
        (">=2026-01-03", "2026-01-03T12:00:00+00:00", True),
        ("<2026-01-03", "2026-01-03T12:00:00+00:00", False),
    ],
)
def test_numbers_are_compared_and_texts_matched(text: str, value: float | str, met: bool) -> None:
    assert parsed(text).meets(value) is met
