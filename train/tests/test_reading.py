"""Claims about how a file becomes a table: quotation marks, separators, encodings, lines and names."""

import gzip
import json
import os
import re
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pooch
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from train.config import TrainConfig, load_config
from train.data.catalogue import CATALOGUE
from train.data.reading import Reading, ReadTable, read_table
from train.data.schema import as_text
from train.data.sources import fetch
from train.errors import DatasetError
from train.preparation import prepare
from train.progress import TerminalProgress
from train.tests.conftest import tiny_config

# What this machine has set, before the tests take it away.
MIRROR = os.environ.get("DATASET_MIRROR")


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.say, self.warn = self.said.append, self.warned.append


class Reader:
    """Reads made-up files, and remembers what was told.

    Attributes:
        listener: What was told while they were read.
    """

    def __init__(self, folder: Path) -> None:
        self.listener = Listener()
        self._folder = folder

    def table(self, name: str, content: str | bytes, **options: Any) -> ReadTable:
        file = self._folder / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(file, Reading(**options), self.listener)  # type: ignore[arg-type]

    def rows(self, name: str, content: str | bytes, **options: Any) -> list[list[Any]]:
        frame = self.table(name, content, **options).frame
        return [list(frame.columns), *frame.to_numpy().tolist()]

    def refuses(self, name: str, content: str | bytes, complaint: str, **options: Any) -> None:
        with pytest.raises(DatasetError, match=re.escape(complaint)) as caught:
            self.table(name, content, **options)
        assert "\n" not in str(caught.value)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def films(separator: str, **lines: str) -> str:
    """Return 41 lines, a header and 40 rows; `line_4="…"` replaces the text of a line."""
    rows = [["text", "label"]]
    rows += [[f"a film {number}", "good" if number % 2 else "bad"] for number in range(40)]
    for name, text in lines.items():
        rows[int(name.removeprefix("line_")) - 1][0] = text
    return "\n".join(map(separator.join, rows)) + "\n"


# ------------------------------------------------------------ quotation marks


@pytest.mark.parametrize("marks", [{}, {"line_35": 'a "fine" film'}, {"line_35": 'the end"'}])
def test_a_lone_mark_in_a_tsv_file_is_a_character_and_is_told(
    reader: Reader, marks: dict[str, str]
) -> None:
    text = films("\t", line_4='"a film', **marks)
    rows = reader.rows("a.tsv", text)
    assert rows == [line.split("\t") for line in text.splitlines()]
    (warning,) = reader.listener.warned
    assert "1 field with a quotation mark at the start, the first in line 4" in warning


@pytest.mark.parametrize(
    ("marks", "complaint"),
    [
        ({"line_35": 'a "fine" film'}, "line 4: a quotation mark opens a field that runs to line 35"),
        ({"line_35": 'the end"'}, "line 4: a quotation mark opens a field that runs to line 35, over lines that look"),
        ({"line_5": 'the end"'}, "line 4: a quotation mark opens a field that runs to line 5"),
        ({"line_9": '"of, all"'}, "line 4: a quotation mark opens a field that runs to line 9"),
        ({}, "line 4: a quotation mark opens a field and none closes it"),
    ],
)  # fmt: skip
def test_a_field_that_swallows_rows_of_a_csv_file_is_refused_with_its_line(
    reader: Reader, marks: dict[str, str], complaint: str
) -> None:
    text = films(",", line_4='"a film', **marks)
    reader.refuses("a.csv", text, complaint)
    if "," not in "".join(marks.values()):
        assert len(reader.rows("a.csv", text, quotes="literal")) == 41


def test_a_wide_table_is_not_swallowed_either(reader: Reader) -> None:
    lines = ["a,b,c,d,e", *(f"{n},x{n},y{n},z{n},w{n}" for n in range(30))]
    lines[10] = 'n/a,"x,y,z,w'
    lines[20] = '20,x",y,z,w'
    reader.refuses(
        "a.csv", "\n".join(lines), "line 11: a quotation mark opens a field that runs to line 21"
    )


TEXTS = [
    ["two\nlines", "good"],
    ['with "marks"\n\nand, commas', "bad"],
    ["Hello, world\ngoodbye", "good"],
    ["tab\there\r\nand there", "bad"],
    ["plain", "good"],
    ['"', "bad"],
    ["5,\n3,\n1", "good"],
]  # fmt: skip


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
@pytest.mark.parametrize("quoting", [0, 1])
def test_fields_over_several_lines_that_are_really_quoted_are_read(
    reader: Reader, tmp_path: Path, name: str, separator: str, quoting: int
) -> None:
    written = pd.DataFrame(TEXTS * 3, columns=["text", "label"])
    text = written.to_csv(index=False, sep=separator, quoting=quoting, lineterminator="\n")
    assert reader.rows(name, text)[1:] == TEXTS * 3
    assert not reader.listener.warned
    (said,) = reader.listener.said
    assert said == "dataset: 43 lines: 1 header, 21 rows, 21 within quoted fields"


