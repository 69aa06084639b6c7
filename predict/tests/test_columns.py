"""Columns: every derived one against values done by hand, and one row alone as in a table."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict.contract.artefact import Derived, Input
from predict.contract.columns import bin_names, model_columns

NAN = math.nan


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


INPUTS = [
    Input(name="a", type="number"),
    Input(name="b", type="number"),
    Input(name="city", type="category"),
    Input(name="day", type="date"),
    Input(name="note", type="text"),
]


def derive(raw: dict[str, np.ndarray], *derived: Derived) -> np.ndarray:
    """Return the last derived column."""
    inputs = [column for column in INPUTS if column.name in raw]
    return model_columns(raw, inputs, derived)[derived[-1].name]


def test_numbers_and_categories_are_passed_through_and_not_copied() -> None:
    raw = {"a": numbers(1, NAN), "b": numbers(2, 3), "city": strings("Rome", "")}
    columns = model_columns(raw, INPUTS[:3], [])
    assert all(columns[name] is raw[name] for name in raw)
    assert columns.keys() == raw.keys()


def test_dates_themselves_are_left_out() -> None:
    assert model_columns({"day": strings("2026-01-31")}, INPUTS[3:4], []) == {}


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Hello, World!", "hello world"),
        ("  C++ &\tNode.js ", "c++ node.js"),
        ("Straße ﬁne", "strasse fine"),
        ("?!", ""),
        ("", ""),
        ("word " * 300, " ".join(["word"] * 256)),
    ],
)
def test_texts_are_normalised(text: str, normalised: str) -> None:
    columns = model_columns({"note": strings(text)}, INPUTS[4:], [])
    assert columns["note"].tolist() == [normalised]


@pytest.mark.parametrize(
    ("numerator", "divisor", "ratio"),
    [
        (3, 2, 1.5),
        (-3, 2, -1.5),
        (0, 2, 0),
        (3, 0, NAN),
        (3, -0.0, NAN),
        (0, 0, NAN),
        (NAN, 2, NAN),
        (3, NAN, NAN),
        (NAN, 0, NAN),
        (1e300, 1e-300, NAN),
        (-1e300, 1e-300, NAN),
        (1e-300, 1e300, 0),
    ],
)
def test_a_ratio_is_missing_where_there_is_none(
    numerator: float, divisor: float, ratio: float
) -> None:
    raw = {"a": numbers(numerator, 6), "b": numbers(divisor, 3)}
    column = derive(raw, Derived(name="r", kind="ratio", of=["a", "b"]))
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, [ratio, 2])


def test_bins_take_their_lower_edge_in() -> None:
    raw = {"a": numbers(-1e9, 17.999, 18, 18.5, 60.5, 1e9, NAN)}
    column = derive(raw, Derived(name="bins", kind="bins", of=["a"], edges=[18, 60.5]))
    assert column.dtype == object
    assert column.tolist() == [
        "(-inf, 18)",
        "(-inf, 18)",
        "[18, 60.5)",
        "[18, 60.5)",
        "[60.5, inf)",
        "[60.5, inf)",
        "",
    ]


def test_one_edge_makes_two_bins() -> None:
    assert bin_names([0]) == ["(-inf, 0)", "[0, inf)"]


def test_a_cross_joins_what_is_there() -> None:
    bins = Derived(name="bins", kind="bins", of=["a"], edges=[0])
    cross = Derived(name="cross", kind="cross", of=["city", "bins", "city"])
    raw = {"a": numbers(1, NAN, -1), "city": strings("Rome", "Oslo", "")}
    assert derive(raw, bins, cross).tolist() == [
        "Rome|[0, inf)|Rome",
        "Oslo||Oslo",
        "|(-inf, 0)|",
    ]


# 2024 was a leap year, and its 31 December a Tuesday.
@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("year", [2024, 2026, 2026, NAN]),
        ("month", [12, 1, 1, NAN]),
        ("day", [31, 5, 4, NAN]),
        ("weekday", [1, 0, 6, NAN]),
        ("hour", [0, 13, 23, NAN]),
        ("minute", [0, 5, 59, NAN]),
        ("day_of_year", [366, 5, 4, NAN]),
    ],
)
def test_parts_of_dates(part: str, values: list[float]) -> None:
    raw = {"day": strings("2024-12-31", "2026-01-05T13:05", "2026-01-04 23:59:59+02:00", "")}
    made = Derived.model_validate({"name": "p", "kind": "date_part", "of": ["day"], "part": part})
    column = derive(raw, made)
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, values)


def test_a_date_that_is_none_is_an_error() -> None:
    made = Derived(name="p", kind="date_part", of=["day"], part="year")
    with pytest.raises(ValueError, match="tomorrow"):
        derive({"day": strings("tomorrow")}, made)


def test_derived_columns_are_made_of_derived_columns() -> None:
    ratio = Derived(name="r", kind="ratio", of=["a", "b"])
    again = Derived(name="rr", kind="ratio", of=["r", "b"])
    assert derive({"a": numbers(8), "b": numbers(2)}, ratio, again).tolist() == [2]


def test_nothing_that_is_given_is_changed() -> None:
    raw = {"a": numbers(1, NAN, 3), "b": numbers(0, 1, 2)}
    before = {name: column.copy() for name, column in raw.items()}
    derive(
        raw,
        Derived(name="r", kind="ratio", of=["a", "b"]),
        Derived(name="bins", kind="bins", of=["r"], edges=[1]),
    )
    for name, column in before.items():
        np.testing.assert_array_equal(raw[name], column)


ANY_NUMBER = st.floats(allow_infinity=False)


@given(st.lists(st.tuples(ANY_NUMBER, ANY_NUMBER, st.text(max_size=5)), min_size=1, max_size=20))
def test_one_row_alone_has_the_columns_that_it_has_in_a_table(
    rows: list[tuple[float, float, str]],
) -> None:
    derived = [
        Derived(name="r", kind="ratio", of=["a", "b"]),
        Derived(name="bins", kind="bins", of=["r"], edges=[-1, 0, 1e-3]),
        Derived(name="cross", kind="cross", of=["city", "bins"]),
    ]
    inputs = [column for column in INPUTS if column.name in ("a", "b", "city", "note")]

    def columns_of(some: list[tuple[float, float, str]]) -> dict[str, np.ndarray]:
        a, b, texts = zip(*some, strict=True)
        texts = strings(*texts)
        raw = {"a": numbers(*a), "b": numbers(*b), "city": texts, "note": texts}
        return model_columns(raw, inputs, derived)

    together = columns_of(rows)
    for index, row in enumerate(rows):
        for name, column in columns_of([row]).items():
            np.testing.assert_array_equal(together[name][index : index + 1], column)
            assert not np.isinf(column.astype(float)).any() if name == "r" else True
