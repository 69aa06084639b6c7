"""Claims about the types of columns: inferred, declared, checked, described."""

import datetime
import math
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict.contract.artefact import Input
from train.config.sections import Columns
from train.data.schema import as_numbers, as_text, describe_inputs, summarise, type_columns

ROWS = 60
XY = ["x", "y"] * 30


def typed(values: Any, declared: Any = None) -> tuple[str, list[Any], list[str]]:
    """Return the type of a column, or why it is ignored; its values; and what is wrong with them."""
    columns = Columns.model_validate({"inputs": {"c": declared} if declared else {}})
    frame = pd.DataFrame({"c": values, "label": pd.Series(XY[: len(values)])})
    found, problems = type_columns(frame, columns)
    if "c" not in found.column_types:
        return found.ignored.get("c", ""), [], problems
    return found.column_types["c"], found.values["c"].tolist(), problems


def texts(*values: str) -> "pd.Series[str]":
    """Repeat values, as they come from a CSV file."""
    return pd.Series([values[i % len(values)] for i in range(ROWS)], dtype="str")


def different(pattern: str) -> "pd.Series[str]":
    return texts(*(pattern.format(i) for i in range(ROWS)))


# ----------------------------------------------------------------- inference


@pytest.mark.parametrize(
    ("values", "kind", "first"),
    [
        (texts("1", "2.5", "-3e-2"), "number", [1.0, 2.5, -0.03]),
        (texts("1", "", "n/a", "NaN", "?", "-", " 2 ", "NULL", "none"), "number", [1.0, math.nan]),
        (texts("1.5", "1.5", ""), "number", [1.5, 1.5, math.nan]),  # it says when it is missing
        (texts("a", "b", ""), "category", ["a", "b", ""]),
        (texts(" a ", "NA", "None"), "category", ["a", "NA", "None"]),
        (texts("1", "2", "three"), "category", ["1", "2", "three"]),
        (texts("1_0", "2_0"), "category", ["1_0", "2_0"]),
        (texts("0x1", "0x2"), "category", ["0x1", "0x2"]),
        (texts("true", "false"), "category", ["true", "false"]),
        (different("note {} of this"), "text", ["note 0 of this"]),
        (different(" note {} of "), "text", [" note 0 of "]),
        (texts("2024-01-31", "2024-02-01"), "date", ["2024-01-31", "2024-02-01"]),
        (texts("2024-01-31", "", "?"), "date", ["2024-01-31", "", ""]),
        (different("2024-01-31T10:{:02}:00Z"), "date", ["2024-01-31T10:00:00Z"]),
        (texts("20240131", "20240201"), "number", [20240131.0]),
        (texts("0", "59", *["7"] * 58), "number", [0.0, 59.0]),  # as many as rows, but not one each
        (texts("31.01.2024", "01.02.2024"), "date", ["2024-01-31", "2024-02-01"]),
        (texts("01.02.2024", "03.02.2024"), "category", ["01.02.2024"]),  # which is the month?
        (texts("13/01/2022 10:05", ""), "date", ["2022-01-13T10:05:00", ""]),
        (texts("1,163.74", "12", "-5,000.5"), "number", [1163.74, 12.0, -5000.5]),
        (texts("1.163,74", "12"), "number", [1163.74, 12.0]),
        (texts("34,1", "-5", "?"), "number", [34.1, -5.0, math.nan]),
        (texts("1 163,74", "12"), "number", [1163.74, 12.0]),
        (texts("45 %", "7.5%"), "number", [45.0, 7.5]),
        (texts("$12", "-$1,000.50", "$ 3"), "number", [12.0, -1000.5, 3.0]),
        (texts("1,234", "5,678"), "category", ["1,234"]),  # thousands or decimals?
        (texts("10.0.0.1", "10.0.0.2"), "category", ["10.0.0.1"]),
        (texts("1,2,3", "4,5,6"), "category", ["1,2,3"]),
        (texts("True", "FALSE", ""), "category", ["true", "false", ""]),
        (texts("True", "FALSE", "maybe"), "category", ["True", "FALSE", "maybe"]),
        (texts("02134", "10001"), "category", ["02134", "10001"]),
        (texts("10001", "94103", *["60601"] * 57, "02134"), "category", ["10001", "94103"]),
        (texts("0", "0.5", "-0.5"), "number", [0.0, 0.5, -0.5]),
        (texts("cafe\u0301", "café"), "category", ["café", "café"]),
        (pd.Series([True, False] * 30), "category", ["true", "false"]),
        (pd.Series([np.True_, "FALSE"] * 30, dtype=object), "category", ["true", "false"]),
        (pd.Series([True, None] * 30, dtype="boolean"), "category", ["true", ""]),
        (pd.Series([1, None] * 30, dtype="Int64"), "number", [1.0, math.nan]),
        (pd.Series([1.5, math.nan] * 30, dtype="float32"), "number", [1.5, math.nan]),
        (pd.Series([1, "2", 3.0, None] * 15, dtype=object), "number", [1.0, 2.0, 3.0, math.nan]),
        (pd.Series([1, "a", 3.0, True] * 15, dtype=object), "category", ["1", "a", "3", "true"]),
        (pd.Series([Decimal("1.10"), None] * 30), "number", [1.1, math.nan]),
        (pd.Series(["a", "b"] * 30, dtype="category"), "category", ["a", "b"]),
        (pd.Series([datetime.date(2024, 1, 31), None] * 30), "date", ["2024-01-31", ""]),
        (pd.Series(pd.to_datetime(["2024-01-31 10:05", None] * 30)), "date", ["2024-01-31T10:05:00", ""]),
    ],
)  # fmt: skip
def test_a_type_is_inferred_from_the_values(values: Any, kind: str, first: list[Any]) -> None:
    found, converted, problems = typed(values)
    assert (found, problems) == (kind, [])
    np.testing.assert_equal(converted[: len(first)], first)
    assert {type(value) for value in converted} == {float if kind == "number" else str}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (texts(""), "empty in every row"),
        (texts("", "?", "n/a"), "empty in every row"),
        (pd.Series([math.nan] * ROWS), "empty in every row"),
        (pd.Series([None] * ROWS, dtype=object), "empty in every row"),
        (texts("a"), "the same in every row"),
        (texts("7"), "the same in every row"),
        (pd.Series([7] * ROWS), "the same in every row"),
        (texts("5")[:1], "the same in every row"),
        (different("{}"), "it numbers the rows"),
        (different("{}").iloc[::-1], "it numbers the rows"),
        (pd.Series(np.arange(ROWS) + 1000), "it numbers the rows"),
        (different("id{}"), "60 different values in 60 rows: too many for categories, too short for texts"),
        (different("0{}"), "digits with leading zeros, such as '00'; 60 different values are too many for categories"),
        (different("1_{}"), "60 different values in 60 rows: too many for categories, too short for texts"),
        (texts("inf", *map(str, range(0, 118, 2))), "numbers, but 1 of 60 is not, such as 'inf'"),
        (texts("3 EUR", "oops", *map(str, range(0, 116, 2))), "numbers, but 2 of 60 are not, such as '3 EUR'"),
    ],
)  # fmt: skip
def test_a_column_that_says_nothing_is_ignored_with_the_reason(values: Any, reason: str) -> None:
    assert typed(values) == (reason, [], [])