@pytest.mark.parametrize(
    ("quotes", "texts"), [("auto", ["a fine film", "b"]), ("literal", ['"a" fine film', "b"])]
)
def test_a_mark_that_closes_too_early_is_told(
    reader: Reader, quotes: str, texts: list[str]
) -> None:
    rows = reader.rows("a.csv", 'text,label\n"a" fine film,x\nb,y\n', quotes=quotes)
    assert [row[0] for row in rows[1:]] == texts
    told = "in 1 field a quotation mark closes before the field ends, the first in line 2"
    assert [told in warning for warning in reader.listener.warned] == [True] * (quotes == "auto")


def test_marks_within_a_field_are_characters(reader: Reader) -> None:
    assert reader.rows("a.csv", 'size,label\n12" pipe,x\n4" or 5",y\n')[1:] == [
        ['12" pipe', "x"],
        ['4" or 5"', "y"],
    ]
    assert not reader.listener.warned


@pytest.mark.mirror
@pytest.mark.skipif(not MIRROR, reason="DATASET_MIRROR is not set")
def test_the_messages_of_the_sms_file_are_one_row_a_line(reader: Reader, tmp_path: Path) -> None:
    file = CATALOGUE["sms-spam"].files[0]
    url = f"{MIRROR}" + urlsplit(file.url).path
    raw = Path(pooch.retrieve(url, f"sha256:{file.sha256}", path=tmp_path)).read_bytes()
    assert len(reader.table("sms.tsv", b"label\tmessage\n" + raw).frame) == 5574


# ------------------------------------------------------- separators and lines


@pytest.mark.parametrize("separator", list(",;\t|"))
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_separator_of_the_header_is_used_and_told(
    reader: Reader, name: str, separator: str
) -> None:
    expected = {"a.csv": ",", "a.tsv": "\t"}[name]
    content = separator.join("ab") + "\n" + separator.join(["1.5", '"x"']) + "\n"
    table = reader.table(name, content, quotes="enclose")
    assert table.frame.to_dict("list") == {"a": ["1.5"], "b": ["x"]}
    assert table.decided == ({} if separator == expected else {"separator": separator})
    assert len(reader.listener.warned) == (separator != expected)
    assert all(f"the header has no {expected!r}" in warning for warning in reader.listener.warned)


def test_a_declared_separator_is_used_where_the_header_has_another_too(reader: Reader) -> None:
    rows = reader.rows("a.csv", "price, EUR;label\n1,5;x\n", separator=";")
    assert rows == [["price, EUR", "label"], ["1,5", "x"]]
    reader.refuses(
        "a.csv", "price, EUR;n;label\n1;2;x\n", "If ';' separates the fields, set `separator:`"
    )


def test_a_header_of_one_column_may_hold_any_character(reader: Reader) -> None:
    assert reader.rows("a.csv", "a; b\n1\n\n2\n") == [["a; b"], ["1"], ["2"]]


def test_what_excel_says_of_the_separator_is_not_a_row(reader: Reader) -> None:
    table = reader.table("a.csv", "sep=;\r\na;b\r\n1,5;x\r\n")
    assert table.frame.to_dict("list") == {"a": ["1,5"], "b": ["x"]}
    assert table.decided == {"separator": ";"}
    reader.refuses("a.csv", "sep=;\r\na;b\r\n1;2;3\r\n", "line 3 has 3")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_make_the_same_rows_and_blank_lines_are_counted(
    reader: Reader, end: str
) -> None:
    lines = ["", "a,b", "", "1,x", "  ", '2,"y"', "", '"3",']
    assert reader.rows("a.csv", end.join(lines)) == [["a", "b"], ["1", "x"], ["2", "y"], ["3", ""]]
    assert reader.listener.said == ["dataset: 8 lines: 1 header, 3 rows, 4 blank"]
    reader.refuses("a.csv", end.join([*lines, "4,x,y", "5"]), "line 9 has 3, line 10 has 1.")


def test_ragged_rows_are_named_by_their_line_in_the_file(reader: Reader) -> None:
    content = 'a,b\n"two\nlines",x\n\n1\n2,x\n3,x,y\n4\n5\n'
    reader.refuses("a.csv", content, "line 5 has 1, line 7 has 3, line 8 has 1 and 1 more lines.")


