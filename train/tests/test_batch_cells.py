"""Claims that a file that is scored is read as the training file was: every value, and every refusal."""

from datetime import date, datetime
from decimal import Decimal
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from predict.batch.cells import readers_of
from predict.batch.formats import Format
from predict.batch.opening import Wanted, open_source
from predict.batch.separated import SeparatedTable
from predict.batch.truths import TruthReader
from predict.contract.artefact import FileFormat, Input, Metadata, Output
from predict.contract.canonical import category_reader
from predict.scoring.values import PROBLEM_OF, as_iso_date
from train.config.sections import Columns, NumberNotation
from train.data.cleaning import load_dataset
from train.data.quantities import read_quantities
from train.data.reading import Reading, read_table
from train.data.schema import as_categories, describe_inputs, type_columns
from train.errors import DatasetError
from train.progress import SilentProgress
from train.run import run
from train.tests.test_one_form import configured, trained

# Cells that one reader may well take for something else than another one does.
STRANGE = [
    *("", " ", "\t", "?", "-", "NA", "n/a", "NaN", "-nan", "nan(1)", "null", "None", "#N/A", "inf"),
    *("-Infinity", "1e999", "1e-999", "5", "05", "+5", "-5", "\N{MINUS SIGN}5", " 5 ", "5\u00a0"),
    *("5.", ".5", "5e3", "1_000", "0x10", "1,5", "1.5", "1.163,74", "1,163.74", "1 163,74"),
    *(
        "1\u202f163,74",
        "1'163.74",
        "1’163.74",
        "$5",
        "-$5",
        "$-5",
        "5 %",
        "5%",
        "% 5",
        "12 kg",
        "—",
    ),
    *(
        "\u0661\u0662",
        "5\x1f",
        "\x1c5",
        "true",
        "True",
        "FALSE",
        "1",
        "1.0",
        "0",
        "-1",
        "-1.0",
        "02",
    ),
    *("2024-01-31", "2024-01-31T10:00Z", "20240131", "31.01.2024", "31/01/2024", "2024-13-01"),
    *(
        "2024-W05-3",
        "\u00e9t\u00e9",
        "e\u0301te\u0301",
        "\u212a",
        "\u0130",
        "none\u0301",
        "x",
        "999",
        "999.0",
    ),
]
NOTATIONS: list[dict[str, Any]] = [
    {},
    {"decimal": ","},
    {"thousands": ","},
    {"decimal": ",", "thousands": "."},
    {"decimal": ",", "thousands": " "},
    {"thousands": "'"},
    {"unit": "%"},
    {"unit": "$", "thousands": ","},
]
MISSING: list[list[str]] = [[], ["999"], ["-1", "x"], ["1.0", "e\u0301te\u0301"]]
CELLS = st.sampled_from(STRANGE) | st.text(max_size=6)
TYPED = CELLS | st.none() | st.booleans() | st.integers(-999, 999) | st.floats()


def converted(cells: list[Any], kind: str, **declared: Any) -> tuple[list[Any], set[int], Input]:
    """Return what training makes of cells, which of them it refuses, and the input that it writes down."""
    columns = Columns.model_validate({"inputs": {"c": {"type": kind, **declared}}})
    frame = pd.DataFrame({"c": pd.Series(cells, dtype=object)})
    typed, _ = type_columns(frame, columns)
    values, refused = typed.values["c"].tolist(), set()
    for place, cell in enumerate(cells):  # each alone, for a problem names only a few
        alone = pd.DataFrame({"c": pd.Series([cell], dtype=object)})
        if type_columns(alone, columns)[1]:
            refused.add(place)
    rows = np.arange(len(cells))
    finite = typed.values.replace([np.inf, -np.inf], np.nan)  # which training refuses before
    return values, refused, describe_inputs({"c": kind}, finite, rows, typed.columns)[0]


def read(cells: list[Any], column: Input) -> tuple[list[Any], set[int]]:
    """Return what the scoring of a file makes of cells, and which of them it refuses."""
    column = column.model_copy(update={"nullable": True})
    reader = readers_of([column])["c"]
    values = [reader(cell) for cell in cells]
    refused = {
        place for place, value in enumerate(values) if PROBLEM_OF[column.type](value, column)
    }
    return values, refused


