"""Claims about fetching, reading, cleaning and splitting a dataset."""

import gzip
import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from train import dataset as dataset_module
from train.catalogue import CATALOGUE, OWN_TEST_SPLIT, CatalogueEntry, RemoteFile
from train.config import TrainConfig
from train.dataset import (
    Dataset,
    DatasetError,
    UnreachableError,
    load_dataset,
    read_table,
    split_dataset,
)
from train.progress import Progress
from train.run import prepare
from train.tests.conftest import WebServer, make_rows, tiny_config, write_csv

# What a table may hold that is easily lost: commas, quotes, a line break, other alphabets, words like "None".
ROWS = [
    ("a, b", 'say "hi"', "x"),
    ("two\nlines", "NA", "y"),
    ("naïve café", "日本語", "x"),
    ("None", "null", "y"),
    ("007", "1e5", "x"),
    ("tab\there", "", "y"),
]
COLUMNS = ["title", "body", "tag"]


# requests leaves the connection of a failed download to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def _do_not_wait_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "_RETRIES", 0)


def write_table(file: Path) -> Path:
    """Write ROWS in the format that the file's name says."""
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    match file.name.removesuffix(".gz").rsplit(".", 1)[1]:
        case "csv":
            raw = frame.to_csv(index=False).encode()
        case "tsv":
            raw = frame.to_csv(index=False, sep="\t").encode()
        case "jsonl":
            raw = "\n".join(json.dumps(row) for row in frame.to_dict("records")).encode()
        case "parquet":
            raw = frame.to_parquet()
    file.write_bytes(gzip.compress(raw) if file.suffix == ".gz" else raw)
    return file


def load(rows: list[tuple[str, ...]], folder: Path, **settings: Any) -> Dataset:
    header = ("text", "label", "extra")[: len(rows[0])]
    return load_dataset(tiny_config(folder, write_csv(folder / "d.csv", rows, header), **settings))


# ------------------------------------------------------------------- reading


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "CSV"])
def test_every_format_reads_the_same_rows(tmp_path: Path, kind: str, packed: str) -> None:
    file = tmp_path / f"table.v2.{kind.lower()}{packed}"
    written = write_table(file).rename(tmp_path / f"table.v2.{kind}{packed}")
    frame = read_table(written)
    assert list(frame.columns) == COLUMNS
    assert [tuple(row) for row in frame.to_numpy()] == ROWS


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_several_text_columns_are_joined_by_a_line_break(tmp_path: Path, kind: str) -> None:
    config = tiny_config(
        tmp_path,
        write_table(tmp_path / f"t.{kind}"),
        columns={"text": ["title", "body"], "label": "tag"},
        min_samples_per_label=1,
    )
    dataset = load_dataset(config)
    assert dataset.texts([0, 1]) == ['a, b\nsay "hi"', "two\nlines\nNA"]
    assert dataset.rows[5] == ("tab\there", "")
    assert dataset.label_names == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"text,label\na,b\n"),
        ("bom.tsv", b"text\tlabel\na\tb\n"),
        ("bom.jsonl", b'{"text": "a", "label": "b"}\n'),
    ],
)
def test_a_byte_order_mark_is_not_part_of_the_first_row(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert read_table(tmp_path / name).to_dict("records") == [{"text": "a", "label": "b"}]


def test_windows_line_ends_and_blank_lines_make_no_rows(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes(b"text,label\r\na,b\r\n\r\n   \r\nc,d\r\n\r\n")
    assert read_table(tmp_path / "w.csv").to_numpy().tolist() == [["a", "b"], ["c", "d"]]


def test_another_encoding_is_read_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("text,label\ncafé,b\n".encode("latin-1"))
    assert read_table(tmp_path / "l.csv", "latin-1")["text"].tolist() == ["café"]


def test_a_text_may_be_longer_than_the_csv_module_allows(tmp_path: Path) -> None:
    long = "word " * 40_000
    assert read_table(write_csv(tmp_path / "l.csv", [(long, "x")]))["text"].tolist() == [long]


def test_a_number_stays_as_written_where_another_is_missing(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"t{i}", "label": i % 2}) for i in range(10)]
    (tmp_path / "n.jsonl").write_text("\n".join([*lines, '{"text": "without a label"}']))
    dataset = load_dataset(tiny_config(tmp_path, tmp_path / "n.jsonl"))
    assert dataset.label_names == ["0", "1"]
    assert dataset.dropped == {"label missing": 1}