def test_a_file_with_nothing_but_a_header_has_no_rows(reader: Reader) -> None:
    for end in ("", "\n", "\r\n\r\n"):
        assert reader.rows("a.csv", f"a,b{end}") == [["a", "b"]]


# ------------------------------------------------------------------ encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_byte_order_mark_says_the_encoding(reader: Reader, name: str, encoding: str) -> None:
    content = {"a.csv": "text,b\ncafé ☕,x\n", "a.jsonl": '{"text": "café ☕", "b": "x"}'}[name]
    assert reader.rows(name, content.encode(encoding)) == [["text", "b"], ["café ☕", "x"]]
    assert len(reader.listener.said) == (encoding != "utf-8-sig")


def test_utf_16_without_a_mark_is_suggested(reader: Reader) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        content = "text,b\nx,y\n".encode(encoding)
        reader.refuses("a.csv", content, f"If it is UTF-16, set `encoding: {encoding}`")
        assert reader.rows("a.csv", content, encoding=encoding) == [["text", "b"], ["x", "y"]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a,b\nx,y\nun café,y\n".encode("cp1252"), "byte 0xe9 is not utf-8. In cp1252 the word there is 'café'"),
        ("a,b\n5 €,y\n".encode("cp1252"), "line 2: byte 0x80 is not utf-8. In cp1252 the word there is '€': if that"),
        (b"a,b\nx\x81\xe9,y\n", "set `encoding: latin-1`"),
        ("a,b\rx,y\rcafé,y\r".encode("cp1252"), "line 3: byte 0xe9 is not utf-8"),
    ],
)  # fmt: skip
def test_another_encoding_is_suggested_and_not_used(
    reader: Reader, content: bytes, complaint: str
) -> None:
    reader.refuses("a.csv", content, complaint)


# -------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", ",x,y\n3,1,a\n4,2,b\n"),
        ("a.csv", "Unnamed: 0,x,y\n3,1,a\n4,2,b\n"),
        ("a.csv", "x,y,\n1,a,\n2,b,\n"),
        ("a.csv", ", x,x,y,,\n".replace(", x", "") + "0,1,a,,\n1,2,b,,\n"),
        ("a.jsonl", '{"": 1, "x": "1", "y": "a"}\n{"": 2, "x": "2", "y": "b"}'),
    ],
)
def test_a_column_without_a_name_is_left_out_and_told(
    reader: Reader, name: str, content: str
) -> None:
    assert reader.rows(name, content) == [["x", "y"], ["1", "a"], ["2", "b"]]
    (warning,) = reader.listener.warned
    assert "without a name" in warning
    assert "left out" in warning


def test_a_column_without_a_name_that_the_configuration_names_stays(reader: Reader) -> None:
    content = ",x\n3,1\n"
    assert reader.rows("a.csv", content, named=frozenset(["Unnamed: 0"]))[0] == ["Unnamed: 0", "x"]


# -------------------------------------------------- in a run


def test_a_guessed_separator_is_said_and_kept_in_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\n".join(["text;label", *(f"t {n}, u;{'xy'[n % 2]}" for n in range(40))]))
    config = prepare(tiny_config(tmp_path, file), TerminalProgress()).config
    assert config.separator == ";"
    assert "WARNING: " in (told := capsys.readouterr().err)
    assert "the header has no ','; the fields are read as separated by ';'" in told
    again = prepare(TrainConfig.model_validate(config.model_dump()), TerminalProgress())
    assert len(again.dataset) == 40
    assert "the header has no" not in capsys.readouterr().err


@pytest.mark.parametrize("written", ["tab", r"\t", "\t"])
def test_a_separator_may_be_called_tab(tmp_path: Path, written: str) -> None:
    (tmp_path / "a.csv").write_text("text, b\tlabel\n1\tx\n")
    config = tiny_config(tmp_path, tmp_path / "a.csv", separator=written)
    assert list(fetch(config).frame.columns) == ["text, b", "label"]


