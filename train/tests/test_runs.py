"""Claims about lists of runs: what is found, how it is filtered, shown and pruned, and what is never removed."""

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from predict.tests.tiny_artefact import write_metadata, write_tiny_artefact
from train.artefacts import listing as runs
from train.artefacts import writing as export
from train.artefacts.listing import (
    Rules,
    Run,
    RunsError,
    filter_runs,
    find_runs,
    plan_prune,
    protected_paths,
    prune,
    read_age,
    render_page,
    show_size,
    sort_runs,
    table_of,
    to_json,
)

NOW = datetime(2026, 2, 1, tzinfo=UTC)
NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artefact(tmp_path_factory.mktemp("tiny") / "artefact")


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    """Four artefacts, of four days; the newest is `latest`, the one before it failed its gate."""
    artefacts = tmp_path / "artefacts"
    add(artefacts, tiny, 1, "titanic", {"accuracy": 0.8, "log_loss": 0.5})
    add(artefacts, tiny, 2, "titanic", {"accuracy": 0.9, "log_loss": 0.3}, gate=True)
    add(artefacts, tiny, 3, NASTY, {"accuracy": 0.7, "log_loss": 0.6}, gate=False)
    add(artefacts, tiny, 4, "housing", {"rmse": 45_489.0, "r2": 0.84}, "hist_gradient_boosting")
    (artefacts / "latest").symlink_to("2026-01-04-12-00-00")
    return artefacts


def add(
    artefacts: Path,
    tiny: Path,
    day: int,
    dataset: str,
    metrics: Mapping[str, float],
    pipeline: str | None = None,
    gate: bool | None = None,
) -> Path:
    path = artefacts / f"2026-01-{day:02}-12-00-00"
    shutil.copytree(tiny, path)
    if gate is not None:
        check = {"check": "accuracy", "value": 0.7, "passed": gate, "why": ">=0.8"}
        (path / "metrics.json").write_text(json.dumps({"gate": [check]}))
    metadata = json.loads((path / "metadata.json").read_bytes())
    del metadata["files"]
    family = {"family": "text: wide and deep"}
    changes = {
        "name": path.name,
        "created_at": f"2026-01-{day:02}T12:00:00+00:00",
        "metrics": dict(metrics),
        "dataset": {"name": dataset},
        "model": {"pipeline": pipeline} if pipeline else family,
    }
    write_metadata(path, metadata | changes)
    return path


def found(folder: Path) -> list[Run]:
    return find_runs(folder)[0]


def days(listed: list[Run]) -> list[int]:
    return [int(run.name[8:10]) for run in listed]


# --------------------------------------------------------------------- found


def test_a_run_is_what_its_metadata_and_metrics_say(folder: Path) -> None:
    first, second, third, last = found(folder)
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
    (folder / ".unfinished-x").mkdir()
    listed, others = find_runs(folder)
    assert days(listed) == [1, 2, 3, 4]
    assert {item.path.name: item.reason for item in others} == {
        "notes.txt": "not a directory",
        "empty": "not an artefact: metadata.json is missing",
        "cut": "damaged: metadata.json is not JSON",
        "listless": "damaged: metadata.json is not what a run writes",
        "newer": "format_version 99 cannot be read here",
        "partial": "damaged: metadata.json: name: Field required",
        "modelless": "damaged: model.onnx missing",
        "metrics": "damaged: metrics.json is not JSON",
    }


def test_a_flipped_byte_is_found_when_every_byte_is_compared(folder: Path) -> None:
    model = folder / "2026-01-02-12-00-00" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert len(found(folder)) == 4
    listed, [other] = find_runs(folder, verify=True)
    assert days(listed) == [1, 3, 4]
    assert "model.onnx was changed after training" in other.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_listed_as_such(folder: Path) -> None:
    (folder / "2026-01-01-12-00-00" / "metadata.json").chmod(0)
    _, [other] = find_runs(folder)
    assert "cannot be read" in other.reason


def test_a_gate_of_another_shape_is_damage_not_a_traceback(folder: Path) -> None:
    (folder / "2026-01-01-12-00-00" / "metrics.json").write_text('{"gate": [1]}')
    _, [other] = find_runs(folder)
    assert other.reason == "damaged: metrics.json: the gate is not what a run writes"


def test_a_folder_that_is_not_there_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(RunsError, match=r"cannot be listed: No such file.*--artefacts-dir"):
        find_runs(tmp_path / "nothing")


def test_five_hundred_runs_are_listed_in_seconds(folder: Path, tiny: Path) -> None:
    for number in range(500):
        shutil.copytree(tiny, folder / f"run-{number}", copy_function=os.link)
    started = time.perf_counter()
    assert len(found(folder)) == 504
    assert time.perf_counter() - started < 5


