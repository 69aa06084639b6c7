"""Claims about how numbers and dates are written: declared, evident or doubtful, and told."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from train.config.sections import Columns, Notation
from train.data.notation import plain_numbers, sniff_dates, sniff_numbers
from train.data.schema import Typed, describe_inputs, type_columns

ROWS = 60


def typed(cells: list[Any], **columns: Any) -> tuple[Typed, list[str]]:
    frame = pd.DataFrame({"c": cells, "label": [["x", "y"][i % 2] for i in range(len(cells))]})
    return type_columns(frame, Columns.model_validate(columns))


def counting(bad: list[str], at: int = 7, rows: int = ROWS) -> list[str]:
    """Return numbers, every one four times, with other cells from a place on."""
    cells = [str(20 + i // 4) for i in range(rows)]
    cells[at : at + len(bad)] = bad
    return cells


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["1,163.74", "5"], {"thousands": ","}),
        (["1,163,000", "5"], {"thousands": ","}),
        (["1.163,74"], {"decimal": ",", "thousands": "."}),
        (["34,1", "5"], {"decimal": ","}),
        (["0,125"], {"decimal": ","}),
        (["1\u00a0163,74"], {"decimal": ",", "thousands": " "}),
        (["1'163.74"], {"thousands": "'"}),
        (["45 %", "5%"], {"unit": "%"}),
        (["€ 1.163,74"], {"decimal": ",", "thousands": ".", "unit": "€"}),
        (["34,1", *["5"] * 5, "many 1"], None),
        (["1,234"], {}),
        (["a", "b"], None),
        (["1.5", "x"], None),
        (["1,2,3"], None),
        (["12 kg"], None),
        (["192.168.0.1"], None),
        (["030 123 4567"], None),
    ],
)
def test_a_notation_of_numbers_is_evident_or_not(
    cells: list[str], keys: dict[str, str] | None
) -> None:
    sniffed = sniff_numbers(pd.Series(cells, dtype=object))
    assert (None if sniffed is None else sniffed.keys) == keys
    assert bool(sniffed and sniffed.doubt) is (keys == {})


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["13/01/2022", "01/02/2022"], {"date_format": "%d/%m/%Y"}),
        (["01/13/2022"], {"date_format": "%m/%d/%Y"}),
        (["1/13/2022 1:05 PM"], {"date_format": "%m/%d/%Y %I:%M %p"}),
        (["2022-01-13 11:05:06 am"], {"date_format": "%Y-%m-%d %I:%M:%S %p"}),
        (["2022/01/13 10:05"], {"date_format": "%Y/%m/%d %H:%M"}),
        (["13.01.2022 10:05:06"], {"date_format": "%d.%m.%Y %H:%M:%S"}),
        (["Jan 1 2000", "Feb 13 2001"], {"date_format": "%b %d %Y"}),
        (["May 1, 2000"], {"date_format": "%b %d, %Y"}),
        (["1 January 2000", "13 March 2001"], {"date_format": "%d %B %Y"}),
        (["01-JAN-2000", "13-Feb-2001"], {"date_format": "%d-%b-%Y"}),
        (["1 march on"], None),
        (["01/02/2022"], {}),
        (["13/13/2022"], None),
        (["10.0.0.1"], None),
        (["soon"], None),
        ([], None),
    ],
)
def test_a_format_of_dates_is_evident_or_not(cells: list[str], keys: dict[str, str] | None) -> None:
    sniffed = sniff_dates(pd.Series(cells, dtype=object))
    assert (None if sniffed is None else sniffed.keys) == keys


@pytest.mark.parametrize(
    ("written", "keys", "number"),
    [
        ("1.5", {"decimal": ","}, "—"),
        ("1,163", {"thousands": ","}, "1163"),
        ("11,63", {"thousands": ","}, "—"),
        ("1e3", {"unit": "kg"}, "1e3"),
        ("12 kg", {"unit": "kg"}, "12"),
        ("kg", {"unit": "kg"}, "—"),
        ("-$5", {"unit": "$"}, "-5"),
        ("−5 %", {"unit": "%"}, "-5"),
        (",5", {"decimal": ","}, ".5"),
        ("5,", {"decimal": ","}, "5"),
        ("1\u202f000", {"thousands": " "}, "1000"),
        ("٣", {"unit": "kg"}, "—"),
    ],
)
def test_a_number_is_read_in_its_notation_only(
    written: str, keys: dict[str, Any], number: str
) -> None:
    notation = Notation.model_validate(keys)
    assert plain_numbers(pd.Series([written]), notation).tolist() == [number]


@pytest.mark.parametrize(
    ("cells", "kind", "warning"),
    [
        (counting(["unknown"]), "category", "taken for a category, because 1 of 60 values is not a number: 'unknown'"),
        (counting(["#DIV/0!", "inf"]), "category", "2 of 60 values are not a number: '#DIV/0!' (row 8), 'inf' (row 9)"),
        ([*map(str, range(0, 118, 2)), "N.A."], "", "left out, because 1 of 60 values is not a number: 'N.A.' (row"),
        (["--"] * 20 + counting([], rows=40), "category", "because 20 of 60 values are not a number: '--' (row 1)"),
        ([f"2024-01-{1 + i % 28:02}" for i in range(59)] + ["0000-00-00"], "", "not a date: '0000-00-00' (row 60)"),
        ([f"{1 + i % 28}/01/2024" for i in range(59)] + ["00/00/0000"], "", "not a date: '00/00/0000' (row 60)"),
        (["1,234", "5,678"] * 30, "category", "c: '1,234' has thousands or decimals: set thousands"),
        (["01/02/2022", "03/04/2022"] * 30, "category", "'01/02/2022' is a date in more than one way: set date_"),
    ],
)  # fmt: skip
def test_a_column_that_a_few_cells_keep_from_its_type_is_named(
    cells: list[str], kind: str, warning: str
) -> None:
    found, problems = typed(cells)
    assert problems == []
    assert found.column_types.get("c", "") == kind
    assert warning in found.warnings[0]
    declared, _ = typed(cells, inputs={"c": "category"})
    assert declared.warnings == []


@pytest.mark.parametrize(
    "cells",
    [["1", "2", "three"] * 20, ["a", "b"] * 30, ["1", "2", ""] * 20, ["1", "x", "y", "z"] * 15],
)
def test_ordinary_categories_are_not_warned_of(cells: list[str]) -> None:
    assert typed(cells)[0].warnings == []


@pytest.mark.parametrize(
    "columns", [{"missing": ["unknown", "--"]}, {"inputs": {"c": {"missing": ["unknown", "--"]}}}]
)
def test_what_is_declared_to_mean_missing_is_missing(columns: dict[str, Any]) -> None:
    found, problems = typed(counting(["unknown", "--"]), **columns)
    assert (found.column_types, problems, found.warnings) == ({"c": "number"}, [], [])
    assert np.isnan(found.values["c"][7:9]).all()
    assert not np.isnan(found.values["c"][9:]).any()


def test_a_declared_token_is_missing_in_numbers_of_parquet_and_in_categories() -> None:
    found, _ = typed([1.5, -1.0] * 30, missing=[-1])
    np.testing.assert_equal(found.values["c"].tolist()[:2], [1.5, np.nan])
    found, _ = typed(["a", "b", "--"] * 20, missing=["--"])
    assert found.values["c"].tolist()[:3] == ["a", "b", ""]
    [column] = describe_inputs(found.column_types, found.values, np.arange(60), found.columns)
    assert (column.missing, column.nullable, column.categories) == (["--"], True, ["a", "b"])


def test_what_was_evident_is_said_and_declared_for_the_artefact() -> None:
    found, _ = typed(["1,163.74", "5"] * 30)
    assert found.notes == ['c: read with thousands: "," (columns.inputs.c)']
    assert found.columns.inputs["c"].thousands == ","
    again, _ = typed(["1,163.74", "5"] * 30, inputs=found.columns.model_dump()["inputs"])
    assert again.values["c"].tolist() == found.values["c"].tolist()
    assert again.notes == []


def test_a_notation_of_one_column_wins_over_that_of_all() -> None:
    frame = pd.DataFrame({"a": ["1.5", "2"], "b": ["1,5", "2"], "label": ["x", "y"]})
    columns = {"decimal": ",", "inputs": {"a": {"decimal": "."}}}
    found, problems = type_columns(frame, Columns.model_validate(columns))
    assert problems == []
    assert found.values.to_dict("list") == {"a": [1.5, 2.0], "b": [1.5, 2.0]}


@pytest.mark.parametrize("kind", ["number", None])
def test_long_whole_numbers_that_doubles_change_are_warned_of(kind: str | None) -> None:
    long = [str(2**53 + i) for i in range(ROWS)]
    inputs = {"c": kind} if kind else {}
    for cells in (long, list(map(int, long))):
        found, _ = typed([*cells[:-1], cells[0]], inputs=inputs)
        assert (
            "29 values cannot be kept exactly in a number, such as 9007199254740993"
            in found.warnings[0]
        )
    assert typed([str(2**53 - i) for i in range(0, 120, 2)], inputs=inputs)[0].warnings == []


@pytest.mark.parametrize(
    ("cells", "zone", "notes"),
    [
        (["2024-01-31T10:00+02:00", "2024-02-01"], "+02:00", 0),
        (["2024-01-31T10:00Z", "2024-01-31T10:00+00:00"], "UTC", 0),
        (["2024-01-31T10:00Z", "2024-01-31T10:00+02:00"], "UTC", 1),
        (["2024-01-31T10:00", "2024-02-01"], None, 0),
    ],
)
def test_dates_with_offsets_have_one_zone(cells: list[str], zone: str | None, notes: int) -> None:
    found, _ = typed(cells * 30)
    assert found.columns.notation_of("c").timezone == zone
    assert sum("UTC offsets differ" in note for note in found.notes) == notes
    declared, _ = typed(cells * 30, timezone="Europe/Berlin")
    [column] = describe_inputs(
        declared.column_types, declared.values, np.arange(60), declared.columns
    )
    assert column.timezone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ({"decimal": ",", "thousands": ","}, "decimal and thousands must differ"),
        ({"thousands": "."}, "decimal and thousands must differ"),
        ({"date_format": "%d/%m"}, "expected a format of strptime with day, month and year, got '%d/%m'"),
        ({"date_format": "dd.mm.yyyy"}, "expected a format of strptime"),
        ({"timezone": "Berlin"}, "no time zone 'Berlin'; expected UTC"),
        ({"type": "category", "decimal": ","}, "decimal, thousands and unit are for a number, not for a category"),
        ({"type": "number", "timezone": "UTC"}, "date_format and timezone are for a date, not for a number"),
    ],
)  # fmt: skip
def test_a_notation_that_cannot_be_is_refused(column: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint.replace("(", r"\(")):
        Columns.model_validate({"inputs": {"c": column}})


DAYS = [f"2024{1 + i % 12:02}{1 + i % 28:02}" for i in range(ROWS)]


@pytest.mark.parametrize("cells", [DAYS, [*DAYS[:-1], ""], list(map(int, DAYS))])
def test_days_written_as_whole_numbers_are_dates(cells: list[Any]) -> None:
    found, problems = typed(cells)
    assert (found.column_types, problems) == ({"c": "date"}, [])
    assert found.values["c"][1] == "2024-02-02"
    assert found.notes == ['c: read with date_format: "%Y%m%d" (columns.inputs.c)']
    assert found.columns.inputs["c"].date_format == "%Y%m%d"


@pytest.mark.parametrize("cells", [[*DAYS[:-1], "20241301"], DAYS[:9], [*DAYS[:-1], "5"]])
def test_whole_numbers_that_are_not_all_days_are_numbers(cells: list[Any]) -> None:
    assert typed(cells)[0].column_types == {"c": "number"}


def test_a_missing_value_that_is_read_as_a_category_is_named() -> None:
    cells = ["m", "f", "NA"] * 20
    found, _ = typed(cells)
    assert found.warnings == [
        "c: 'NA' is a word like any other, in 20 rows. If a missing value is meant, "
        'set columns.missing: ["NA"]'
    ]
    assert typed(cells, missing=["NA"])[0].warnings == []
    assert typed(cells, inputs={"c": {"categories": ["m", "f", "NA"]}})[0].warnings == []
