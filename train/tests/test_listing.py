"""Claims about lists of runs: what is found, how it is filtered and sorted, and how it is shown."""

import json
import os
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from predict.tests.tiny_artefact import write_tiny_artefact
from train.artefacts.listing import (
    RunsError,
    filter_runs,
    find_runs,
    render_page,
    show_size,
    sort_runs,
    table_of,
    to_json,
)
from train.tests.folders import NASTY, days, fill_folder, read_runs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artefact(tmp_path_factory.mktemp("tiny") / "artefact")


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    return fill_folder(tmp_path / "artefacts", tiny)


# ------------------------------------------------------------------- reading


def test_a_run_is_what_its_metadata_and_metrics_say(folder: Path) -> None:
    first, second, third, last = read_runs(folder)
    assert (second.name, second.dataset, second.task) == (
        "2026-01-02-12-00-00",
        "titanic",
        "classification",
    )
    assert second.metrics == {"accuracy": 0.9, "log_loss": 0.3}
    assert (first.model, last.model) == ("wide and deep", "hist_gradient_boosting")
    assert [run.gate for run in (first, second, third)] == [None, "passed", "failed"]
    assert third.failed_checks == ("accuracy",)
    assert [run.latest for run in (first, second, third, last)] == [False, False, False, True]
    assert first.size_bytes == sum(file.stat().st_size for file in first.path.iterdir())


def test_damaged_and_foreign_things_are_listed_with_the_reason(folder: Path, tiny: Path) -> None:
    def damaged(name: str) -> Path:
        return Path(shutil.copytree(tiny, folder / name))

    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    (damaged("cut") / "metadata.json").write_text('{"format_version": 2, "na')
    (damaged("listless") / "metadata.json").write_text("[]")
    (damaged("newer") / "metadata.json").write_text('{"format_version": 99}')
    (damaged("partial") / "metadata.json").write_text('{"format_version": 2}')
    (damaged("modelless") / "model.onnx").unlink()
    (damaged("metrics") / "metrics.json").write_text("{")
    (damaged("true") / "metadata.json").write_text('{"format_version": true}')
    (damaged("waits") / "metadata.json").unlink()
    os.mkfifo(folder / "waits" / "metadata.json")
    (folder / ".unfinished-x").mkdir()
    listed, unreadable = find_runs(folder)
    assert days(listed) == [1, 2, 3, 4]
    assert {item.path.name: item.reason for item in unreadable} == {
        "notes.txt": "not a directory",
        "empty": "not an artefact: metadata.json is missing",
        "cut": "damaged: metadata.json is not JSON",
        "listless": "damaged: metadata.json is not what a run writes",
        "newer": "format_version 99 cannot be read here",
        "partial": "damaged: metadata.json: name: Field required",
        "true": "format_version True cannot be read here",
        "waits": "metadata.json cannot be read (not a regular file)",
        "modelless": "damaged: model.onnx missing",
        "metrics": "damaged: metrics.json: not JSON (Invalid JSON: EOF while parsing an object at line 1 column 1)",
    }


def test_a_flipped_byte_is_found_when_every_byte_is_compared(folder: Path) -> None:
    model = folder / "2026-01-02-12-00-00" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert len(read_runs(folder)) == 4
    listed, [damaged] = find_runs(folder, verify=True)
    assert days(listed) == [1, 3, 4]
    assert "model.onnx was changed after training" in damaged.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_listed_as_such(folder: Path) -> None:
    (folder / "2026-01-01-12-00-00" / "metadata.json").chmod(0)
    _, [damaged] = find_runs(folder)
    assert "cannot be read" in damaged.reason


def test_a_gate_of_another_shape_is_damage_not_a_traceback(folder: Path) -> None:
    (folder / "2026-01-01-12-00-00" / "metrics.json").write_text('{"gate": [1]}')
    _, [damaged] = find_runs(folder)
    assert damaged.reason == "damaged: metrics.json: gate.0: Input should be an object"


def test_a_folder_that_is_not_there_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(RunsError, match=r"cannot be listed: No such file.*--artefacts-dir"):
        find_runs(tmp_path / "nothing")


def test_five_hundred_runs_are_listed_in_seconds(folder: Path, tiny: Path) -> None:
    for number in range(500):
        shutil.copytree(tiny, folder / f"run-{number}", copy_function=os.link)
    started = time.perf_counter()
    assert len(read_runs(folder)) == 504
    assert time.perf_counter() - started < 5


