"""Claims about what is the user's: it is shown as it is, and acts on no terminal and no page."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from predict.tests.conftest import ROOT
from train.__main__ import main
from train.config.loading import to_yaml
from train.progress import TerminalProgress
from train.terminal import PlainTable
from train.tests.tables import make_table, table_config, write_table

CLEAR = "\x1b[2J"
TITLE = "\x1b]0;owned\x07"
BRACKETS = "[red]b[/nothing]"
ATTRIBUTE = "\" onload=\"x\" ' onload='y'><marquee>"


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained configuration whose file, column, categories and labels are not nice."""
    folder = tmp_path_factory.mktemp("shown")
    table = make_table().rename(columns={"plan": f"{BRACKETS}{CLEAR}"})
    table["left"] = table["left"].map(
        {"yes": f"{BRACKETS} yes{TITLE}{ATTRIBUTE}", "no": "\u202eno"}
    )
    file = write_table(folder / f"{BRACKETS.replace('/', '')}{CLEAR}\u20ac.csv", table)
    config = table_config(folder, file)
    (folder / "conf.yml").write_text(to_yaml(config), encoding="utf-8")
    return folder / "conf.yml"


def test_nothing_of_the_users_acts_on_the_terminal(conf: Path) -> None:
    trained = _train("run", "--conf", conf)
    latest = conf.parent / "artefacts" / "latest"
    shown = [
        trained,
        _train("check", "--conf", conf),
        _train("runs", "--artefacts-dir", latest.parent),
        _train("compare", latest, latest),
        _train("compare", latest, latest, "--json"),
        _train("reproduce", latest),
        _train("prune", "--keep", 0, "--artefacts-dir", latest.parent),
        _train("check", "--conf", conf, "--dataset", f"no{CLEAR}.csv"),
        _train("report", f"no{CLEAR}", "--artefacts-dir", latest.parent),
    ]
    for done in shown:
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert not {"\x1b", "\x07", "\u202e"} & set(done.output)
    assert trained.exit_code == 0, trained.output
    assert "[red]b[nothing]\\u001b[2J€.csv" in shown[2].output
    assert shown[5].exit_code == 0
    page = (latest / "report.html").read_text(encoding="utf-8")
    assert not {"\x1b", "\x07", "\u202e"} & set(page)


def test_brackets_are_no_markup_in_any_table() -> None:
    table = PlainTable()
    table.add_column(BRACKETS)
    table.add_row(f"{BRACKETS}{CLEAR}")
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    assert captured.get().split() == [BRACKETS, f"{BRACKETS}\\u001b[2J"]


def test_a_progress_line_shows_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalProgress().say(f"a{CLEAR}")
    TerminalProgress().warn(f"a{CLEAR}\udce9")
    assert "a\\u001b[2J\n" in (err := capsys.readouterr().err)
    assert "WARNING: a\\u001b[2J\\udce9" in err


def test_what_a_page_shows_is_no_tag_and_closes_no_attribute(conf: Path) -> None:
    latest = conf.parent / "artefacts" / "latest"
    if not latest.exists():
        assert _train("run", "--conf", conf).exit_code == 0
    for options in (["runs", "--artefacts-dir", latest.parent], ["compare", latest, latest]):
        page = conf.parent / f"{options[0]}.html"
        assert _train(*options, "--page", page).exit_code == 0
    for file in (latest / "report.html", conf.parent / "runs.html", conf.parent / "compare.html"):
        parser = _Tags()
        parser.feed(file.read_text(encoding="utf-8"))
        assert "svg" in parser.names or file.name != "report.html"
        assert not {"onload", "marquee"} & parser.names


class _Tags(HTMLParser):
    """Gathers the names of tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(name for name, _ in attrs)}


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_a_terminal_that_does_not_know_a_character_ends_no_run(
    tmp_path: Path, encoding: str
) -> None:
    table = pd.DataFrame(
        {"text": [f"{word} {n}" for n in range(60) for word in ("gut", "schlecht")],
         "label": ["смех", "日本"] * 60}
    )  # fmt: skip
    file = write_table(tmp_path / "данные.csv", table)
    columns = {"label": "label", "inputs": {"text": "category"}}
    conf = tmp_path / "conf.yml"
    conf.write_text(to_yaml(table_config(tmp_path, file, columns=columns)), encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    for command in (
        ["run", "--conf", conf],
        ["runs", "--artefacts-dir", tmp_path / "artefacts"],
        ["compare", tmp_path / "artefacts/latest", tmp_path / "artefacts/latest"],
        ["datasets"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "train", *map(str, command)],
            cwd=ROOT, env=environment, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
