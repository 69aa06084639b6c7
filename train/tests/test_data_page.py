"""The table in docs/how-to/data.md, row by row, against the code."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predict.scoring.inputs import TableInputs
from train.config.sections import Columns
from train.data.cleaning import _equal
from train.data.schema import describe_inputs, type_columns

PAGE = Path(__file__).parents[2] / "docs/how-to/data.md"
# Another value of the same kind, so that a column has two.
BESIDE = {
    "number": "7.25",
    "true or false": "False",
    "whole number as category": "2",
    "code with leading zeros": "10001",
    "long id": "9007199254740992",
    "word": "tea",
    "date": "2024-02-01",
    "missing number": "7.25",
    "missing category": "tea",
    "missing date": "2024-02-01",
}


def rows() -> list[list[str]]:
    lines = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def values(cell: str) -> list[str]:
    return re.findall(r"\bempty\b|`([^`]*)`", cell)  # of the word, nothing is kept


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_of_the_table_is_true(row: list[str]) -> None:
    what, kind, in_file, in_configuration, in_request, kept = row
    cells = values(in_file)
    frame = pd.DataFrame({"c": [*cells, *[BESIDE[what]] * 2], "label": "x"})
    columns = Columns.model_validate({"inputs": {"c": kind}})
    typed, problems = type_columns(frame, columns)
    assert problems == []
    expected: Any = "".join(values(kept))
    if kind == "number":
        expected = float(expected) if expected else np.nan
    np.testing.assert_equal(typed.values["c"].tolist()[: len(cells)], [expected] * len(cells))
    for value in values(in_configuration):
        if kept and what != "word":  # blanks around words are kept in what `where` compares
            chosen = _equal(frame["c"], json.loads(value)).tolist()
            assert chosen == [True] * len(cells) + [False, False]
    [column] = describe_inputs(
        typed.column_types, typed.values, np.arange(len(frame)), typed.columns
    )
    graph = (
        {} if kind == "date" else {"c": "tensor(double)" if kind == "number" else "tensor(string)"}
    )
    inputs = TableInputs([column], [], graph)
    for value in map(json.loads, values(in_request)):
        assert inputs.problems_of({"c": value}) == []
        [(feeds, warnings)] = inputs.batches([{"c": value}])
        assert not warnings
        if graph:
            np.testing.assert_equal(feeds["c"].tolist(), [[expected]])


def test_every_kind_of_value_has_a_row() -> None:
    assert [row[0] for row in rows()] == list(BESIDE)
