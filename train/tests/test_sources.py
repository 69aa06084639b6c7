"""Claims about where a dataset comes from: how it is fetched, and how a file is read."""

import gzip
import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from train.config.sections import Columns
from train.data import sources
from train.data.catalogue import CATALOGUE, CatalogueEntry, RemoteFile
from train.data.cleaning import load_dataset
from train.data.reading import Reading, read_table
from train.data.sources import UnreachableError
from train.errors import DatasetError
from train.progress import TerminalProgress
from train.run import prepare
from train.tests.conftest import WebServer, make_rows, tiny_config, write_csv
from train.tests.tables import parts

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
    monkeypatch.setattr(sources, "_RETRIES", 0)


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


def read(file: Path, **options: Any) -> pd.DataFrame:
    return read_table(file, Reading(**options)).frame


# ------------------------------------------------------------------- reading


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "CSV"])
def test_every_format_reads_the_same_rows(tmp_path: Path, kind: str, packed: str) -> None:
    file = tmp_path / f"table.v2.{kind.lower()}{packed}"
    written = write_table(file).rename(tmp_path / f"table.v2.{kind}{packed}")
    frame = read(written)
    assert list(frame.columns) == COLUMNS
    assert [tuple(row) for row in frame.to_numpy()] == ROWS


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
    assert read(tmp_path / name).to_dict("records") == [{"text": "a", "label": "b"}]


def test_windows_line_ends_and_blank_lines_make_no_rows(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes(b"text,label\r\na,b\r\n\r\n   \r\nc,d\r\n\r\n")
    assert read(tmp_path / "w.csv").to_numpy().tolist() == [["a", "b"], ["c", "d"]]


def test_another_encoding_is_read_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("text,label\ncafé,b\n".encode("latin-1"))
    assert read(tmp_path / "l.csv", encoding="latin-1")["text"].tolist() == ["café"]


def test_a_text_may_be_longer_than_the_csv_module_allows(tmp_path: Path) -> None:
    long = "word " * 40_000
    assert read(write_csv(tmp_path / "l.csv", [(long, "x")]))["text"].tolist() == [long]


def test_numbers_of_json_lines_keep_their_kind_where_others_are_missing(tmp_path: Path) -> None:
    lines = ['{"a": 1, "b": true}', '{"a": 2.5, "b": null}', '{"b": false}', '{"a": "x", "b": 1}']
    (tmp_path / "n.jsonl").write_text("\n".join(lines))
    frame = read(tmp_path / "n.jsonl")
    assert frame["a"].tolist()[:2] == [1, 2.5]
    assert frame["a"].isna().tolist() == [False, False, True, False]
    assert [type(value) for value in frame["b"]][::2] == [bool, bool]


def test_the_index_of_a_parquet_file_is_a_column_if_it_has_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=["r", "s"])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.rename_axis("label").to_parquet(tmp_path / "b.parquet")
    assert read(tmp_path / "a.parquet").to_dict("list") == {"a": [1, 2]}
    assert read(tmp_path / "b.parquet").to_dict("list") == {"label": ["r", "s"], "a": [1, 2]}
    assert read(tmp_path / "a.parquet").index.tolist() == [0, 1]


def test_odd_column_names_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('{x}, b,c.d,ü,"q""r, s"\n1,2,3,4,5\n')
    assert list(read(tmp_path / "a.csv").columns) == ["{x}", " b", "c.d", "ü", 'q"r, s']


def test_a_column_that_is_empty_in_the_last_place_is_no_short_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,\n\n2,\n")
    assert read(tmp_path / "a.csv").to_numpy().tolist() == [["1", ""], ["2", ""]]


GOOD = b"text,label\n" + b"".join(b"t%d,%s\n" % (i, b"xy"[i % 2 : i % 2 + 1]) for i in range(20))


