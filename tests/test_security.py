"""Claims about SECURITY.md: what it says is stopped has a test, and that test is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
HEADER = ["asset", "threat", "what stops it", "test", "remains"]


def tables() -> list[list[list[str]]]:
    """Return the tables of threats, each a list of rows without header."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", TEXT, re.MULTILINE)
    split = [
        [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        for block in blocks
    ]
    return [rows[2:] for rows in split if rows[0] == HEADER]


THREATS = [row for rows in tables() for row in rows]
NAMED = sorted({name for row in THREATS for name in re.findall(r"`([\w/]+\.py::\w+)`", row[3])})


@cache
def functions_of(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_threat_table_names_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert function in functions_of(ROOT / file)


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row[1])
def test_a_threat_has_what_stops_it_a_test_and_what_remains(row: list[str]) -> None:
    assert len(row) == len(HEADER)
    assert all(row[1:])
    named = re.findall(r"`[\w/]+\.py::test_\w+`", row[3])
    if row[3].startswith("–"):
        assert re.fullmatch(r"– \(.+\)", row[3]), "no test: say why not"
    else:
        assert row[3] == ", ".join(named), "nothing but tests, separated by commas"


def test_every_kind_of_input_has_threats() -> None:
    headings = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
    assert len(tables()) == len(headings) == 6
    assert min(map(len, tables())) >= 2
    assert len([row for row in THREATS if not row[3].startswith("–")]) >= len(THREATS) - 1


def test_the_colleagues_artefact_is_answered_in_one_paragraph() -> None:
    answer = TEXT.partition("## Is it safe to load an artefact from a colleague?\n\n")[2].partition(
        "\n\n## "
    )[0]
    assert answer.startswith("**Yes")
    assert "\n\n" not in answer
    assert "--trust-code" in answer