# --------------------------------------------------------- filtered and sorted


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
        (["size>1GB"], []),
        (["size<1GB"], [1, 2, 3, 4]),
        (["time>=2026-01-03"], [3, 4]),
        (["task=regression"], []),
    ],
)
def test_conditions_choose_runs(folder: Path, conditions: list[str], expected: list[int]) -> None:
    assert days(filter_runs(found(folder), conditions)) == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("titanic", "expected KEY=VALUE, such as dataset=titanic"),
        (
            "acuracy>=0.9",
            "no run has 'acuracy'. Known: time, name, dataset, task, model, gate, size",
        ),
        ("accuracy>=high", "expected a number, got 'high'"),
        ("dataset>a", "dataset is a text; expected = or !="),
    ],
)
def test_a_condition_that_cannot_be_met_says_what_could(
    folder: Path, condition: str, message: str
) -> None:
    with pytest.raises(RunsError, match=re.escape(message)):
        filter_runs(found(folder), [condition])


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
    assert days(sort_runs(found(folder), key)) == expected


def test_sorting_by_what_no_run_has_names_what_they_have(folder: Path) -> None:
    with pytest.raises(
        RunsError, match=r"--sort: no run has 'mae'. Known: .*accuracy, log_loss, rmse, r2"
    ):
        sort_runs(found(folder), "-mae")


def test_nothing_to_sort_or_filter_is_no_error() -> None:
    assert sort_runs([], "accuracy") == filter_runs([], ["accuracy>1"]) == []


# --------------------------------------------------------------------- shown


def shown(folder: Path) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        console.print(table_of(sort_runs(found(folder)), ["rmse", "r2"]))
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
    page = render_page(sort_runs(found(folder)), find_runs(folder)[1], "accuracy")
    tags = _Page(page).tags
    labels = [attributes["aria-label"] for tag, attributes in tags if tag == "svg"]
    assert labels == [
        "accuracy of 2 runs on titanic: 0.8000 at 2026-01-01-12-00-00, 0.9000 at 2026-01-02-12-00-00",
        f"accuracy of 1 runs on {NASTY}: 0.7000 at 2026-01-03-12-00-00",
    ]
    circles = [attributes for tag, attributes in tags if tag == "circle"]
    assert [circle.get("class") for circle in circles] == [None, None, "failed"]
    # Better is higher: the y axis of SVG points down.
    assert float(circles[1]["cy"]) < float(circles[0]["cy"])
    assert float(circles[1]["cx"]) > float(circles[0]["cx"])
    assert NASTY not in page
    assert not re.search(r"https?:|src=|@import|url\(", page)


def test_the_page_draws_what_most_runs_have_and_can_be_empty(folder: Path) -> None:
    assert "accuracy on the test split" in render_page(found(folder), [])
    assert "0 runs" in render_page([], [])
    with pytest.raises(
        RunsError, match=r"--metric: no run has 'mae'. Known: accuracy, log_loss, rmse, r2"
    ):
        render_page(found(folder), [], "mae")


# -------------------------------------------------------------------- pruned


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "conf" / "predict.conf"
    file.parent.mkdir()
    file.write_text("ARTEFACT_DIR=artefacts/latest\n")
    return file


def protect(folder: Path, settings: Path) -> dict[Path, str]:
    return protected_paths(folder, settings, {})


@pytest.mark.parametrize(
    ("rules", "goes"),
    [
        (Rules(keep=0), [3, 2, 1]),
        (Rules(keep=1), [3, 2, 1]),
        (Rules(keep=3), [1]),
        (Rules(keep=9), []),
        (Rules(older_than=timedelta(days=28)), [3, 2, 1]),
        (Rules(older_than=timedelta(days=29)), [2, 1]),
        (Rules(failed=True), [3]),
        (Rules(keep=3, older_than=timedelta(days=28)), [1]),
        (Rules(keep=3, failed=True), []),
    ],
)
def test_what_meets_every_rule_goes_but_never_the_latest(
    folder: Path, settings: Path, rules: Rules, goes: list[int]
) -> None:
    pruning = plan_prune(found(folder), rules, protect(folder, settings), NOW)
    assert days(pruning.goes) == goes
    assert pruning.frees_bytes == sum(run.size_bytes for run in pruning.goes)
    assert len(found(folder)) == 4  # it was a plan


def test_a_prune_without_a_rule_is_refused(folder: Path) -> None:
    with pytest.raises(RunsError, match="say which may go: --keep N, --older-than 30d or --failed"):
        plan_prune(found(folder), Rules(), {}, NOW)


def of_the_environment(folder: Path, settings: Path) -> dict[Path, str]:
    return protected_paths(folder, settings, {"ARTEFACT_DIR": str(folder / "2026-01-02-12-00-00")})