GOOD = b"text,label\n" + b"".join(b"t%d,%s\n" % (i, b"xy"[i % 2 : i % 2 + 1]) for i in range(20))


def _flipped(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 0xFF]) + raw[position + 1 :]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.csv", b"\n \n\t\n", "a.csv: the file is empty"),
        ("a.csv.gz", gzip.compress(b""), "a.csv.gz: the file is empty"),
        ("a.csv", b"text,label\n", "expected at least two labels, found none in 0 of 0 rows"),
        ("a.csv", b"text,label\nok,x\nb\xe9b\xe9,y\n", "line 3: byte 0xe9 is not utf-8. Save the file as UTF-8"),
        ("a.csv", GOOD.replace(b"t7", b"t\0"), "line 9: a NUL byte; this is not a text file"),
        ("a.csv", b"<!DOCTYPE html><html>log in</html>", "this is a web page, not .csv. Was a login page"),
        ("a.tsv", b"\n<HTML><body>", "this is a web page, not .tsv"),
        ("a.jsonl", b"<?xml version='1.0'?>", "this is a web page, not .jsonl"),
        ("a.csv", GOOD.replace(b"t3,y", b"t3,y,z"), "ragged or broken rows: Error tokenizing data"),
        ("a.csv", GOOD.replace(b"t0,x", b"t0,x,z"), "ragged or broken rows: Length of header"),
        ("a.csv", GOOD.replace(b"t3,y", b"t3"), "row 4 (below the header) has 1 fields, expected 2; 1 rows"),
        ("a.csv", GOOD.replace(b"t3,y", b"t3").replace(b"t9,y", b"t9"), "2 rows are too short"),
        ("a.csv", GOOD.replace(b"t3,y", b'"t3,y'), "EOF inside string starting at row 4"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n\n{"text": "a", \n', "line 3: not JSON (Expecting property name"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n["a", "b"]\n', "line 2: expected an object, got list"),
        ("a.jsonl", b'{"txt": "a", "label": "b"}', "no column 'text'. Did you mean 'txt'? Columns: txt, label"),
        ("a.csv", GOOD.replace(b"label", b"tag"), "no column 'label'. Columns: text, tag. Name them in"),
        ("a.csv", b"Text;Label\na;b\n", "no column 'text'."),
        ("a.csv.gz", GOOD, "not a whole gzip file (Not a gzipped file"),
        ("a.csv.gz", gzip.compress(GOOD)[:-12], "not a whole gzip file (Compressed file ended"),
        ("a.csv.gz", _flipped(gzip.compress(GOOD), 20), "not a whole gzip file ("),
        ("a.csv.gz", _flipped(gzip.compress(GOOD), -6), "not a whole gzip file (CRC check failed"),
        ("a.parquet", GOOD, "not a Parquet file ("),
        ("a.parquet", b"", "not a Parquet file ("),
        ("a.parquet.gz", gzip.compress(GOOD), "not a Parquet file ("),
        ("a.xlsx", GOOD, "expected a file ending in .csv, .tsv, .jsonl, .parquet (or with .gz behind it)"),
        ("a", GOOD, "expected a file ending in .csv"),
        ("a.gz", GOOD, "expected a file ending in .csv"),
        ("a.csv", b"text,label\n" + b"t,x\nu,x\n" * 20, "found 'x' in 2 of 40 rows (38 dropped: exact duplicate)"),
        ("a.csv", b"text,label\nt,x\nv,x\nw,x\nu,y\n", "'x' in 3 of 4 rows (1 dropped: label with fewer than 2 rows)"),
    ],
)  # fmt: skip
def test_a_broken_file_gives_one_clear_message(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    config = tiny_config(tmp_path, tmp_path / name, min_samples_per_label=2)
    with pytest.raises(DatasetError, match=re.escape(complaint)) as caught:
        load_dataset(config)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value).strip()


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ("stackoverflw", "'stackoverflw' is neither a dataset's name nor a file. Did you mean stackoverflow?"),
        ("sms_spam", "Did you mean sms-spam?"),
        ("no/such/file.csv", "'no/such/file.csv' is neither a dataset's name nor a file. Names: stackoverflow,"),
        (".", "'.' is a directory, not a file."),
        ("~nobody-of-this-name/x.csv", "is neither a dataset's name nor a file"),
        ("x" * 5000, "is neither a dataset's name nor a file"),
        ("a\0b", "is neither a dataset's name nor a file"),
        ("ftp://127.0.0.1/a.csv", "is neither a dataset's name nor a file"),
        ("http://[::1/a.csv", "'http://[::1/a.csv' is not an address"),
        ("http:///a.csv", "http:///a.csv: not an address"),
        ("http://127.0.0.1:99999/a.csv", "not an address"),
    ],
)  # fmt: skip
def test_a_dataset_that_is_not_there_says_what_there_is(
    tmp_path: Path, wanted: str, complaint: str
) -> None:
    with pytest.raises(DatasetError, match=re.escape(complaint)):
        load_dataset(tiny_config(tmp_path, wanted))


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "undefined"])
def test_an_encoding_that_python_does_not_know_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    with pytest.raises(DatasetError, match=f"^encoding: Python knows no '{encoding}'"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", encoding=encoding))


def test_a_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    with pytest.raises(DatasetError, match=r"a\.csv, line \d+: byte .* is not utf-16"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", encoding="utf-16"))


def test_a_file_of_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    right = load_dataset(tiny_config(tmp_path, tmp_path / "a.csv")).sha256
    assert len(load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", sha256=right)).rows) == 20
    with pytest.raises(DatasetError, match=f"SHA-256 is {right}, expected {'0' * 64}"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", sha256="0" * 64))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(DatasetError, match=r"a\.csv: cannot be read: permission denied"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv"))


# ------------------------------------------------------------------ cleaning


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
    assert len(dataset.rows) == 20
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
    assert dataset.texts([3]) == [" 3 "]


def test_labels_stand_in_alphabetical_order_and_every_row_keeps_its_own(tmp_path: Path) -> None:
    names = ["zebra", "Ape", "ant", "été"]
    rows = [(f"text {i}", names[i % 4]) for i in range(40)]
    dataset = load(rows, tmp_path)
    assert dataset.label_names == sorted(names)
    assert [dataset.label_names[label] for label in dataset.labels] == [label for _, label in rows]


def test_a_number_in_where_matches_the_field_as_written(tmp_path: Path) -> None:
    rows = [(f"text {i}", "xy"[i % 2], "01"[i < 20]) for i in range(40)]
    dataset = load(rows, tmp_path, where={"extra": 1})
    assert dataset.texts() == [f"text {i}" for i in range(20)]


def test_a_where_column_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no column 'extr'\. Did you mean 'extra'\?"):
        load([(f"{i}", "x", "k") for i in range(9)], tmp_path, where={"extr": "k"})


def test_texts_under_two_labels_are_kept_and_reported(tmp_path: Path) -> None:
    rows = [(f"text {i}", "xy"[i % 2]) for i in range(20)]
    dataset = load([*rows, ("text 3", "x"), ("text 4", "y"), ("text 4", "y")], tmp_path)
    assert len(dataset.rows) == 22
    assert dataset.conflicts == 2
    assert dataset.conflict_examples == ("text 3", "text 4")


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
        assert np.mean(dataset.labels[part] == 0) == pytest.approx(0.1)


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
        DatasetError, match=rf"too few rows to split: .* to {part} .*larger split\.{part}"
    ):
        split_dataset(load_dataset(config), config)


def _add_to_catalogue(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], **settings: Any
) -> None:
    """Put the dataset `toy` into the catalogue, on a host that does not exist."""
    defaults: dict[str, Any] = {
        "name": "toy",
        "rows": "20",
        "about": "",
        "licence": "",
        "text": ("text",),
        "label": "label",
        "files": tuple(
            RemoteFile(f"https://nowhere.invalid{path}", hashlib.sha256(content).hexdigest())
            for path, content in files.items()
        ),
        "read": lambda paths: pd.read_csv(paths[0], dtype=str),
    }
    monkeypatch.setitem(CATALOGUE, "toy", CatalogueEntry(**(defaults | settings)))


