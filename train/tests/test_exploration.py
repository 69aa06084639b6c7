"""Claims about the profile of a file, the first configuration for it, and its page."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from train.__main__ import main
from train.config.loading import draft_of, load_config
from train.exploration.first_configuration import _quoted, write_configuration
from train.exploration.page import render_page
from train.exploration.profile import Profile, profile_dataset
from train.tests.conftest import make_rows, write_csv
from train.tests.tables import make_table, write_table
from train.tests.test_splits import make_people

NASTY = "<b>a: #1</b>"


def profile(folder: Path, table: pd.DataFrame, label: str | None = None) -> Profile:
    return profile_dataset(str(write_table(folder / "d.csv", table)), label)


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


# ---------------------------------------------------------------------- label


def test_a_label_is_guessed_by_its_name_or_place_and_that_is_said(tmp_path: Path) -> None:
    table = make_table()
    named = profile(tmp_path, table.rename(columns={"visits": "Target"}))
    assert (named.label, named.why_label) == (
        "Target",
        "guessed, because labels are often called so",
    )
    last = profile(tmp_path, table[["age", "left"]])
    assert (last.label, last.why_label) == ("left", "guessed, because it is the last column")
    table["key"] = [f"k{number}" for number in range(240)]
    first = profile(tmp_path, table[["left", "age", "key"]])
    assert (first.label, first.why_label) == ("left", "guessed, because it is the first column")
    fewest = profile(tmp_path, table.assign(first=table["key"])[["first", "left", "age", "key"]])
    assert fewest.label == "left"
    chosen = profile(tmp_path, table, "plan")
    assert (chosen.label, chosen.why_label) == ("plan", "as --label says")


def test_neither_a_date_nor_an_identifier_is_guessed_as_the_label(tmp_path: Path) -> None:
    table = make_table()[["left", "age"]]
    days = [f"{1 + i % 3}.{1 + i % 12}.2024" for i in range(240)]
    assert profile(tmp_path, table.assign(day=days)).label == "left"
    assert profile(tmp_path, table.assign(user_id=[i // 2 for i in range(240)])).label == "left"


def test_labels_that_look_missing_are_named(tmp_path: Path) -> None:
    table = make_table()[["age", "left"]]
    table.loc[::9, "left"] = "NA"
    assert any(
        hint.startswith("left: 'NA' is a word like") for hint in profile(tmp_path, table).hints
    )
    conf = tmp_path / "c.yml"
    conf.write_text(f"dataset: {tmp_path}/d.csv\ncolumns: {{label: left}}\n")
    heard = CliRunner().invoke(main, ["check", "--conf", str(conf)])
    assert "WARNING: columns: left: 'NA' is a word like any other, in 27 rows" in heard.output


@pytest.mark.parametrize(
    ("label", "task"),
    [("left", "classification"), ("spent", "regression"), ("visits", "classification")],
)
def test_the_task_follows_from_the_label(tmp_path: Path, label: str, task: str) -> None:
    assert profile(tmp_path, make_table(), label).task == task


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ([f"{1000 + i:,}.50 $" for i in range(60)], 'read with thousands: ",", unit: "$"'),
        ([f"1,{100 + i}" for i in range(60)], 'set thousands: "," or decimal: ","'),
    ],
)
def test_a_label_that_is_a_written_quantity_is_a_number(
    tmp_path: Path, cells: list[str], why: str
) -> None:
    found = profile(tmp_path, make_table(60)[["plan", "age"]].assign(price=cells))
    assert (found.label, found.task) == ("price", "regression")
    assert why in found.why_task


def test_a_label_whose_notation_is_in_doubt_has_no_range(tmp_path: Path) -> None:
    prices = [f"1,{100 + i}" for i in range(60)]
    write_table(tmp_path / "d.csv", make_table(60)[["plan", "age"]].assign(price=prices))
    result = invoke(tmp_path / "d.csv", "--out", tmp_path / "c.yml")
    assert result.exit_code == 1
    assert "in columns.label_notation" in result.output
    assert " nan" not in result.output


def test_several_labels_in_a_cell_are_multilabel(tmp_path: Path) -> None:
    rows = [
        (text, ";".join([label, "x"][: 1 + number % 2]))
        for number, (text, label) in enumerate(make_rows(120))
    ]
    write_csv(tmp_path / "d.csv", rows, ("text", "tags"))
    found = profile_dataset(str(tmp_path / "d.csv"), None)
    assert (found.task, found.separator, found.label) == ("multilabel", ";", "tags")
    assert found.labels == {"x": 60, "fruit": 40, "music": 40, "tools": 40}


def test_lists_in_cells_are_multilabel(tmp_path: Path) -> None:
    rows = [{"text": text, "tags": [label, "x"]} for text, label in make_rows(90)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = invoke(tmp_path / "d.jsonl", "--out", tmp_path / "c.yml")
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "c.yml").task == "multilabel"


# -------------------------------------------------------------------- columns


def test_every_column_has_a_type_a_reason_and_examples(tmp_path: Path) -> None:
    found = profile(tmp_path, make_people(), "left")
    kinds = {column.name: column.kind for column in found.columns}
    assert kinds == {
        **{"age": "number", "visits": "number", "paid": "number", "plan": "category"},
        **{"since": "date", "said": "category", "left": "label", "spent": "number"},
        **{"user_id": "ignore", "bought_on": "date"},
    }
    assert all(column.why and column.examples for column in found.columns)
    [age] = [column for column in found.columns if column.name == "age"]
    assert age.missing == pytest.approx(28 / 300)
    assert found.labels == dict(make_people()["left"].value_counts())


def test_a_column_that_tells_the_label_is_suspected(tmp_path: Path) -> None:
    table = make_table().assign(
        reason=lambda rows: rows["left"].map({"yes": "price", "no": "none"})
    )
    found = profile(tmp_path, table, "left")
    assert found.leaks == ["reason"]
    assert any(hint.startswith("reason tells left by itself") for hint in found.hints)
    written = write_configuration(found, "d.csv", "conf/d.yml")
    assert re.search("reason: category  # .*; tells left by itself: set ignore if", written)
    tripled = make_table().assign(cents=lambda rows: 100 * rows["spent"])
    assert profile(tmp_path, tripled, "spent").leaks == ["cents"]


def test_duplicates_missing_labels_and_conflicting_texts_are_counted(tmp_path: Path) -> None:
    rows = [
        *make_rows(60),
        *make_rows(3),
        ("The  same", "fruit"),
        ("the same", "music"),
        ("x y z", ""),
    ]
    write_csv(tmp_path / "d.csv", rows)
    hints = profile_dataset(str(tmp_path / "d.csv"), None).hints
    assert "3 rows the same as an earlier one in every column" in hints
    assert "1 text with more than one label" in hints
    assert "1 row without a label: left out" in hints


def test_identifiers_that_repeat_are_proposed_as_groups(tmp_path: Path) -> None:
    found = profile(tmp_path, make_people(), "left")
    assert found.groups == ["user_id"]  # neither paid nor said, which end alike
    written = write_configuration(found, "d.csv", "conf/d.yml")
    assert "#   by: user_id" in written
    assert "#   by_time: bought_on" in written


# -------------------------------------------------------------- configuration


def test_the_configuration_is_written_and_would_train(tmp_path: Path) -> None:
    write_table(tmp_path / "d.csv", make_people())
    result = invoke(tmp_path / "d.csv", "--label", "left", "--out", tmp_path / "c.yml")
    assert result.exit_code == 0, result.output
    assert "written, and would train" in result.output
    assert "user_id" in result.output
    config = load_config(tmp_path / "c.yml")
    assert config.columns is not None
    assert config.columns.inputs["user_id"].kind == "ignore"
    checked = CliRunner().invoke(
        main, ["check", "--conf", str(tmp_path / "c.yml"), "--set", f"artefacts_dir={tmp_path}/a"]
    )
    assert checked.exit_code == 0, checked.output


def test_a_column_of_parts_becomes_the_split(tmp_path: Path) -> None:
    table = make_table().assign(Part=["Train", "train", "test"] * 80)
    write_table(tmp_path / "d.csv", table)
    result = invoke(tmp_path / "d.csv", "--label", "left", "--out", tmp_path / "c.yml")
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "c.yml").split.column == "Part"


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    write_table(tmp_path / "d.csv", make_table())
    (tmp_path / "c.yml").write_text("mine")
    result = invoke(tmp_path / "d.csv", "--label", "left", "--out", tmp_path / "c.yml")
    assert result.exit_code == 1
    assert "is not overwritten" in result.output
    assert (tmp_path / "c.yml").read_text() == "mine"


def test_standard_output_has_nothing_but_the_configuration(tmp_path: Path) -> None:
    write_table(tmp_path / "d.csv", make_table())
    result = invoke(tmp_path / "d.csv", "--label", "left", "--out", "-")
    assert result.exit_code == 0, result.output
    draft = draft_of(result.stdout, "-")
    assert not draft.problems
    assert "for example" in result.stderr


def test_what_would_not_train_is_not_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", [("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")])
    result = invoke(tmp_path / "d.csv", "--out", tmp_path / "c.yml")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "expected at least two labels" in result.output
    assert not (tmp_path / "c.yml").exists()


def test_strange_names_are_read_back_as_they_were(tmp_path: Path) -> None:
    names = [
        NASTY,
        "no",
        "1",
        "a\nb",
        "- x",
        "ü ö",
        "{x}",
        'q"q',
        "null",
        " lead",
        "x ",
        "😀",
        "a\\b",
    ]
    table = pd.DataFrame({name: make_table()["age"].fillna(3) for name in names})
    table["left"] = make_table()["left"]
    found = profile(tmp_path, table, "left")
    written = write_configuration(found, str(tmp_path / "d.csv"), "conf/d.yml")
    config = draft_of(written, "d").checked()
    assert config.columns is not None
    assert list(config.columns.inputs) == names
    assert _quoted("rooms") == "rooms"


@pytest.mark.parametrize(
    ("content", "arguments", "problem"),
    [
        ("a,b\n", [], "0 rows and 2 columns"),
        ("a\n1\n", [], "1 row and 1 column"),
        ("id,name\n1,x\n2,y\n3,z\n", [], "Name it with --label"),
        ("a,b\n1,x\n2,x\n", ["--label", "bb"], "--label: no column 'bb'. Did you mean b?"),
    ],
)
def test_a_file_that_cannot_be_profiled_is_one_clear_line(
    tmp_path: Path, content: str, arguments: list[str], problem: str
) -> None:
    (tmp_path / "d.csv").write_text(content)
    result = invoke(tmp_path / "d.csv", *arguments, "--out", "-")
    assert result.exit_code == 1
    assert problem in result.output
    assert "Traceback" not in result.output


# ----------------------------------------------------------------------- page


@pytest.mark.parametrize("label", ["left", "spent", "plan"])
def test_the_page_draws_every_column_and_needs_nothing_else(tmp_path: Path, label: str) -> None:
    found = profile(tmp_path, make_people().rename(columns={"visits": NASTY}), label)
    page = render_page(found, "dataset: d.csv")
    read = found.of_kind("number", "category", "date", "text")
    assert page.count("<svg") == len(read) + 1
    assert NASTY not in page
    assert "&lt;b&gt;a: #1&lt;/b&gt;" in page
    for outside in ("http://", "https://", "src=", "@import"):
        assert outside not in page.replace("http://www.w3.org/", "")


def test_many_labels_share_a_colour(tmp_path: Path) -> None:
    table = make_table().assign(left=[f"label {number % 7}" for number in range(240)])
    page = render_page(profile(tmp_path, table, "left"), "")
    assert "by left; 4 labels together" in page
    assert "all others" in page


def test_a_page_is_drawn_whatever_is_missing(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "x": ["", "1"] * 30,
        "d": ["", "2024-01-01"] * 30,
        "label": ["a", "b"] * 30,
    }
    found = profile(tmp_path, pd.DataFrame(values), "label")
    assert "<svg" in render_page(found, "")