# -------------------------------------------------------------------- formats


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.json.gz"])
@pytest.mark.parametrize("is_array", [True, False])
def test_json_may_be_an_array_or_lines(reader: Reader, name: str, is_array: bool) -> None:
    rows = [{"a": 2**60 + 1, "b": True, "c": "x"}, {"a": None, "b": 1.5, "c": "[y"}]
    text = json.dumps(rows, indent=1) if is_array else "\r\n".join(map(json.dumps, rows))
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    read = reader.rows(name, content)
    assert read == [["a", "b", "c"], [2**60 + 1, True, "x"], [None, 1.5, "[y"]]
    assert type(read[1][0]) is int


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**53 + 1, None, 2**63 - 1]),
        pa.array([2**64 - 1, None, 1], pa.uint64()),
        pa.array([2**53 + 1, None, 3]).dictionary_encode(),
        pd.array([2**53 + 1, None, 3], "Int64"),
        pd.Categorical([2**53 + 1, None, 3]),
        pa.array([True, None, False]),
        pd.array([True, None, False], "boolean"),
    ],
)
def test_integers_of_parquet_beside_nulls_are_exact(
    reader: Reader, tmp_path: Path, column: Any
) -> None:
    expected = column.to_pylist() if isinstance(column, pa.Array) else list(column)
    if isinstance(column, pa.Array):
        pq.write_table(pa.table({"a": column}), tmp_path / "w.parquet")
    else:
        pd.DataFrame({"a": column}).to_parquet(tmp_path / "w.parquet")
    frame = reader.table("a.parquet", (tmp_path / "w.parquet").read_bytes()).frame
    assert as_text(frame["a"]).tolist()[::2] == [str(value).lower() for value in expected[::2]]
    assert frame["a"].isna().tolist() == [False, True, False]