def test_a_test_split_of_the_datasets_own_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(200)
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame[OWN_TEST_SPLIT] = frame.index >= 150
    _add_to_catalogue(monkeypatch, {}, read=lambda _: frame)
    config = tiny_config(tmp_path, "toy")
    dataset = load_dataset(config)
    split = split_dataset(dataset, config)
    assert split.test.tolist() == list(range(150, 200))
    assert len(split.validation) == 12  # of the rows that are left
    assert sorted([*split.train, *split.validation]) == list(range(150))


# --------------------------------------------------------------- downloading


def test_a_url_is_downloaded_once(tmp_path: Path, web_server: WebServer) -> None:
    web_server.files["/d.csv"] = GOOD
    config = tiny_config(tmp_path, f"{web_server.url}/d.csv")
    first, second = load_dataset(config), load_dataset(config)
    assert web_server.requests == ["/d.csv"]
    assert first.sha256 == second.sha256
    assert first.source == f"{web_server.url}/d.csv"
    (cached,) = config.data_dir.iterdir()
    assert cached.stat().st_mode & 0o044 == 0o044  # a container may read it as somebody else
    assert len(first.rows) == 20


def test_two_urls_that_end_alike_do_not_share_a_file(tmp_path: Path, web_server: WebServer) -> None:
    web_server.files |= {"/a/d.csv": GOOD, "/b/d.csv": GOOD.replace(b"\nt", b"\nu")}
    texts = [
        load_dataset(tiny_config(tmp_path, f"{web_server.url}/{x}/d.csv")).texts([0]) for x in "ab"
    ]
    assert texts == [["t0"], ["u0"]]


