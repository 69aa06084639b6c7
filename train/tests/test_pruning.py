"""Claims about pruning: what the rules let go, what is never removed, and what a killed prune leaves."""

import os
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from predict.tests.tiny_artefact import write_tiny_artefact
from train.artefacts import folder as artefacts_folder
from train.artefacts import pruning
from train.artefacts.listing import find_runs
from train.artefacts.pruning import (
    PruneError,
    Rules,
    plan_prune,
    protected_paths,
    prune,
    read_age,
)
from train.tests.folders import days, fill_folder, read_runs

NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artefact(tmp_path_factory.mktemp("tiny") / "artefact")


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    return fill_folder(tmp_path / "artefacts", tiny)


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
    plan = plan_prune(read_runs(folder), rules, protect(folder, settings), NOW)
    assert days(plan.to_remove) == goes
    assert len(read_runs(folder)) == 4  # it was a plan


def test_a_prune_without_a_rule_is_refused(folder: Path) -> None:
    with pytest.raises(
        PruneError, match="Add --keep N, --older-than 30d or --failed; with --keep 0 all may"
    ):
        plan_prune(read_runs(folder), Rules(), {}, NOW)


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
        (with_somebodys_notes, "has files that no run wrote: notes.txt"),
    ],
)
def test_what_is_served_linked_or_added_to_stays(
    folder: Path, settings: Path, case: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(settings.parent)  # not where the project is
    protected = case(folder, settings)
    plan = plan_prune(read_runs(folder), Rules(keep=0), protected, NOW)
    assert days(plan.to_remove) == [3, 1]
    assert [path.name[8:10] for path in plan.protected] == ["04", "02"]
    assert re.fullmatch(reason, list(plan.protected.values())[1])


def test_settings_that_cannot_be_read_stop_a_prune(folder: Path, settings: Path) -> None:
    settings.write_text("ARTEFACT_DIR\n")
    with pytest.raises(
        PruneError, match=r"It is unknown which artefact is served: .*expected KEY=value"
    ):
        protect(folder, settings)


def test_without_settings_the_default_place_is_what_is_served(folder: Path, tmp_path: Path) -> None:
    protected = protect(folder, tmp_path / "nowhere" / "predict.conf")
    assert (tmp_path / "data" / "artefacts" / "latest") in protected


def test_a_prune_removes_runs_and_nothing_else(folder: Path, settings: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    plan = plan_prune(read_runs(folder), Rules(keep=1), protect(folder, settings), NOW)
    assert days(prune(plan, lambda: protect(folder, settings))) == [3, 2, 1]
    left = ["2026-01-04-12-00-00", "empty", "latest", "notes.txt"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_a_run_that_became_the_latest_meanwhile_stays(folder: Path, settings: Path) -> None:
    plan = plan_prune(read_runs(folder), Rules(keep=1), protect(folder, settings), NOW)
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("2026-01-02-12-00-00")
    assert days(prune(plan, lambda: protect(folder, settings))) == [3, 1]
    assert days(read_runs(folder)) == [2, 4]


def test_a_prune_that_is_killed_leaves_no_half_artefact(
    folder: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        (path / "model.onnx").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(pruning.shutil, "rmtree", killed)
    plan = plan_prune(read_runs(folder), Rules(keep=3), protect(folder, settings), NOW)
    with pytest.raises(KeyboardInterrupt):
        prune(plan, lambda: protect(folder, settings))
    monkeypatch.undo()
    listed, unreadable = find_runs(folder)
    assert (days(listed), unreadable) == ([2, 3, 4], [])
    [hidden] = folder.glob(".*")
    # What is left goes with the next training run.
    an_hour_ago = time.time() - 3700
    os.utime(hidden, (an_hour_ago, an_hour_ago))
    artefacts_folder.prepare(folder)
    assert not hidden.exists()


def test_what_is_gone_already_is_no_error(folder: Path, settings: Path) -> None:
    plan = plan_prune(read_runs(folder), Rules(keep=3), protect(folder, settings), NOW)
    shutil.rmtree(plan.to_remove[0].path)
    assert prune(plan, lambda: protect(folder, settings)) == []


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), ("8w", 1344), ("0d", 0)])
def test_ages_are_hours_days_or_weeks(text: str, hours: int) -> None:
    assert read_age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "1.5d", "3 months"])
def test_other_ages_say_what_is_expected(text: str) -> None:
    with pytest.raises(PruneError, match="expected hours, days or weeks, such as 12h, 30d or 8w"):
        read_age(text)


def test_a_race_for_what_killed_runs_left_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".unfinished-file").write_text("")
    (tmp_path / ".unfinished-folder").mkdir()
    for left in tmp_path.iterdir():
        os.utime(left, (0, 0))
    gone = tmp_path / ".unfinished-gone"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone, *sorted(tmp_path.iterdir())]))
    artefacts_folder.prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []
