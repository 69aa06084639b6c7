"""Claims about what is counted as a leak from training into the test."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from train.artefacts.provenance import describe_dataset
from train.data.splits import Prepared
from train.preparation import prepare
from train.reporting.data_checks import check_data
from train.tests.conftest import make_rows, tiny_config, write_csv
from train.tests.tables import make_table, table_config, write_table
from train.tests.test_splits import Told


def prepare_files(
    folder: Path, train: pd.DataFrame, test: pd.DataFrame, **changes: Any
) -> tuple[Prepared, list[str]]:
    told = Told()
    split = {"test": str(write_table(folder / "test.csv", test)), "validation": 0.25}
    config = table_config(folder, write_table(folder / "train.csv", train), split=split, **changes)
    return prepare(config, told), told.warned


def test_the_same_row_of_a_table_is_counted_and_warned_of_in_one_line(tmp_path: Path) -> None:
    table = make_table(240)
    test = pd.concat([table[200:], table[:10]])
    prepared, warned = prepare_files(tmp_path, table[:200], test)
    assert prepared.leaks.rows == 10
    assert prepared.leaks.texts is None
    [line] = warned
    assert line.startswith(
        "split: 10 of 50 test rows (20.0 %) have the same inputs as a row outside the test split"
    )


def test_rows_that_are_equal_by_nature_are_no_leak(tmp_path: Path) -> None:
    table = make_table(240)[["plan", "visits", "left"]]
    columns = {"label": "left"}
    prepared, warned = prepare_files(tmp_path, table[:200], table[200:], columns=columns)
    assert prepared.leaks.rows == 0
    assert not warned


def test_the_same_text_but_for_case_blanks_and_digits_is_counted(tmp_path: Path) -> None:
    train = make_rows(90)
    known = [text.upper().replace(" ", "  ").replace("N8", "N77") for text, _ in train[80:83]]
    test = [*make_rows(30, seed=1), *[(text, "music") for text in known]]
    test = [
        (f"{text} new" if place < 30 else text, label) for place, (text, label) in enumerate(test)
    ]
    config = tiny_config(
        tmp_path,
        write_csv(tmp_path / "train.csv", train),
        split={"test": str(write_csv(tmp_path / "test.csv", test)), "validation": 0.2},
    )
    told = Told()
    prepared = prepare(config, told)
    assert prepared.leaks.texts == 3
    assert prepared.leaks.rows is None
    assert "3 of 33 test rows (9.1 %) have a text that occurs outside the test" in told.warned[0]


@pytest.mark.parametrize("declared", [True, False])
def test_the_same_identifier_on_both_sides_is_counted(tmp_path: Path, declared: bool) -> None:
    table = make_table(240)
    table["key"] = [f"k{number * 7919 % 1000}" for number in range(240)]
    table.loc[200:204, "key"] = table["key"][:5].tolist()
    ignored = {"said": "ignore", "spent": "ignore", **({"key": "ignore"} if declared else {})}
    columns = {"label": "left", "inputs": ignored}
    prepared, warned = prepare_files(tmp_path, table[:200], table[200:], columns=columns)
    assert prepared.leaks.identifiers == {"key": 5}
    assert "key (5 of 40 test rows (12.5 %))" in warned[0]


def test_two_files_that_number_their_rows_do_not_leak(tmp_path: Path) -> None:
    table = make_table(240)
    train, test = table[:200].assign(n=range(1, 201)), table[200:].assign(n=range(1, 41))
    columns = {"label": "left", "inputs": {"n": "ignore", "said": "ignore", "spent": "ignore"}}
    prepared, warned = prepare_files(tmp_path, train, test, columns=columns)
    assert not prepared.leaks.identifiers
    assert not warned


def test_a_column_that_repeats_within_a_part_identifies_no_row(tmp_path: Path) -> None:
    table = make_table(240)
    table["user"] = [f"u{number % 150}" for number in range(240)]
    columns = {"label": "left", "inputs": {"user": "ignore", "said": "ignore", "spent": "ignore"}}
    prepared, _ = prepare_files(tmp_path, table[:200], table[200:], columns=columns)
    assert not prepared.leaks.identifiers


def test_the_counts_are_in_the_metadata_and_in_the_data_checks(tmp_path: Path) -> None:
    table = make_table(240)
    prepared, _ = prepare_files(tmp_path, table[:200], pd.concat([table[200:], table[:10]]))
    described = describe_dataset(prepared, "d")
    assert described["leaks"] == {"rows": 10, "identifiers": {}}
    checks = check_data({"dataset": described, "inputs": [{"name": "a", "type": "number"}]}, {})
    assert any(check.startswith("10 of 50 test rows (20.0 %)") for check in checks)