def _flipped(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 0xFF]) + raw[position + 1 :]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.csv", b"\n \n\t\n", "a.csv: the file is empty"),
        ("a.csv.gz", gzip.compress(b""), "a.csv.gz: the file is empty"),
        ("a.csv", b"text,label\n", "none of its 0 rows is left"),
        ("a.csv", b"text,label\nok,x\nb\xe9b\xe9,y\n", "line 3: byte 0xe9 is not utf-8. In cp1252 the word"),
        ("a.csv", GOOD.replace(b"t7", b"t\0"), "line 9: a NUL byte; this is not a text file"),
        ("a.csv", b"<!DOCTYPE html><html>log in</html>", "this is a web page, not .csv. Was a login page"),
        ("a.tsv", b"\n<HTML><body>", "this is a web page, not .tsv"),
        ("a.jsonl", b"<?xml version='1.0'?>", "this is a web page, not .jsonl"),
        ("a.csv", GOOD.replace(b"t3,y", b"t3,y,z"), "the header has 2 fields (separated by ','), but line 5 has 3."),
        ("a.csv", GOOD.replace(b"t0,x", b"t0,x,z"), "but line 2 has 3. Put fields that hold"),
        ("a.csv", GOOD.replace(b"t3,y", b"t3"), "but line 5 has 1."),
        ("a.csv", GOOD.replace(b"t3,y", b"t3").replace(b"t9,y", b"t9"), "but line 5 has 1, line 11 has 1."),
        ("a.csv", GOOD.replace(b"t3,y", b'"t3,y'), "line 5: a quotation mark opens a field and none closes it."),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n\n{"text": "a", \n', "line 3: not JSON (Expecting property name"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n["a", "b"]\n', "line 2: expected an object, got list"),
        ("a.csv", b"a,b,a,b,c\n1,2,3,4,x\n", "more than one column is called 'a', 'b'. Rename or remove one"),
        ("a.csv", b"\n\ntext,text\n1,2\n", "more than one column is called 'text'."),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000, "line 1: not JSON ("),
        ("a.jsonl", b'{"text": "a", "lable": "b"}', "no column 'label'. Did you mean 'lable'? Columns: text, lable."),
        ("a.csv", GOOD.replace(b"label", b"tag"), "no column 'label'. Columns: text, tag. Name them in"),
        ("a.csv.gz", GOOD, "not a complete gzip file (Not a gzipped file"),
        ("a.csv.gz", gzip.compress(GOOD)[:-12], "not a complete gzip file (Compressed file ended"),
        ("a.csv.gz", _flipped(gzip.compress(GOOD), 20), "not a complete gzip file ("),
        ("a.csv.gz", _flipped(gzip.compress(GOOD), -6), "not a complete gzip file (CRC check failed"),
        ("a.parquet", GOOD, "not a Parquet file ("),
        ("a.parquet", b"", "not a Parquet file ("),
        ("a.parquet.gz", gzip.compress(GOOD), "not a Parquet file ("),
        ("a.xlsx", GOOD, "not an Excel workbook (.xlsx) that can be read (File is not a zip file)"),
        ("a.xls", GOOD, "a workbook in the format .xls is not read"),
        ("a.txt", GOOD, "(or with .gz after it). Rename a text file with a row a line to .csv; `separator` may"),
        ("a.json", b'{"text": "a",\n "label": "b"}', "line 1: not JSON (Expecting property name enclosed in double"),
        ("a.json", b'[{"text": "a", "label": "b"},\n {"text": }]', "line 2: not JSON (Expecting value"),
        ("a.json", b'[{"text": "a"}, ["b"]]', "item 2 of the array: expected an object, got list"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a", "text": "b"}', "(the key 'text' is given twice"),
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
    with pytest.raises(DatasetError, match=f"^encoding: Python does not know '{encoding}'"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", encoding=encoding))


def test_a_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    with pytest.raises(DatasetError, match=r"a\.csv, line \d+: byte .* is not utf-16"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", encoding="utf-16"))


def test_a_file_of_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    right = load_dataset(tiny_config(tmp_path, tmp_path / "a.csv")).sha256
    assert len(load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", sha256=right))) == 20
    with pytest.raises(DatasetError, match=f"SHA-256 is {right}, expected {'0' * 64}"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv", sha256="0" * 64))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(DatasetError, match=r"a\.csv: cannot be read: permission denied"):
        load_dataset(tiny_config(tmp_path, tmp_path / "a.csv"))


# --------------------------------------------------------------- downloading


def _add_to_catalogue(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], **settings: Any
) -> None:
    """Put the dataset `toy` into the catalogue, on a host that does not exist."""
    defaults: dict[str, Any] = {
        "name": "toy",
        "rows": "20",
        "about": "",
        "licence": "",
        "columns": Columns(text=["text"]),
        "files": tuple(
            RemoteFile(f"https://nowhere.invalid{path}", hashlib.sha256(content).hexdigest())
            for path, content in files.items()
        ),
        "read": lambda paths: pd.read_csv(paths[0], dtype=str),
    }
    monkeypatch.setitem(CATALOGUE, "toy", CatalogueEntry(**(defaults | settings)))


def test_a_url_is_downloaded_once(tmp_path: Path, web_server: WebServer) -> None:
    web_server.files["/d.csv"] = GOOD
    config = tiny_config(tmp_path, f"{web_server.url}/d.csv")
    first, second = load_dataset(config), load_dataset(config)
    assert web_server.requests == ["/d.csv"]
    assert first.sha256 == second.sha256
    assert first.source == f"{web_server.url}/d.csv"
    (cached,) = config.data_dir.iterdir()
    assert cached.stat().st_mode & 0o044 == 0o044  # a container may read it as somebody else
    assert len(first) == 20


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
    assert len(load_dataset(config)) == 20
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
    assert len(load_dataset(config)) == 20


def test_a_failed_download_is_tried_again(
    tmp_path: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_RETRIES", 1)
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
    with pytest.raises(DatasetError, match=r"file: cannot be created: .*\. Set data_dir"):
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
    config, dataset, split = parts(prepare(config, TerminalProgress()))
    assert dataset.name == "toy"
    assert dataset.source == "embedded"
    assert (config.dataset, config.columns) == ("toy", Columns(text=["text"]))
    assert Counter(map(len, (dataset, split.test))) == {60: 1, 12: 1}
    told = capsys.readouterr().err
    assert f"WARNING: {closed_url}/d.csv: cannot be reached" in told
    assert "WARNING: training on the dataset 'toy' instead" in told


def test_without_an_offline_dataset_an_unreachable_host_is_an_error_and_nothing_else_is_tried(
    tmp_path: Path, closed_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        UnreachableError, match=r"DATASET=docstrings, a table with CONF=conf/iris\.yml"
    ):
        prepare(tiny_config(tmp_path, f"{closed_url}/d.csv"), TerminalProgress())
    assert "WARNING" not in capsys.readouterr().err


def test_a_broken_file_is_never_replaced_by_the_offline_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(DatasetError, match="the file is empty"):
        prepare(tiny_config(tmp_path, tmp_path / "a.csv", offline="docstrings"), TerminalProgress())