@pytest.mark.parametrize(
    ("rows", "values", "kind"),
    [(20, 20, "category"), (21, 21, None), (209, 21, None), (210, 21, "category"),
     (20_000, 1000, "category"), (20_000, 1001, None)],
)  # fmt: skip
def test_values_that_repeat_are_categories_up_to_a_limit(
    rows: int, values: int, kind: str | None
) -> None:
    column = pd.Series([f"v{i % values}" for i in range(rows)], dtype="str")
    found, _ = type_columns(pd.DataFrame({"c": column, "label": "x"}), Columns())
    assert found.column_types.get("c") == kind
    assert ("c" in found.ignored) is (kind is None)


def test_only_the_label_is_no_input_and_the_order_is_that_of_the_table() -> None:
    frame = pd.DataFrame({"b": XY, "label": XY, "a": XY, " label": XY})
    assert list(type_columns(frame, Columns())[0].column_types) == ["b", "a", " label"]


def test_where_texts_are_named_only_they_and_what_is_declared_are_inputs() -> None:
    frame = pd.DataFrame({"a": XY, "b": XY, "c": XY, "label": XY})
    columns = Columns.model_validate({"text": ["c"], "inputs": {"a": "category"}})
    assert type_columns(frame, columns)[0].column_types == {"c": "text", "a": "category"}


# ------------------------------------------------------------------- numbers


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_in_a_file_is_the_double_that_json_reads(value: float) -> None:
    written = pd.Series([repr(value), "", f" {value:.3e} ", f"{value:.25f}"], dtype="str")
    for slow in (written, written.astype(object), written[written.str.strip() != ""]):
        numbers, wrong = as_numbers(slow)
        assert not wrong.any()
        for text, number in zip(slow, numbers, strict=True):
            expected = float(text) if text.strip() else math.nan
            assert struct.pack("d", number) == struct.pack("d", expected)


@given(st.text(max_size=8))
def test_what_python_reads_as_a_number_is_one_unless_it_has_an_underscore(text: str) -> None:
    for others in ([], ["x"]):  # with a word beside it, every value is read for itself
        numbers, wrong = as_numbers(pd.Series([text, *others], dtype=object))
        try:
            expected = math.nan if "_" in text else float(text)
        except ValueError:
            expected = math.nan
        assert numbers[0] == expected or math.isnan(expected)
        if not math.isnan(expected):
            assert not wrong[0]