@given(
    cells=st.lists(CELLS, min_size=1, max_size=8),
    notation=st.sampled_from(NOTATIONS),
    missing=st.sampled_from(MISSING),
)
@example(STRANGE, {}, [])
@settings(max_examples=60, deadline=None)
def test_numbers_are_read_as_training_reads_them(
    cells: list[str], notation: dict[str, str], missing: list[str]
) -> None:
    # That a notation is declared keeps training from guessing one.
    for declared in [notation] if notation else [{"decimal": "."}]:
        expected, refused, column = converted(cells, "number", **declared, missing=missing)
        values, refused_here = read(cells, column)
        assert refused_here == refused
        for place, value in enumerate(values):
            if place not in refused:
                same = value == expected[place] or (value is None and isnan(expected[place]))
                assert same, (cells[place], value, expected[place])


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("missing", MISSING)
def test_every_strange_number_is_read_as_training_reads_it(
    notation: dict[str, str], missing: list[str]
) -> None:
    test_numbers_are_read_as_training_reads_them.hypothesis.inner_test(STRANGE, notation, missing)


@given(cells=st.lists(CELLS, min_size=1, max_size=8), missing=st.sampled_from(MISSING))
@settings(max_examples=60, deadline=None)
@example(STRANGE, MISSING[3])
def test_categories_are_read_as_training_reads_them(cells: list[str], missing: list[str]) -> None:
    expected, _, column = converted(cells, "category", missing=missing)
    values, refused = read(cells, column)
    known = category_reader(column.form, column.missing or (), column.categories or ())
    assert not refused
    assert [known(value) for value in values] == expected


@given(
    cells=st.lists(CELLS, min_size=1, max_size=8),
    date_format=st.sampled_from(["%d.%m.%Y", "%d/%m/%Y", "%Y%m%d"]),
    missing=st.sampled_from(MISSING),
)
@settings(max_examples=60, deadline=None)
@example(STRANGE, "%d.%m.%Y", ["999"])
@example(STRANGE, "%Y%m%d", [])
def test_dates_are_read_as_training_reads_them(
    cells: list[str], date_format: str, missing: list[str]
) -> None:
    expected, refused, column = converted(cells, "date", date_format=date_format, missing=missing)
    values, refused_here = read(cells, column)
    assert refused_here == refused
    dates = [as_iso_date(value, column) for value in values]
    assert [dates[place] for place in range(len(cells)) if place not in refused] == [
        expected[place] for place in range(len(cells)) if place not in refused
    ]


@given(cells=st.lists(TYPED, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_texts_stay_as_they_are_and_other_values_become_those_of_training(cells: list[Any]) -> None:
    expected, _, column = converted(cells, "text")
    assert read(cells, column)[0] == expected


@given(cells=st.lists(TYPED, min_size=1, max_size=8), missing=st.sampled_from(MISSING))
@settings(max_examples=60, deadline=None)
def test_values_that_have_types_are_those_of_training(cells: list[Any], missing: list[str]) -> None:
    expected, refused, column = converted(cells, "number", decimal=".", missing=missing)
    values, refused_here = read(cells, column)
    assert refused_here == refused
    for place, value in enumerate(values):
        if place not in refused:
            assert value == expected[place] or (value is None and isnan(expected[place]))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("number", Decimal("1.50"), 1.5),
        ("category", Decimal("1.50"), "1.50"),
        ("date", date(2024, 1, 31), "2024-01-31"),
        ("date", datetime(2024, 1, 31, 10), "2024-01-31T10:00:00"),
        ("date", 20240131, "20240131"),
        ("text", 3.0, "3"),
        ("text", [1], [1]),
        ("category", True, True),
    ],
)
def test_values_of_parquet_become_values_of_a_request(kind: str, value: Any, expected: Any) -> None:
    reader = readers_of([Input.model_validate({"name": "c", "type": kind})])["c"]
    assert reader(value) == expected


@given(cells=st.lists(CELLS, min_size=1, max_size=8), notation=st.sampled_from(NOTATIONS[1:]))
@settings(max_examples=60, deadline=None)
@example(STRANGE, {"decimal": ",", "thousands": "."})
def test_the_truth_of_a_number_is_that_of_training(
    cells: list[str], notation: dict[str, str]
) -> None:
    reader = TruthReader(Output.model_validate({"name": "y", "type": "number", **notation}))
    texts = pd.Series([cell.strip() for cell in cells], dtype=object)
    numbers = read_quantities(texts, NumberNotation(**notation)).numbers.tolist()
    expected = [number if isfinite(number) else None for number in numbers]
    assert [reader.read(cell) for cell in cells] == expected