def test_the_mirror_replaces_scheme_and_host_of_a_catalogue_dataset(
    tmp_path: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add_to_catalogue(monkeypatch, {"/some/where/toy.csv": GOOD})
    web_server.files["/root/some/where/toy.csv"] = GOOD
    monkeypatch.setenv("DATASET_MIRROR", f"{web_server.url}/root/")
    dataset = load_dataset(tiny_config(tmp_path, "toy"))
    assert web_server.requests == ["/root/some/where/toy.csv"]
    assert dataset.source == "https://nowhere.invalid/some/where/toy.csv"


def test_a_damaged_cache_entry_is_noticed_and_fetched_again(
    tmp_path: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add_to_catalogue(monkeypatch, {"/toy.csv": GOOD})
    web_server.files["/toy.csv"] = GOOD
    monkeypatch.setenv("DATASET_MIRROR", web_server.url)
    config = tiny_config(tmp_path, "toy")
    load_dataset(config)
    (cached,) = [file for file in config.data_dir.rglob("*") if file.is_file()]
    cached.write_bytes(_flipped(GOOD, 40))
    assert len(load_dataset(config).rows) == 20
    assert cached.read_bytes() == GOOD
    assert web_server.requests == ["/toy.csv", "/toy.csv"]


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    tmp_path: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add_to_catalogue(monkeypatch, {"/toy.csv": GOOD})
    web_server.files["/toy.csv"] = _flipped(GOOD, 40)
    monkeypatch.setenv("DATASET_MIRROR", web_server.url)
    config = tiny_config(tmp_path, "toy")
    with pytest.raises(DatasetError, match=r"/toy\.csv: .*hash") as caught:
        load_dataset(config)
    assert not isinstance(caught.value, UnreachableError)
    assert not [file for file in config.data_dir.rglob("*") if file.is_file()]


def test_an_interrupted_download_leaves_no_file_that_looks_whole(
    tmp_path: Path, web_server: WebServer
) -> None:
    web_server.files["/d.csv"] = GOOD
    web_server.cut_short.add("/d.csv")
    config = tiny_config(tmp_path, f"{web_server.url}/d.csv")
    with pytest.raises(UnreachableError, match=r"/d\.csv: cannot be reached"):
        load_dataset(config)
    assert not [file for file in config.data_dir.rglob("*") if file.is_file()]
    web_server.cut_short.clear()
    assert len(load_dataset(config).rows) == 20


def test_a_failed_download_is_tried_again(
    tmp_path: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "_RETRIES", 1)
    web_server.files["/d.csv"] = GOOD
    web_server.cut_short.add("/d.csv")
    with pytest.raises(UnreachableError, match="cannot be reached"):
        load_dataset(tiny_config(tmp_path, f"{web_server.url}/d.csv"))
    assert web_server.requests == ["/d.csv", "/d.csv"]


def test_a_file_that_the_server_does_not_have_is_a_wrong_address(
    tmp_path: Path, web_server: WebServer
) -> None:
    with pytest.raises(DatasetError, match=r"/no\.csv: the server answered 404\.") as caught:
        load_dataset(tiny_config(tmp_path, f"{web_server.url}/no.csv"))
    assert not isinstance(caught.value, UnreachableError)


def test_a_host_that_does_not_answer_names_what_can_be_set(tmp_path: Path, closed_url: str) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached") as caught:
        load_dataset(tiny_config(tmp_path, f"{closed_url}/d.csv"))
    for remedy in ("DATASET_MIRROR", "DATASET=", "`offline: docstrings`"):
        assert remedy in str(caught.value)


@pytest.mark.parametrize("name", ["docstrings", "http://127.0.0.1:9/d.csv"])
def test_a_data_folder_that_cannot_be_made_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"file: cannot be made: .*\. Set data_dir"):
        load_dataset(tiny_config(tmp_path, name, data_dir=tmp_path / "file"))


# ------------------------------------------------------------------- offline


def test_an_unreachable_host_trains_on_the_offline_dataset_and_says_so_loudly(
    tmp_path: Path,
    closed_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pd.DataFrame(make_rows(60), columns=["text", "label"])
    _add_to_catalogue(monkeypatch, {}, read=lambda _: frame)
    config = tiny_config(
        tmp_path,
        f"{closed_url}/d.csv",
        offline="toy",
        columns={"text": ["of the other dataset"], "label": "too"},
        where={"this": "as well"},
    )
    dataset, split = prepare(config, Progress())
    assert dataset.name == "toy"
    assert dataset.source == "embedded"
    assert Counter(map(len, (dataset.rows, split.test))) == {60: 1, 12: 1}
    told = capsys.readouterr().err
    assert f"WARNING: {closed_url}/d.csv: cannot be reached" in told
    assert "WARNING: training on the dataset 'toy' instead" in told


def test_without_an_offline_dataset_an_unreachable_host_is_an_error_and_nothing_else_is_tried(
    tmp_path: Path, closed_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnreachableError, match="or set `offline: docstrings`"):
        prepare(tiny_config(tmp_path, f"{closed_url}/d.csv"), Progress())
    assert "WARNING" not in capsys.readouterr().err


def test_a_broken_file_is_never_replaced_by_the_offline_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(DatasetError, match="the file is empty"):
        prepare(tiny_config(tmp_path, tmp_path / "a.csv", offline="docstrings"), Progress())