def test_a_lone_surrogate_is_no_number_and_no_accident() -> None:
    assert as_numbers(pd.Series(["\ud800", "1"], dtype=object))[1].tolist() == [True, False]


def test_a_column_as_text_is_what_json_shows() -> None:
    values = [1, 1.0, 2.5, "1.0", True, None, math.nan, 1e22, float("inf"), Decimal("1.10")]
    shown = ["1", "1", "2.5", "1.0", "true", "", "", "1" + "0" * 22, "inf", "1.10"]
    assert as_text(pd.Series(values, dtype=object)).tolist() == shown
    assert as_text(pd.Series([1.0, math.nan])).tolist() == ["1", ""]


# ------------------------------------------------------------------ declared


@pytest.mark.parametrize(
    ("values", "declared", "kind", "first"),
    [
        (texts("1", "2"), "category", "category", ["1", "2"]),
        (texts("1.0", "2", ""), "category", "category", ["1", "2", ""]),
        (texts("True", "FALSE"), {"categories": [True, False]}, "category", ["true", "false"]),
        (texts("TRUE", "FALSE"), {"categories": ["True", "False"]}, "category", ["true", "false"]),
        (texts("1.0", "2.0"), {"categories": [1, 2]}, "category", ["1", "2"]),
        (texts("1.0", "2.0"), {"categories": ["1.0", "2.0", "x"]}, "category", ["1.0", "2.0"]),
        (texts("02134", "10001"), "number", "number", [2134.0, 10001.0]),
        (
            pd.Series([2**53 + 1, None] * 30, dtype=object),
            "category",
            "category",
            [str(2**53 + 1), ""],
        ),
        (
            pd.Series([2**53 + 1, None] * 30, dtype="Int64"),
            "category",
            "category",
            [str(2**53 + 1), ""],
        ),
        (pd.Series([1.0, math.nan] * 30), "category", "category", ["1", ""]),
        (texts("1", "2"), {"categories": [1, 2, 3]}, "category", ["1", "2"]),
        (pd.Series([3, 1] * 30), {"categories": [1, 2, 3]}, "category", ["3", "1"]),
        (texts("1", "2"), "text", "text", ["1", "2"]),
        (texts("", "1"), {"minimum": 0}, "number", [math.nan, 1.0]),
        (different("{}"), "number", "number", [0.0, 1.0]),
        (texts("20240131", "?"), "date", "date", ["20240131", ""]),
        (texts("a"), "category", "category", ["a"]),
        (texts("a"), "ignore", "as declared", []),
    ],
)
def test_a_declared_type_wins_over_what_would_be_inferred(
    values: Any, declared: Any, kind: str, first: list[Any]
) -> None:
    found, converted, problems = typed(values, declared)
    assert (found, problems) == (kind, [])
    np.testing.assert_equal(converted[: len(first)], first)


@pytest.mark.parametrize(
    ("values", "declared", "problem"),
    [
        (texts("1", "two", "3"), "number", "20 rows are not a number, the first is row 2: 'two'"),
        (texts("1", "1_0"), {"minimum": 0}, "30 rows are not a number, the first is row 2: '1_0'"),
        (texts("1", "inf"), "number", "30 rows are not finite, the first is row 2: inf"),
        (pd.Series([1.5, math.inf, -math.inf] * 20), None, "40 rows are not finite, the first is row 2: inf, -inf"),
        (texts("2024-01-31", "31.1.2024"), "date", "30 rows are not an ISO 8601 date (2024-01-31), the first is row 2"),
        (texts("-1", "", "0"), {"minimum": 0}, "20 rows are below the minimum 0, the first is row 1: -1.0"),
        (texts("9", "1"), {"maximum": 8.5}, "30 rows are above the maximum 8.5, the first is row 1: 9.0"),
        (texts("a", "b", "c", "d", "e", ""), {"categories": ["a"]}, "40 rows are none of a, the first is row 2: 'b'"),
        (texts("a", ""), {"type": "category", "max_missing": 0.4}, "missing in 50.0% of the rows, at most 40.0% is"),
        (different("a b {} c").mask([True, False] * 30, "  "), {"max_missing": 0}, "missing in 50.0% of"),
        (texts(""), {"max_missing": 0.1}, "missing in 100.0% of the rows, at most 10.0% is declared"),
        (texts("x" * 500, "1"), "number", f"30 rows are not a number, the first is row 1: '{'x' * 79}…"),
        (pd.Series([[1]] * ROWS), None, "60 rows are a list, an object or bytes, the first is row 1: '[1]'. Flatten"),
        (pd.Series([None, {"a": 1}] * 30), "category", "30 rows are a list, an object or bytes, the first is row 2"),
        (pd.Series([b"raw"] * ROWS), None, "60 rows are a list, an object or bytes, the first is row 1"),
    ],
)  # fmt: skip
def test_what_is_not_as_declared_is_told_with_count_first_row_and_examples(
    values: Any, declared: Any, problem: str
) -> None:
    _, _, [found] = typed(values, declared)
    assert found.startswith(f"c: {problem}")