def absolute(folder: Path, settings: Path) -> dict[Path, str]:
    settings.write_text(f"ARTEFACT_DIR={folder / '2026-01-02-12-00-00'}\n")
    return protect(folder, settings)


def relative_to_the_project(folder: Path, settings: Path) -> dict[Path, str]:
    settings.write_text("ARTEFACT_DIR=artefacts/2026-01-02-12-00-00\n")
    return protect(folder, settings)


def of_a_link_elsewhere(folder: Path, settings: Path) -> dict[Path, str]:
    (folder.parent / "served").symlink_to(folder / "2026-01-02-12-00-00")
    settings.write_text("ARTEFACT_DIR=served\n")
    return protect(folder, settings)


def of_another_link(folder: Path, settings: Path) -> dict[Path, str]:
    (folder / "production").symlink_to("2026-01-02-12-00-00")
    return protect(folder, settings)


def with_somebodys_notes(folder: Path, settings: Path) -> dict[Path, str]:
    (folder / "2026-01-02-12-00-00" / "notes.txt").write_text("mine")
    return protect(folder, settings)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (of_the_environment, "served: ARTEFACT_DIR in the environment names it"),
        (absolute, "served: .*predict.conf names it"),
        (relative_to_the_project, "served: .*predict.conf names it"),
        (of_a_link_elsewhere, "served: .*predict.conf names it"),
        (of_another_link, "production points to it"),
        (with_somebodys_notes, "holds what no run wrote: notes.txt"),
    ],
)
def test_what_is_served_linked_or_added_to_stays(
    folder: Path, settings: Path, case: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(settings.parent)  # not where the project is
    protected = case(folder, settings)
    pruning = plan_prune(found(folder), Rules(keep=0), protected, NOW)
    assert days(pruning.goes) == [3, 1]
    assert [item.path.name[8:10] for item in pruning.stays] == ["04", "02"]
    assert re.fullmatch(reason, pruning.stays[1].reason)


def test_settings_that_cannot_be_read_stop_a_prune(folder: Path, settings: Path) -> None:
    settings.write_text("ARTEFACT_DIR\n")
    with pytest.raises(RunsError, match=r"what is served is not to be known: .*expected KEY=value"):
        protect(folder, settings)


def test_without_settings_the_default_place_is_what_is_served(folder: Path, tmp_path: Path) -> None:
    protected = protect(folder, tmp_path / "nowhere" / "predict.conf")
    assert (tmp_path / "data" / "artefacts" / "latest") in protected


def test_a_prune_removes_runs_and_nothing_else(folder: Path, settings: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    pruning = plan_prune(found(folder), Rules(keep=1), protect(folder, settings), NOW)
    assert days(prune(pruning, lambda: protect(folder, settings))) == [3, 2, 1]
    left = ["2026-01-04-12-00-00", "empty", "latest", "notes.txt"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_a_run_that_became_the_latest_meanwhile_stays(folder: Path, settings: Path) -> None:
    pruning = plan_prune(found(folder), Rules(keep=1), protect(folder, settings), NOW)
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("2026-01-02-12-00-00")
    assert days(prune(pruning, lambda: protect(folder, settings))) == [3, 1]
    assert days(found(folder)) == [2, 4]


def test_a_prune_that_is_killed_leaves_no_half_artefact(
    folder: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        (path / "model.onnx").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.shutil, "rmtree", killed)
    pruning = plan_prune(found(folder), Rules(keep=3), protect(folder, settings), NOW)
    with pytest.raises(KeyboardInterrupt):
        prune(pruning, lambda: protect(folder, settings))
    monkeypatch.undo()
    listed, others = find_runs(folder)
    assert (days(listed), others) == ([2, 3, 4], [])
    [hidden] = folder.glob(".*")
    # What is left goes with the next training run.
    an_hour_ago = time.time() - 3700
    os.utime(hidden, (an_hour_ago, an_hour_ago))
    export.prepare_artefacts_dir(folder)
    assert not hidden.exists()


def test_what_is_gone_already_is_no_error(folder: Path, settings: Path) -> None:
    pruning = plan_prune(found(folder), Rules(keep=3), protect(folder, settings), NOW)
    shutil.rmtree(pruning.goes[0].path)
    assert prune(pruning, lambda: protect(folder, settings)) == []


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), ("8w", 1344), ("0d", 0)])
def test_ages_are_hours_days_or_weeks(text: str, hours: int) -> None:
    assert read_age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "1.5d", "3 months"])
def test_other_ages_say_what_is_expected(text: str) -> None:
    with pytest.raises(RunsError, match="expected hours, days or weeks, such as 12h, 30d or 8w"):
        read_age(text)
