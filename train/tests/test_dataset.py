"""Claims about cleaning and splitting a dataset, and about what its rows look like to others."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from predict.scoring.inputs import TableInputs
from train.config import TrainConfig
from train.config.loading import with_values
from train.config.sections import Columns
from train.data.catalogue import CATALOGUE, OWN_TEST_SPLIT, CatalogueEntry, complete
from train.data.cleaning import load_dataset
from train.data.dataset import Dataset
from train.data.schema import describe_inputs
from train.data.splits import Prepared, split_dataset, under_sample
from train.errors import DatasetError
from train.tests.conftest import make_rows, tiny_config, write_csv
from train.tests.test_sources import write_table


def load(rows: list[tuple[str, ...]], folder: Path, **settings: Any) -> Dataset:
    header = ("text", "label", "extra")[: len(rows[0])]
    return load_dataset(tiny_config(folder, write_csv(folder / "d.csv", rows, header), **settings))


def load_table(folder: Path, table: dict[str, Sequence[Any]], **settings: Any) -> Dataset:
    """Write a table as JSON Lines and load it."""
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return load_dataset(tiny_config(folder, folder / "d.jsonl", **settings))


XY = ["x", "y"] * 20
NUMBERS = [i * 1.5 for i in range(40)]


# ------------------------------------------------------------------ cleaning


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_several_text_columns_are_joined_by_a_line_break(tmp_path: Path, kind: str) -> None:
    config = tiny_config(
        tmp_path,
        write_table(tmp_path / f"t.{kind}"),
        columns={"text": ["title", "body"], "label": "tag"},
        min_samples_per_label=1,
    )
    dataset = load_dataset(config)
    assert dataset.texts(np.array([0, 1])) == ['a, b\nsay "hi"', "two\nlines\nNA"]
    assert tuple(dataset.frame.iloc[5]) == ("tab\there", "")
    assert dataset.label_names == ["x", "y"]


def test_what_is_dropped_is_counted_with_its_reason(tmp_path: Path) -> None:
    good = [(f"text {i}", "xy"[i % 2], "keep") for i in range(20)]
    bad = [
        ("elsewhere", "x", "other"),
        ("no label", "", "keep"),
        ("only blanks as label", "  ", "keep"),
        ("", "x", "keep"),
        (" \t ", "y", "keep"),
        ("text 0", "x", "keep"),
        ("text 0", "x", "keep"),
        ("rare one", "z", "keep"),
        ("rare two", "z", "keep"),
    ]
    dataset = load([*good, *bad], tmp_path, where={"extra": "keep"})
    assert dataset.rows_read == 29
    assert len(dataset) == 20
    assert dataset.dropped == {
        "where extra is not keep": 1,
        "label missing": 2,
        "text empty": 2,
        "exact duplicate": 2,
        "label with fewer than 5 rows": 2,
    }
    assert dataset.label_counts() == {"x": 10, "y": 10}
    assert dataset.texts() == [text for text, _, _ in good]


def test_labels_are_trimmed_and_texts_are_not(tmp_path: Path) -> None:
    dataset = load([(f" {i} ", " x" if i % 2 else "y ") for i in range(10)], tmp_path)
    assert dataset.label_names == ["x", "y"]
    assert dataset.texts(np.array([3])) == [" 3 "]


def test_labels_stand_in_alphabetical_order_and_every_row_keeps_its_own(tmp_path: Path) -> None:
    names = ["zebra", "Ape", "ant", "été"]
    rows = [(f"text {i}", names[i % 4]) for i in range(40)]
    dataset = load(rows, tmp_path)
    assert dataset.label_names == sorted(names)
    assert [dataset.label_names[label] for label in dataset.targets] == [label for _, label in rows]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [(3, [3, 3.0, "3", "3.0", " 3"]), (3.0, [3, 3.0, "3", "3.0", " 3"]), ("3", [3, 3.0, "3"]),
     ("3.0", ["3.0"]), (True, [True, "true"]), ("true", [True, "true"]), (0.5, [0.5])],
)  # fmt: skip
def test_where_compares_numbers_as_numbers_and_texts_as_they_are_written(
    tmp_path: Path, wanted: Any, kept: list[Any]
) -> None:
    cells = [3, 3.0, "3", "3.0", " 3", True, "true", 0.5, 31, "x", None, [3], ""]
    twice = [cell for cell in cells for _ in range(2)]
    table = {"a": [i * 1.5 for i in range(26)], "w": twice, "label": ["x", "y"] * 13}
    dataset = load_table(
        tmp_path,
        table,
        where={"w": wanted},
        columns={"inputs": {"w": "ignore"}},
        min_samples_per_label=1,
    )
    assert [twice[int(a / 1.5)] for a in dataset.frame["a"]][::2] == kept


def test_where_compares_the_numbers_of_a_csv_file_too(tmp_path: Path) -> None:
    rows = [(f"text {i}", "xy"[i % 2], ["0", "1", "1.0", "01"][i // 10]) for i in range(40)]
    assert load(rows, tmp_path, where={"extra": 1}).texts() == [f"text {i}" for i in range(10, 40)]
    assert load(rows, tmp_path, where={"extra": "01"}).texts() == [
        f"text {i}" for i in range(30, 40)
    ]


def test_a_where_column_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no column 'extr'\. Did you mean 'extra'\?"):
        load([(f"{i}", "x", "k") for i in range(9)], tmp_path, where={"extr": "k"})


def test_texts_under_two_labels_are_kept_and_reported(tmp_path: Path) -> None:
    rows = [(f"text {i}", "xy"[i % 2]) for i in range(20)]
    dataset = load([*rows, ("text 3", "x"), ("text 4", "y"), ("text 4", "y")], tmp_path)
    assert len(dataset) == 22
    assert dataset.conflicts == 2
    assert dataset.conflict_examples == ("text 3", "text 4")


def test_equal_rows_of_a_table_are_counted_and_kept(tmp_path: Path) -> None:
    dataset = load_table(tmp_path, {"a": [1, 2] * 20, "label": XY})
    assert (len(dataset), dataset.duplicates, dataset.dropped) == (40, 38, {})
    assert dataset.conflicts == 0


def test_rows_without_any_input_are_dropped(tmp_path: Path) -> None:
    table = {
        "a": [None, None, *NUMBERS[2:]],
        "b": ["?", "2024-01-31", *["2024-02-01"] * 38],
        "label": XY,
    }
    dataset = load_table(tmp_path, table)
    assert dataset.dropped == {"every input missing": 1}
    assert dataset.instances(np.array([0])) == [{"a": None, "b": "2024-01-31"}]


@pytest.mark.parametrize("name", ["__label__", "__test__", "{label}", "labels", " label", "Label"])
def test_a_column_may_be_called_almost_anything(tmp_path: Path, name: str) -> None:
    dataset = load_table(tmp_path, {name: NUMBERS, "label": XY})
    assert dataset.frame[name].tolist() == NUMBERS
    assert dataset.division.test is None
    assert dataset.label_counts() == {"x": 20, "y": 20}


def test_labels_are_told_apart_to_the_last_character(tmp_path: Path) -> None:
    names = ["a", "a\0", "a.0", "3", "3.5"]
    dataset = load_table(tmp_path, {"n": NUMBERS, "label": [names[i % 5] for i in range(40)]})
    assert [dataset.truth(i) for i in range(5)] == names


def test_whole_numbers_as_labels_are_the_same_whatever_their_kind(tmp_path: Path) -> None:
    dataset = load_table(tmp_path, {"n": NUMBERS, "label": [0, 1.0, "0", "1"] * 10})
    assert dataset.label_counts() == {"0": 20, "1": 20}


def test_every_problem_of_the_columns_is_reported_at_once_with_count_and_first_row(
    tmp_path: Path,
) -> None:
    table = {
        "label": ["", *XY[1:]],  # without its label, the first row is left out before
        "low": range(-3, 37),
        "few": ["p", "q", "r", "s", "p"] * 8,
        "number": [*range(38), "many", "some"],
        "day": ["soon", "2024-02-30", *["2024-02-01"] * 38],
        "gaps": [None, 1] * 20,
        "nested": [{"a": 1}, [], *[3] * 38],
    }
    inputs = {
        "low": {"minimum": 0, "maximum": 35},
        "few": {"categories": ["p", "q"]},
        "number": "number",
        "day": "date",
        "gaps": {"max_missing": 0.4},
    }
    with pytest.raises(DatasetError, match="7 problems with the columns") as caught:
        load_table(tmp_path, table, columns={"inputs": inputs})
    assert str(caught.value).splitlines()[1:] == [
        "  low: 2 rows are below the minimum 0, the first is row 2: -2.0, -1.0",
        "  low: 1 row is above the maximum 35, the first is row 40: 36.0",
        "  few: 16 rows are none of p, q, the first is row 3: 'r', 's'",
        "  number: 2 rows are not a number, the first is row 39: 'many', 'some'. "
        "If it means missing, set columns.missing",
        "  day: 1 row is not an ISO 8601 date (2024-01-31), the first is row 2: '2024-02-30'. "
        "If it means missing, set columns.missing",
        "  gaps: missing in 48.7% of the rows, at most 40.0% is declared",
        "  nested: 1 row is a list, an object or bytes, the first is row 2: '[]'. "
        "Flatten the column, or declare nested: ignore",
    ]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"inputs": {"ag": "number"}}, "no column 'ag'. Did you mean 'age'? Columns: age, label."),
        ({"inputs": {"zzz": "number"}, "text": ["qqq"]}, "no column 'qqq'. no column 'zzz'. Columns: age"),
        ({"label": "labl"}, "no column 'labl'. Did you mean 'label'?"),
        ({"inputs": {"age": "ignore"}}, "no column is left to learn from (age: as declared)"),
    ],
)  # fmt: skip
def test_columns_that_are_not_there_are_named(
    tmp_path: Path, columns: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DatasetError, match=re.escape(complaint)):
        load_table(tmp_path, {"age": NUMBERS, "label": XY}, columns=columns)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"a": [1], "label": ["x"]}, "no column is left to learn from (a: the same in every row)"),
        ({"a": [None] * 40, "label": XY}, "(a: empty in every row)"),
        ({"label": XY}, "there is only the label"),
        ({"a": NUMBERS, "label": [""] * 40}, "none of its 40 rows is left (40 dropped: label missing)"),
        ({"a": NUMBERS, "label": [["x"]] * 40}, "40 rows are a list, an object or bytes, the first is row 1"),
        ({"a": NUMBERS, "label": NUMBERS}, "keep rare labels. To predict a number, set task: regression."),
        ({"a": NUMBERS * 15, "label": [i // 3 for i in range(600)]}, "200 different values in 600 rows. To predict"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_learned_from_says_why(
    tmp_path: Path, table: dict[str, Sequence[Any]], complaint: str
) -> None:
    with pytest.raises(DatasetError, match=re.escape(complaint)):
        load_table(tmp_path, table)


def test_numbers_may_well_be_names_of_classes(tmp_path: Path) -> None:
    labels = [i // 12 for i in range(1440)]
    dataset = load_table(tmp_path, {"a": range(0, 2880, 2), "label": labels})
    assert len(dataset.label_names) == 120


# ---------------------------------------------------------------- regression


def test_the_targets_of_a_regression_are_numbers_to_the_last_bit(tmp_path: Path) -> None:
    exact = [0.1 + 0.2, 1e-300, 123456789.123456789, -1 / 3, 2**53 + 1] * 8
    written = [float(number) for number in exact]
    rows = [(str(i * 2), repr(number)) for i, number in enumerate(exact)]
    file = write_csv(tmp_path / "r.csv", rows, ("a", "label"))
    dataset = load_dataset(tiny_config(tmp_path, file, task="regression"))
    assert dataset.targets.tolist() == written
    assert (dataset.label_names, dataset.label_counts()) == ([], {})
    assert dataset.truth(3) == -1 / 3


def test_rows_without_a_target_are_dropped_from_a_regression(tmp_path: Path) -> None:
    labels = [None, "n/a", "?", " ", *NUMBERS[4:]]
    dataset = load_table(tmp_path, {"a": NUMBERS, "label": labels}, task="regression")
    assert dataset.dropped == {"label missing": 4}
    assert dataset.targets.tolist() == NUMBERS[4:]


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (XY, "a regression needs numbers; 40 of 40 rows have none, such as 'x', 'y'."),
        ([*NUMBERS[1:], "12 EUR"], "1 of 40 rows have none, such as '12 EUR'. Fix them,"),
        ([*NUMBERS[1:], float("inf")], "1 of 40 rows have none, such as 'inf'."),
        ([*NUMBERS[1:], 10**400], "1 of 40 rows have none"),
        ([7, 7.0] * 20, "label is the same in all 40 rows: there is nothing to learn"),
        ([None] * 40, "none of its 40 rows is left (40 dropped: label missing)"),
    ],
)
def test_labels_that_are_no_numbers_are_refused_for_a_regression(
    tmp_path: Path, labels: list[Any], complaint: str
) -> None:
    with pytest.raises(DatasetError, match=re.escape(complaint)):
        load_table(tmp_path, {"a": NUMBERS, "label": labels}, task="regression")


# ---------------------------------------------------------- any number of labels


def test_the_labels_of_a_cell_are_trimmed_and_each_counts_once(tmp_path: Path) -> None:
    cells = ["p,q", " q , p,", "p,p", "", "rare, p", None] * 5
    cells[4] = "rarer, p"
    dataset = load_table(
        tmp_path, {"a": range(0, 60, 2), "label": cells}, task="multilabel", min_samples_per_label=5
    )
    assert dataset.label_names == ["p", "q"]
    assert dataset.targets.dtype == bool
    assert dataset.targets[:6].tolist() == [[1, 1], [1, 1], [1, 0], [0, 0], [1, 0], [0, 0]]
    assert dataset.rare_labels == 5
    assert dataset.label_counts() == {"p": 20, "q": 10}
    assert (dataset.truth(0), dataset.truth(3)) == (["p", "q"], [])


def test_the_labels_of_a_row_may_be_a_list(tmp_path: Path) -> None:
    labels = [["p", "with, comma"], [], ["p"], None] * 10
    dataset = load_table(tmp_path, {"a": range(0, 80, 2), "label": labels}, task="multilabel")
    frame = pd.DataFrame({"a": range(0, 80, 2), "label": labels})
    frame.to_parquet(tmp_path / "l.parquet")
    same = load_dataset(tiny_config(tmp_path, tmp_path / "l.parquet", task="multilabel"))
    assert dataset.label_names == same.label_names == ["p", "with, comma"]
    assert dataset.targets.tolist() == same.targets.tolist()
    assert [dataset.truth(i) for i in range(4)] == [["p", "with, comma"], [], ["p"], []]


def test_another_separator_can_be_named_and_its_absence_is_pointed_at(tmp_path: Path) -> None:
    table = {"a": range(0, 80, 2), "label": [f"t{i}|p" for i in range(40)]}
    with pytest.raises(DatasetError, match=r"separated by ',' \(columns\.separator\)\?"):
        load_table(tmp_path, table, task="multilabel")
    dataset = load_table(tmp_path, table, task="multilabel", columns={"separator": "|"})
    assert (dataset.label_names, dataset.rare_labels) == (["p"], 40)


# ----------------------------------------------------------------- instances


MIXED = {
    "whole": [None, *range(0, 78, 2)],
    "real": [0.1 * i for i in range(40)],
    "huge": [1.7e308, 1e300, 2.0**60, -0.0] * 10,
    "category": ["b", "", "NA", " a "] * 10,
    "code": [1, 2.0, "3", None] * 10,
    "flag": [True, False, None, True] * 10,
    "day": ["2024-01-31", "?", "2024-01-31T10:05", ""] * 10,
    "note": [f"a note of {i} words" if i % 4 else " " for i in range(40)],
    "label": XY,
}
TYPES = {"inputs": {"code": "category", "note": "text"}}


def test_instances_are_rows_as_json_would_have_them(tmp_path: Path) -> None:
    dataset = load_table(tmp_path, MIXED, columns=TYPES)
    first, second = dataset.instances(np.array([0, 1]))
    assert first == {
        "whole": None, "real": 0, "huge": 1.7e308, "category": "b", "code": "1", "flag": "true",
        "day": "2024-01-31", "note": " ",
    }  # fmt: skip
    assert second == {
        "whole": 0, "real": 0.1, "huge": 1e300, "category": None, "code": "2", "flag": "false",
        "day": None, "note": "a note of 1 words",
    }  # fmt: skip
    assert type(second["whole"]) is int
    assert type(first["huge"]) is float


def test_a_server_takes_every_instance_and_reads_what_training_read(tmp_path: Path) -> None:
    dataset = load_table(tmp_path, MIXED, columns=TYPES)
    rows = np.arange(len(dataset))
    inputs = describe_inputs(dataset.column_types, dataset.frame, rows[:30], dataset.columns)
    types = {"number": "tensor(double)", "category": "tensor(string)"}
    graph = {column.name: types[column.type] for column in inputs if column.type in types}
    served = TableInputs(inputs, [], graph)
    instances = json.loads(json.dumps(dataset.instances(rows), allow_nan=False))
    assert [problem for instance in instances for problem in served.problems_of(instance)] == []
    [(feeds, _)] = served.batches(instances)
    for name in graph:
        np.testing.assert_array_equal(feeds[name][:, 0], dataset.frame[name].to_numpy())


# ----------------------------------------------------------------- splitting


def _unbalanced(folder: Path, **settings: Any) -> tuple[Dataset, TrainConfig]:
    rows = [(f"text {i}", "rare" if i % 10 == 0 else "usual") for i in range(500)]
    config = tiny_config(folder, write_csv(folder / "d.csv", rows), **settings)
    return load_dataset(config), config


def test_the_parts_of_a_split_are_disjoint_and_complete(tmp_path: Path) -> None:
    dataset, config = _unbalanced(tmp_path)
    split = split_dataset(dataset, config)
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together) == list(range(500))
    assert (len(split.train), len(split.validation), len(split.test)) == (360, 40, 100)


def test_every_part_of_a_split_has_the_labels_in_proportion(tmp_path: Path) -> None:
    dataset, config = _unbalanced(tmp_path)
    split = split_dataset(dataset, config)
    for part in (split.train, split.validation, split.test):
        assert np.mean(dataset.targets[part] == 0) == pytest.approx(0.1)


def test_the_seed_alone_decides_the_split(tmp_path: Path) -> None:
    dataset, config = _unbalanced(tmp_path)
    once, again = split_dataset(dataset, config), split_dataset(dataset, config)
    other = split_dataset(dataset, _unbalanced(tmp_path, split={"seed": 1})[1])
    assert once.test.tolist() == again.test.tolist()
    assert once.validation.tolist() == again.validation.tolist()
    assert once.test.tolist() != other.test.tolist()


def test_shares_are_of_all_rows(tmp_path: Path) -> None:
    dataset, config = _unbalanced(tmp_path, split={"test": 0.5, "validation": 0.3})
    split = split_dataset(dataset, config)
    assert (len(split.train), len(split.validation), len(split.test)) == (100, 150, 250)


@pytest.mark.parametrize(
    ("rows_per_label", "shares", "part"),
    [(1, {}, "test"), (5, {}, "validation"), (3, {"test": 0.9}, "test")],
)
def test_too_few_rows_to_split_says_which_part_and_what_to_do(
    tmp_path: Path, rows_per_label: int, shares: dict[str, float], part: str
) -> None:
    rows = [(f"{label} {i}", label) for label in "xyz" for i in range(rows_per_label)]
    config = tiny_config(
        tmp_path, write_csv(tmp_path / "d.csv", rows), min_samples_per_label=1, split=shares
    )
    with pytest.raises(
        DatasetError, match=rf"too few rows to split: .* to {part} .*raise split\.{part}"
    ):
        split_dataset(load_dataset(config), config)


def test_a_regression_is_split_as_scikit_learn_splits_its_rows(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, tmp_path / "d.jsonl", task="regression")
    dataset = load_table(tmp_path, {"a": NUMBERS, "label": NUMBERS}, task="regression")
    split = split_dataset(dataset, config)
    rest, test = train_test_split(range(40), test_size=0.2, random_state=0)
    assert split.test.tolist() == test
    assert sorted([*split.train, *split.validation]) == sorted(rest)


def test_rows_with_several_labels_are_split_by_chance(tmp_path: Path) -> None:
    labels = [["p"], ["p", "q"], [], ["q"]] * 10
    dataset = load_table(tmp_path, {"a": NUMBERS, "label": labels}, task="multilabel")
    split = split_dataset(dataset, tiny_config(tmp_path, "x", task="multilabel"))
    assert split.test.tolist() == train_test_split(range(40), test_size=0.2, random_state=0)[1]


@pytest.mark.parametrize("rows", [2, 3])
def test_two_rows_are_too_few_for_a_regression(tmp_path: Path, rows: int) -> None:
    table = {"a": NUMBERS[:rows], "label": NUMBERS[:rows]}
    dataset = load_table(tmp_path, table, task="regression")
    config = tiny_config(tmp_path, "x", task="regression")
    if rows == 3:
        assert [len(part) for part in vars(split_dataset(dataset, config)).values()] == [1, 1, 1]
        return
    with pytest.raises(DatasetError, match=r"too few rows to split: 1 rows cannot give 16% to val"):
        split_dataset(dataset, config)


# ----------------------------------------------------------------- imbalance


def test_under_sampling_keeps_every_rare_row_and_no_row_that_was_not_given(tmp_path: Path) -> None:
    dataset, config = _unbalanced(tmp_path)
    given = np.arange(400)[::-1]
    kept = under_sample(dataset, given, 2.5, config.split.seed)
    assert np.bincount(dataset.targets[kept]).tolist() == [40, 100]
    assert set(kept) <= set(given)
    assert set(given[dataset.targets[given] == 0]) <= set(kept)
    assert len(set(kept)) == len(kept)
    assert kept.tolist() == under_sample(dataset, given, 2.5, config.split.seed).tolist()
    assert kept.tolist() == [row for row in given if row in set(kept)]  # in the same order


def test_under_sampling_is_by_chance_and_the_seed_decides(tmp_path: Path) -> None:
    dataset, _ = _unbalanced(tmp_path)
    kept = under_sample(dataset, np.arange(500), 1, 0)
    usual = kept[dataset.targets[kept] == 1]
    assert len(usual) == 50
    assert 150 < usual.mean() < 350
    assert kept.tolist() != under_sample(dataset, np.arange(500), 1, 1).tolist()


def test_nothing_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    dataset, config = _unbalanced(tmp_path)
    prepared, rows = Prepared(config, dataset, split_dataset(dataset, config)), np.arange(500)
    assert prepared.sampled(rows).tolist() == list(range(500))
    for ratio, count in ((100, 500), (1, 100)):
        asked = prepared.with_config(with_values(config, {"imbalance.under_sample": ratio}))
        assert len(asked.sampled(rows)) == count


# ----------------------------------------------------------------- catalogue


def _add_to_catalogue(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    entry = CatalogueEntry("toy", "", "", "", Columns(text=["text"]), (), lambda _: pd.DataFrame())
    monkeypatch.setitem(CATALOGUE, "toy", replace(entry, **settings))


def test_a_test_split_of_the_datasets_own_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(200)
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame[OWN_TEST_SPLIT] = frame.index >= 150
    _add_to_catalogue(monkeypatch, read=lambda _: frame)
    config = tiny_config(tmp_path, "toy")
    dataset = load_dataset(config)
    split = split_dataset(dataset, config)
    assert split.test.tolist() == list(range(150, 200))
    assert len(split.validation) == 12  # of the rows that are left
    assert sorted([*split.train, *split.validation]) == list(range(150))


KNOWN = Columns.model_validate(
    {"label": "price", "inputs": {"id": "ignore", "zip": "category", "kind": "category"}}
)


@pytest.mark.parametrize(
    ("given", "label", "text", "inputs"),
    [
        (None, "price", None, {"id": "ignore", "zip": "category", "kind": "category"}),
        ({"inputs": {"zip": "number"}}, "price", None, {"id": "ignore", "kind": "category", "zip": "number"}),
        ({"label": "kind"}, "kind", None, {"id": "ignore", "zip": "category"}),
        ({"text": ["kind"]}, "price", ["kind"], {"id": "ignore", "zip": "category"}),
    ],
)  # fmt: skip
def test_what_is_configured_of_columns_wins_over_the_catalogue_which_fills_in_the_rest(
    monkeypatch: pytest.MonkeyPatch, given: Any, label: str, text: Any, inputs: dict[str, str]
) -> None:
    _add_to_catalogue(monkeypatch, columns=KNOWN, task="regression")
    config = complete(TrainConfig.model_validate({"dataset": "toy", "columns": given}))
    assert config.task == "regression"
    assert config.columns is not None
    assert (config.columns.label, config.columns.text) == (label, text)
    assert {name: column.type for name, column in config.columns.inputs.items()} == inputs
    assert complete(config) == config
    assert TrainConfig.model_validate(config.model_dump()) == config


def test_of_a_file_nothing_is_known_but_that_it_is_classified() -> None:
    config = complete(TrainConfig(dataset="a.csv"))
    assert (config.task, config.columns) == ("classification", None)
    assert complete(TrainConfig(dataset="a.csv", task="multilabel")).task == "multilabel"


# -------------------------------------------------------------- label sets


def label_sets(folder: Path, cells: Sequence[Any], **columns: Any) -> Dataset:
    table = {"text": [f"text {i}" for i in range(len(cells))], "tags": list(cells)}
    return load_table(
        folder,
        table,
        task="multilabel",
        columns={"text": "text", "label": "tags", **columns},
        min_samples_per_label=1,
    )


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ('["a", null, "b", NaN]', ["a", "b"]),
        ("['a', None, nan]", ["a"]),
        (["a", None, math.nan, "b"], ["a", "b"]),
        ("[]", []),
        (None, []),
        ("[1, 2.0]", ["1", "2"]),
        (" [ 'a' ] ", ["a"]),
        ("['banana', 'nan']", ["banana", "nan"]),
        ("[a], [b]", ["[a]", "[b]"]),
        ("[[1], [2]]", ["[[1]", "[2]]"]),
        ("[__import__('os')]", ["[__import__('os')]"]),
        ("[" * 100_000 + "]" * 100_000, ["[" * 100_000 + "]" * 100_000]),
        ("a, b", ["a", "b"]),
        ("cafe\u0301,café", ["café"]),
    ],
)
def test_the_labels_of_a_cell_are_those_of_a_list_or_between_separators(
    tmp_path: Path, cell: Any, labels: list[str]
) -> None:
    dataset = label_sets(tmp_path, [cell, "other", "other"])
    assert dataset.truth(0) == sorted(labels)


@pytest.mark.parametrize("sign", [";", "|", "\t"])
def test_a_separator_that_is_not_the_configured_one_is_named(tmp_path: Path, sign: str) -> None:
    cells = [f"a{sign}b", f"b{sign}c", "a"] * 10
    [warning] = label_sets(tmp_path, cells).warnings
    assert "',' separates labels in 0.0% of the rows" in warning
    assert warning.endswith(
        f"is in 66.7%. If it separates them, set columns.separator: {json.dumps(sign)}"
    )
    assert label_sets(tmp_path, cells, separator=sign).warnings == ()
    assert label_sets(tmp_path, [*cells, "a,b"]).warnings == ()


def test_numbers_that_are_declared_to_be_classes_are_classes(tmp_path: Path) -> None:
    rows = [(f"say {100 + i % 150} {i}", str(100 + i % 150)) for i in range(900)]
    assert len(load(rows, tmp_path, task="classification").label_names) == 150
    with pytest.raises(
        DatasetError, match=r"150 different .* If these are classes, set task: classification\."
    ):
        load(rows, tmp_path)
    with pytest.raises(DatasetError, match="150 different"):  # the guess was filled in before
        load_dataset(complete(tiny_config(tmp_path, tmp_path / "d.csv")))


def test_validation_rows_fewer_than_the_labels_leave_each_label_a_row_to_train_on(
    tmp_path: Path,
) -> None:
    labels = [f"intent {number}" for number in range(60)]
    rows = [(f"text {number} of {label}", label) for label in labels for number in range(5)]
    config = tiny_config(tmp_path, write_csv(tmp_path / "a.csv", rows))
    dataset = load_dataset(config)
    split = split_dataset(dataset, config)
    assert (len(split.train), len(split.validation), len(split.test)) == (216, 24, 60)
    assert len(np.unique(np.concatenate([split.train, split.validation, split.test]))) == 300
    assert len(np.unique(dataset.targets[split.train])) == 60
    again = split_dataset(dataset, config)
    assert again.validation.tolist() == split.validation.tolist()