@given(cells=st.lists(CELLS, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
@example(["True", "FALSE "])
@example(["1.0", "2"])
def test_the_truth_of_a_label_is_that_of_training(cells: list[str]) -> None:
    expected = as_categories(pd.Series([cell.strip() for cell in cells], dtype=object)).tolist()
    labels = sorted({label for label in expected if label})
    if len(labels) < 2:
        return
    output = Output.model_validate({"name": "y", "type": "label", "labels": labels})
    assert [TruthReader(output).read(cell) for cell in cells] == [
        label or None for label in expected
    ]


# ------------------------------------------------------------------- the file

FILES = {
    "plain.csv": b"a,b\n1,x\n2,y\n",
    "sep.csv": b"sep=;\na;b\n1,5;x\n",
    "other.csv": b"a;b\n1,5;x\n",
    "blank.csv": b"\n \na,b\r\n\r\n1,x\r\n  \n2,\r\n",
    "quoted.csv": b'a,b\n"1,5","x ""y"" z"\n"two\nlines",\n',
    "broken.csv": b'a,b\n1,x "y" z\n"1"2,y\n',
    "one.csv": b'a\n1\n\n" "\n""\nx\n',
    "returns.csv": b"a,b\r1,x\r2,y\r",
    "marked.csv": "\ufeffa,b\n1,\u00e4\n".encode(),
    "wide.csv": "a,b\n1,\u00e4\n".encode("utf-16"),
    "literal.tsv": b'a\tb\n"x\t5" pipe\n"y\tz\n',
    "enclosed.tsv": b'"a"\t"b"\n"x\ty"\tz\n',
    "spaces.tsv": b"a\tb\n \t \nx\t\n",
    "no_end.csv": b"a,b\n1,x",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_rows_that_training_reads(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(FILES[name])
    expected = read_table(file, Reading())
    wanted = Format(file.suffix, is_packed=False)
    with open_source(str(file), wanted, Wanted(), expected.file, 3) as source:
        rows = [list(row) for chunk in source.table.chunks() for row in chunk.rows]
        assert source.table.columns == list(expected.frame.columns)
        assert isinstance(source.table, SeparatedTable)
    assert rows == expected.frame.to_numpy().tolist()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a,b\n1\n2,y\n", "expected 2 fields"),
        (b"a,b\n1,2,3\n2,y\n", "got 3"),
        (b'a,b\n2,y\n1,"x\n', "none closes it"),
        (b"a,b\n1,\xe4\n2,y\n", "byte 0xe4"),
    ],
)
def test_what_training_refuses_in_a_row_makes_a_bad_row(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "d.csv"
    file.write_bytes(content)
    with pytest.raises(DatasetError):
        read_table(file, Reading())
    with open_source(str(file), Format(".csv", False), Wanted(), None, 10) as source:
        [chunk] = source.table.chunks()
    [why] = chunk.problems.values()
    assert problem in why


# -------------------------------------------------------------- what is kept

HOUSES = {
    "size": [f"1.{i:03d},5 m" for i in range(100, 180)],
    "kind": ["flat", "house"] * 40,
    "y": [f"{i},25" for i in range(80)],
}


def test_the_artefact_says_how_its_file_was_written(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    frame = pd.DataFrame(HOUSES)
    frame.to_csv(file, index=False, sep=";", encoding="cp1252")
    config = configured(
        tmp_path,
        frame,
        name="unused.csv",
        task="regression",
        columns={"label": "y", "missing": ["-9"], "inputs": {"size": {"unit": "m", "decimal": ",", "thousands": "."}}},
        model={"pipeline": "linear"},
        encoding="cp1252",
    )  # fmt: skip
    config = config.model_copy(update={"dataset": str(file)})
    assert load_dataset(config).file == FileFormat(
        separator=";", quotes=None, encoding="cp1252", decimal=None
    )
    metadata = Metadata.model_validate_json(
        (run(config, SilentProgress()).artefact_dir / "metadata.json").read_bytes()
    )
    [size, _] = metadata.inputs
    assert (size.decimal, size.thousands, size.unit, size.missing) == (",", ".", "m", ["-9"])
    [output] = metadata.outputs
    assert (output.decimal, output.missing) == (",", ["-9"])
    assert metadata.file == FileFormat(separator=";", encoding="cp1252", decimal=",")


def test_an_artefact_of_a_typed_file_says_nothing_of_a_file(tmp_path: Path) -> None:
    table = {"income": [i // 2 for i in range(80)], "y": ["a", "b"] * 40}
    assert trained(tmp_path, table, name="d.jsonl").metadata.file is None