def test_nested_values_may_be_ignored() -> None:
    assert typed(pd.Series([{"a": 1}] * ROWS), "ignore") == ("as declared", [], [])


# --------------------------------------------------------------- description


def describe(values: Any, declared: Any = None, rows: int = ROWS) -> dict[str, Any]:
    columns = Columns.model_validate({"inputs": {"c": declared} if declared else {}})
    frame = pd.DataFrame({"c": values, "label": pd.Series(XY)})
    found, problems = type_columns(frame, columns)
    assert problems == []
    [column] = describe_inputs(found.column_types, found.values, np.arange(rows), columns)
    assert Input.model_validate(column.model_dump()) == column
    return column.model_dump(exclude_defaults=True, exclude={"name"})


@pytest.mark.parametrize(
    ("values", "declared", "rows", "described"),
    [
        (texts("3", "1", "2"), None, 2, {"type": "number", "minimum": 1, "maximum": 3}),
        (texts("3", "1", ""), None, 2, {"type": "number", "nullable": True, "minimum": 1, "maximum": 3}),
        (texts("3", "1"), {"minimum": 0, "maximum": 9}, 2,
         {"type": "number", "minimum": 0, "maximum": 9, "seen_minimum": 1, "seen_maximum": 3}),
        (texts("3", "1"), {"max_missing": 0.1}, 2, {"type": "number", "nullable": True, "minimum": 1, "maximum": 3}),
        (texts("", "", "3"), {"maximum": 9}, 2,
         {"type": "number", "nullable": True, "maximum": 9, "missing_share": 1}),
        (texts("b", "a", "c"), None, 2, {"type": "category", "categories": ["a", "b"]}),
        (texts("b", "a"), {"categories": ["c", "b", "a"]}, 2,
         {"type": "category", "categories": ["c", "b", "a"], "seen_categories": ["a", "b"]}),
        (texts("b", "", "a"), None, 2,
         {"type": "category", "nullable": True, "categories": ["b"], "missing_share": 0.5}),
        (texts("True", "FALSE"), None, 2, {"type": "category", "categories": ["false", "true"], "form": "boolean"}),
        (texts("True", "FALSE"), {"categories": [True, False]}, 2,
         {"type": "category", "categories": ["true", "false"], "form": "boolean",
          "seen_categories": ["false", "true"]}),
        (texts("1.0", "2"), "category", 2, {"type": "category", "categories": ["1", "2"], "form": "whole"}),
        (texts("true", "false", "maybe"), None, 2, {"type": "category", "categories": ["false", "true"]}),
        (texts("2024-01-31", "2024-02-01"), None, 2, {"type": "date"}),
        (different("a b {} c").mask([True, *[False] * 59], " "), None, 2,
         {"type": "text", "tokenizer": 2, "nullable": True, "missing_share": 0.5}),
    ],
)  # fmt: skip
def test_a_column_is_described_as_declared_or_as_training_saw_it(
    values: Any, declared: Any, rows: int, described: dict[str, Any]
) -> None:
    assert describe(values, declared, rows) == described


def test_a_form_is_claimed_only_if_the_rows_that_are_left_have_it() -> None:
    typed_columns, _ = type_columns(
        pd.DataFrame({"c": ["1.0", "2", "x"], "label": XY[:3]}), Columns()
    )
    [column] = describe_inputs(
        typed_columns.column_types, typed_columns.values.iloc[:2], np.arange(2), Columns()
    )
    assert (column.categories, column.form) == (["1.0", "2"], None)


def test_columns_are_summed_up_in_a_line_for_each_type() -> None:
    kinds = {f"n{i}": "number" for i in range(14)} | {"c": "category", "d": "category", "t": "text"}
    assert summarise(kinds, {"id": "it numbers the rows"}) == [
        f"14 numbers: {', '.join(f'n{i}' for i in range(12))} and 2 more",
        "2 categories: c, d",
        "1 text: t",
        "ignored: id (it numbers the rows)",
    ]


def test_a_minus_sign_of_unicode_is_a_minus() -> None:
    numbers, wrong = as_numbers(pd.Series(["1.5", "−2.5", "−", "1−2"]))
    assert numbers[:2].tolist() == [1.5, -2.5]
    assert wrong.tolist() == [False, False, True, True]
