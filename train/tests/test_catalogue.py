"""Claims about the named datasets. Those of others are downloaded only where DATASET_MIRROR names a mirror."""

import os
import re
from pathlib import Path

import pytest

from train.catalogue import CATALOGUE, OWN_TEST_SPLIT

# Before conftest.py takes it out of the way of the other tests.
MIRROR = os.environ.get("DATASET_MIRROR")


def test_every_dataset_is_found_under_its_own_name() -> None:
    assert {name: entry.name for name, entry in CATALOGUE.items()} == {
        name: name for name in CATALOGUE
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_dataset_says_what_it_is_whose_it_is_and_what_its_columns_are(name: str) -> None:
    entry = CATALOGUE[name]
    assert all((entry.rows, entry.about, entry.licence, entry.text, entry.label))
    assert entry.label not in entry.text


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_download_is_pinned_to_a_revision_and_a_checksum(name: str) -> None:
    for file in CATALOGUE[name].files:
        assert re.fullmatch(r"https://[^/]+/[^/]+/[^/]+/[0-9a-f]{40}/.+", file.url)
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


@pytest.mark.mirror
@pytest.mark.skipif(not MIRROR, reason="DATASET_MIRROR is not set")
@pytest.mark.parametrize(
    ("name", "rows", "labels"), [("stackoverflow", 20_000, 20), ("sms-spam", 5_574, 2)]
)
def test_a_dataset_from_the_mirror_has_the_rows_that_the_catalogue_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: int, labels: int
) -> None:
    from train.dataset import load_dataset
    from train.tests.conftest import tiny_config

    monkeypatch.setenv("DATASET_MIRROR", MIRROR or "")
    dataset = load_dataset(tiny_config(tmp_path, name))
    assert dataset.rows_read == rows
    assert f"{rows:,}" in CATALOGUE[name].rows
    assert len(dataset.label_names) == labels