def _workbook(sheets: dict[str, list[list[Any]]]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book, file = openpyxl.Workbook(), BytesIO()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file.getvalue()


def test_values_of_excel_keep_their_kind(reader: Reader) -> None:
    rows = [
        ["id", 2024, "paid", "day", "at", "note"],
        [12345678901234, 1.5, True, datetime(2024, 1, 31), datetime(2024, 1, 31, 12, 30), "007"],
        [None, 2, False, None, datetime(2024, 2, 1), " x\ny "],
        [],
        [3, 0.1, True, datetime(2023, 12, 1), None, "NA"],
    ]
    frame = reader.table("a.xlsx", _workbook({"Sheet": rows})).frame
    assert list(frame.columns) == ["id", "2024", "paid", "day", "at", "note"]
    assert {name: as_text(frame[name]).tolist() for name in frame} == {
        "id": ["12345678901234", "", "3"],
        "2024": ["1.5", "2", "0.1"],
        "paid": ["true", "false", "true"],
        "day": ["2024-01-31", "", "2023-12-01"],
        "at": ["2024-01-31T12:30:00", "2024-02-01T00:00:00", ""],
        "note": ["007", " x\ny ", "NA"],
    }
    assert [type(value) for value in frame["paid"]] == [bool] * 3
    assert type(frame["id"][0]) is int
    assert reader.listener.said == ["dataset: 1 blank row left out of the sheet"]


def test_the_first_sheet_is_read_and_told_or_the_one_that_is_named(reader: Reader) -> None:
    book = _workbook({"Data": [["a"], [1]], "More": [["b"], [2]]})
    assert reader.rows("a.xlsx", book) == [["a"], [1]]
    assert reader.listener.said == ["dataset: sheet 'Data' is read, not More (`sheet:`)"]
    assert reader.rows("a.xlsx", book, sheet="More") == [["b"], [2]]
    reader.refuses("a.xlsx", book, "no sheet 'Mor'. Did you mean More?", sheet="Mor")


def test_what_a_workbook_does_not_say_is_refused(reader: Reader) -> None:
    book = _workbook({"Data": [["a", "b"], [1, "=A2*2"], [2, "=A3*2"]]})
    reader.refuses("a.xlsx", book, "2 formulas without a saved result: B2, B3. Open the file")
    reader.refuses("a.xlsx", _workbook({"Data": []}), "the sheet is empty")
    reader.refuses(
        "a.xlsx", _workbook({"Data": [["a", "a"], [1, 2]]}), "more than one column is called 'a'"
    )


def test_columns_of_excel_without_a_name_are_left_out_and_told(reader: Reader) -> None:
    book = _workbook({"Data": [["a", None, "b"], [1, 5, 2]]})
    assert reader.rows("a.xlsx", book) == [["a", "b"], [1, 2]]
    assert "column 2 without a name" in reader.listener.warned[0]


# --------------------------------------------------------------------- limits


def test_a_file_that_is_too_large_is_refused_before_it_is_in_memory(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 5_000_000)
    monkeypatch.setattr(gzip, "decompress", lambda _: pytest.fail("unpacked as a whole"))
    reader.refuses("a.csv.gz", bomb, "unpacks to more than 1,000,000 bytes", max_bytes=1_000_000)
    reader.refuses(
        "a.csv",
        b"a,b\n1,2\n",
        "has more than 7 bytes. If that is meant, set `max_d",
        max_bytes=7,
    )


def test_packed_formats_have_the_same_limit(reader: Reader, tmp_path: Path) -> None:
    pd.DataFrame({"a": ["x" * 1000] * 1000}).to_parquet(
        tmp_path / "w.parquet", use_dictionary=False
    )
    raw = (tmp_path / "w.parquet").read_bytes()
    assert len(raw) < 100_000
    reader.refuses("a.parquet", raw, "more than 100,000 (max_dataset_bytes)", max_bytes=100_000)
    book = _workbook({"Data": [["a"], *(["x" * 100] for _ in range(5000))]})
    reader.refuses("a.xlsx", book, "more than 100,000 (max_dataset_bytes)", max_bytes=100_000)


def test_a_large_gzip_file_within_the_limit_is_read(reader: Reader) -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    assert len(reader.rows("a.csv.gz", packed, max_bytes=4004)) == 1001


# ---------------------------------------------------------------------- paths


def test_a_relative_path_is_looked_for_here_and_then_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, conf = tmp_path / "here", tmp_path / "conf"
    for folder in (here, conf / "data"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    (conf / "data" / "a.csv").write_text("text,label\na,x\n")
    (conf / "c.yml").write_text("dataset: data/a.csv\nsplit: {test: data/a.csv}\n")
    config = load_config(conf / "c.yml")
    assert (config.dataset, config.split.test) == (f"{conf}/data/a.csv",) * 2
    assert len(fetch(TrainConfig.model_validate(config.model_dump())).frame) == 1
    (here / "data").mkdir()
    (here / "data" / "a.csv").write_text("text,label\n")
    assert load_config(conf / "c.yml").dataset == "data/a.csv"
    with pytest.raises(DatasetError) as caught:
        fetch(load_config(conf / "c.yml", ["dataset=b.csv"]))
    assert str(caught.value).endswith(f"Looked for the file in {here} and in {conf}.")


@pytest.mark.parametrize(
    ("content", "is_missing"),
    [
        ("5.1,3.5,a\n4.9,3.0,b\n4.7,3.2,a\n", True),
        ("1,0\n0,1\n", True),
        ("country,2019,2020\nFrance,1,2\n", False),
        ("a,b\na,b\n", False),
    ],
)
def test_a_header_that_looks_like_values_is_warned_of(
    reader: Reader, content: str, is_missing: bool
) -> None:
    reader.table("d.csv", content)
    warned = [
        "the names of the columns look like values" in text for text in reader.listener.warned
    ]
    assert warned == [True] * is_missing


def test_equal_numbers_for_names_hint_at_a_missing_header(reader: Reader) -> None:
    reader.refuses("d.csv", "1,1,a\n2,3,b\n", "called '1'. Rename or remove one. Or is the header")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("Sales of May,\nx,label\n1,a\n", "row 1 has the names that the configuration gives"),
        ("Sales of May,\n,\nx,label\n1,a\n", "row 2 has the names that the configuration gives"),
        ("Sales of May\n\nx,label\n1,a\n", "If it is a title, remove the lines above the header."),
    ],
)
def test_a_title_above_the_header_is_told_from_it(
    reader: Reader, content: str, complaint: str
) -> None:
    reader.refuses("d.csv", content, complaint, named=frozenset({"label"}))
    reader.refuses(
        "d.xlsx",
        _workbook({"a": [["Sales of May", ""], ["x", "label"], [1, "a"]]}),
        "Remove the lines above the header.",
        named=frozenset({"label"}),
    )


def test_runs_of_blanks_between_fields_are_explained(reader: Reader) -> None:
    reader.refuses("d.csv", "x   y\n1 2\n", "write one blank between", separator=" ")


def test_names_that_blanks_alone_tell_apart_are_warned_of(reader: Reader) -> None:
    assert reader.rows("d.csv", "x,x ,y\n1,2,3\n")[0] == ["x", "x ", "y"]
    [warning] = reader.listener.warned
    assert "blanks alone make the name 'x ' differ from another column's" in warning


@pytest.mark.parametrize("name", ["d.xls", "d.ods", "D.XLSB", "d.xls.gz"])
def test_other_workbooks_are_refused_with_the_way_out(reader: Reader, name: str) -> None:
    reader.refuses(name, b"x", "is not read. Open it in a spreadsheet program and save it as .xlsx")


def test_an_old_workbook_by_another_name_is_recognised(reader: Reader) -> None:
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
    reader.refuses("d.xlsx", content, "an old Excel workbook (.xls), or one with a password. Open")