# ------------------------------------------------------ filtering and sorting


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["dataset=titanic"], [1, 2]),
        (["dataset=titan*"], [1, 2]),
        (["dataset!=titanic"], [3, 4]),
        (["accuracy>=0.8"], [1, 2]),
        (["accuracy > 0.8"], [2]),
        (["log_loss<0.6", "dataset=titanic", "accuracy<0.85"], [1]),
        (["gate=failed"], [3]),
        (["model=hist*"], [4]),
        (["dataset=titanic", "rmse<1"], []),
        (["size>1GB"], []),
        (["size<1GB"], [1, 2, 3, 4]),
        (["time>=2026-01-03"], [3, 4]),
        (["task=regression"], []),
    ],
)
def test_conditions_choose_runs(folder: Path, conditions: list[str], expected: list[int]) -> None:
    assert days(filter_runs(read_runs(folder), conditions)) == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("titanic", "expected KEY=VALUE, such as dataset=titanic"),
        (
            "acuracy>=0.9",
            "no run has 'acuracy'. Known: time, name, dataset, task, model, gate, size",
        ),
        ("accuracy>=high", "expected a number, got 'high'"),
        ("accuracy>=", "expected a number, got ''"),
        ("accuracy>=0.5MBB", "expected a number, got '0.5MBB'"),
        (">=0.9", "expected KEY=VALUE, such as dataset=titanic"),
        ("dataset>a", "dataset is a text; expected = or !="),
    ],
)
def test_a_condition_that_cannot_be_met_says_what_could(
    folder: Path, condition: str, message: str
) -> None:
    with pytest.raises(RunsError, match=re.escape(message)):
        filter_runs(read_runs(folder), [condition])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("-time", [4, 3, 2, 1]),
        ("time", [1, 2, 3, 4]),
        ("accuracy", [3, 1, 2, 4]),  # without one: last, whichever way
        ("-accuracy", [2, 1, 3, 4]),
        ("dataset", [3, 4, 1, 2]),
    ],
)
def test_runs_are_sorted_by_a_key(folder: Path, key: str, expected: list[int]) -> None:
    assert days(sort_runs(read_runs(folder), key)) == expected


def test_sorting_by_what_no_run_has_names_what_they_have(folder: Path) -> None:
    with pytest.raises(
        RunsError, match=r"--sort: no run has 'mae'. Known: .*accuracy, log_loss, rmse, r2"
    ):
        sort_runs(read_runs(folder), "-mae")


def test_nothing_to_sort_or_filter_is_no_error() -> None:
    assert sort_runs([], "accuracy") == filter_runs([], ["accuracy>1"]) == []


# ------------------------------------------------------------------- showing


def shown(folder: Path) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        console.print(table_of(sort_runs(read_runs(folder)), ["rmse", "r2"]))
    return captured.get()


def test_the_table_has_the_main_metrics_the_gate_and_the_latest(folder: Path) -> None:
    heading, *lines = shown(folder).splitlines()
    assert re.sub(" +", " ", heading).strip() == (
        "time (UTC) dataset task model accuracy log_loss rmse r2 size gate"
    )
    by_day = {line[8:10]: line for line in lines if line.startswith("2026")}
    assert list(by_day) == ["04", "03", "02", "01"]
    of_trees = r".* – +– +45,489 +0\.8400 +[\d.]+ kB +- +latest *"
    assert re.fullmatch(of_trees, by_day["04"])
    assert re.fullmatch(r".* titanic .* 0\.9000 +0\.3000 .* passed *", by_day["02"])
    assert max(map(len, lines)) <= 120


def test_json_has_all_of_it(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    content = json.loads(to_json(*find_runs(folder)))
    assert [run["latest"] for run in content["runs"]] == [False, False, False, True]
    assert content["runs"][2]["gate"] == "failed"
    assert content["runs"][2]["failed_checks"] == ["accuracy"]
    assert content["others"] == [{"path": str(folder / "notes.txt"), "reason": "not a directory"}]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (130_200, "130 kB"), (73_100_000, "73.1 MB")],
)
def test_sizes_are_readable(size: int, expected: str) -> None:
    assert show_size(size) == expected


class _Page(HTMLParser):
    """Collects what a page is made of, and refuses tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_a_chart_a_dataset_and_needs_nothing_from_elsewhere(folder: Path) -> None:
    page = render_page(sort_runs(read_runs(folder)), find_runs(folder)[1], "accuracy")
    tags = _Page(page).tags
    labels = [attributes["aria-label"] for tag, attributes in tags if tag == "svg"]
    assert labels == [
        "accuracy of 2 runs on titanic: 0.8000 at 2026-01-01-12-00-00, 0.9000 at 2026-01-02-12-00-00",
        f"accuracy of 1 run on {NASTY}: 0.7000 at 2026-01-03-12-00-00",
    ]
    texts = page.partition("<table>")[0].count
    assert (texts(">failed its gate<"), texts(">latest<"), texts(">run<")) == (1, 0, 0)
    assert (texts(">2026-01-01<"), texts(">2026-01-02<"), texts(">2026-01-03<")) == (1, 1, 1)
    assert NASTY not in page
    assert not re.search(r"https?:|src=|@import|url\((?!#)|href=\"(?!#)", page)


def test_the_page_draws_what_most_runs_have_and_can_be_empty(folder: Path) -> None:
    assert "accuracy on the test split" in render_page(read_runs(folder), [])
    assert "0 runs" in render_page([], [])
    with pytest.raises(
        RunsError, match=r"--metric: no run has 'mae'. Known: accuracy, log_loss, rmse, r2"
    ):
        render_page(read_runs(folder), [], "mae")
