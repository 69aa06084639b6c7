"""Claims about the named datasets. Those of others are downloaded only where DATASET_MIRROR names a mirror."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from train.config.sections import Columns
from train.data.catalogue import CATALOGUE, OWN_TEST_SPLIT, complete
from train.data.cleaning import clean, load_dataset
from train.data.sources import RawTable
from train.tests.conftest import tiny_config

# Before conftest.py takes it out of the way of the other tests.
MIRROR = os.environ.get("DATASET_MIRROR")


def test_every_dataset_is_found_under_its_own_name() -> None:
    assert {name: entry.name for name, entry in CATALOGUE.items()} == {
        name: name for name in CATALOGUE
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_dataset_says_what_it_is_whose_it_is_and_what_its_columns_are(name: str) -> None:
    entry = CATALOGUE[name]
    assert all((entry.rows, entry.about, entry.licence, entry.columns.label))
    assert Columns.model_validate(entry.columns.model_dump()) == entry.columns


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_download_is_pinned_to_a_checksum_and_where_there_are_revisions_to_one(
    name: str,
) -> None:
    for file in CATALOGUE[name].files:
        host, _, path = file.url.removeprefix("https://").partition("/")
        if host == "raw.githubusercontent.com":
            assert re.fullmatch(r"[^/]+/[^/]+/[0-9a-f]{40}/.+", path)
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_files_of_a_dataset_have_names_of_their_own(name: str) -> None:
    names = [file.url.rsplit("/", 1)[1] for file in CATALOGUE[name].files]
    assert len(set(names)) == len(names)


def test_stackoverflow_pairs_titles_with_the_names_of_their_tags(tmp_path: Path) -> None:
    titles, labels = tmp_path / "titles", tmp_path / "labels"
    titles.write_text('How do I "svn" this?\nLast\n', encoding="utf-8")
    labels.write_text("3\n20\n")
    frame = CATALOGUE["stackoverflow"].read([titles, labels])
    assert frame.to_dict("list") == {
        "title": ['How do I "svn" this?', "Last"],
        "tag": ["svn", "magento"],
    }


def test_sms_messages_may_hold_lone_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "sms.tsv").write_text('ham\t"hi, I\nspam\tNA\n', encoding="utf-8")
    frame = CATALOGUE["sms-spam"].read([tmp_path / "sms.tsv"])
    assert frame.to_numpy().tolist() == [["ham", '"hi, I'], ["spam", "NA"]]


def test_ag_news_keeps_its_own_test_split_and_names_its_topics(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('"3","Stocks ""up""","by, a lot"\n"1","a","b"\n')
    (tmp_path / "test.csv").write_text('"4","Null","c"\n')
    frame = CATALOGUE["ag-news"].read([tmp_path / "train.csv", tmp_path / "test.csv"])
    assert frame["topic"].tolist() == ["Business", "World", "Sci/Tech"]
    assert frame["title"].tolist() == ['Stocks "up"', "a", "Null"]
    assert frame[OWN_TEST_SPLIT].tolist() == [False, False, True]


def test_the_numbers_of_a_csv_file_are_read_to_the_last_bit(tmp_path: Path) -> None:
    written = ["0.1", "-1.3598071336738", "1e-300", "2.2250738585072011e-308", "9007199254740993"]
    (tmp_path / "c.csv").write_text("Amount,Class\n" + "".join(f"{n},0\n" for n in written))
    frame = CATALOGUE["creditcard"].read([tmp_path / "c.csv"])
    assert frame["Amount"].tolist() == [float(number) for number in written]


@pytest.mark.parametrize(
    ("name", "rows", "columns", "kinds", "labels"),
    [
        ("breast-cancer", 569, 30, {"number"}, ["benign", "malignant"]),
        ("iris", 150, 4, {"number"}, ["setosa", "versicolor", "virginica"]),
        ("wine", 178, 13, {"number"}, ["class_0", "class_1", "class_2"]),
        ("diabetes", 442, 10, {"number", "category"}, []),
    ],
)
def test_an_embedded_table_is_whole(
    tmp_path: Path, name: str, rows: int, columns: int, kinds: set[str], labels: list[str]
) -> None:
    entry, dataset = CATALOGUE[name], load_dataset(tiny_config(tmp_path, name))
    assert (len(dataset), dataset.rows_read) == (rows, rows)
    assert str(rows) in entry.rows
    assert str(columns) in entry.about
    assert len(dataset.column_types) == columns
    assert (set(dataset.column_types.values()), dataset.label_names) == (kinds, labels)
    assert (dataset.ignored, dataset.sha256) == (
        {},
        load_dataset(tiny_config(tmp_path, name)).sha256,
    )


def test_the_columns_of_a_table_are_found_in_its_file(tmp_path: Path) -> None:
    header = "PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked"
    rows = [
        f'{i},{i % 2},{i % 3 + 1},"Doe, {i}",{["male", "female"][i % 2]},{i if i % 5 else ""},'
        f"{i % 2},{i % 4},T{i},{i / 3},,{'SCQ'[i % 3]}"
        for i in range(1, 61)
    ]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]))
    entry = CATALOGUE["titanic"]
    config = complete(tiny_config(tmp_path, "titanic"))
    dataset = clean(RawTable("titanic", "", "", entry.read([tmp_path / "t.csv"])), config)
    assert dataset.label_names == ["0", "1"]
    assert dataset.column_types == {
        "Pclass": "category", "Sex": "category", "Age": "number", "SibSp": "number",
        "Parch": "number", "Fare": "number", "Embarked": "category",
    }  # fmt: skip
    assert dataset.instances(np.array([4])) == [
        {"Pclass": "3", "Sex": "female", "Age": None, "SibSp": 1, "Parch": 1, "Fare": 5 / 3, "Embarked": "Q"}
    ]  # fmt: skip
    assert set(dataset.ignored) == {"PassengerId", "Name", "Ticket", "Cabin"}


@pytest.mark.mirror
@pytest.mark.skipif(not MIRROR, reason="DATASET_MIRROR is not set")
@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [
        ("stackoverflow", 20_000, 20),
        ("sms-spam", 5_574, 2),
        ("titanic", 891, 2),
        ("housing", 20_640, 0),
    ],
)
def test_a_dataset_from_the_mirror_has_the_rows_that_the_catalogue_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: int, labels: int
) -> None:
    monkeypatch.setenv("DATASET_MIRROR", MIRROR or "")
    dataset = load_dataset(tiny_config(tmp_path, name))
    assert dataset.rows_read == rows
    assert f"{rows:,}" in CATALOGUE[name].rows
    assert len(dataset.label_names) == labels
