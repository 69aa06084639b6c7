"""Claims about the log of predictions: what is in it, that it is bounded, and that no answer waits for it."""

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predict.contract.prediction_lines import is_prediction_log, labelled_rows
from predict.monitoring import prediction_log
from predict.monitoring.prediction_log import PredictionLog, PredictionLogError
from predict.scoring.predictor import Predictor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_what_was_answered_and_nothing_of_the_input(
    file: Path, predictor: Predictor
) -> None:
    log, instances = PredictionLog(file), [{"title": "svn"}, {"title": "a secret"}]
    predictions = predictor.predict(instances)
    log.predicted("one", predictor.metadata, instances, predictions)
    log.learned("one", [predictor.labels[0], None])
    log.close()
    first, second, truths = lines_of(file)
    assert first.pop("time") <= truths.pop("time")
    assert first == {
        "request_id": "one",
        "model": predictor.metadata.name,
        "target": predictor.metadata.outputs[0].name,
        "number": 0,
        "predicted": predictions[0]["label"],
        "score": predictions[0]["score"],
    }
    assert second["number"] == 1
    assert truths == {"request_id": "one", "truths": [predictor.labels[0], None]}
    assert "secret" not in file.read_text(encoding="utf-8")
    assert log.snapshot() == {"written": 3, "dropped": 0}


@pytest.mark.parametrize("kind", ["label", "number", "labels"])
def test_every_kind_of_answer_is_written_and_the_inputs_if_asked(
    file: Path, tables: dict[str, Path], kind: str
) -> None:
    table = Predictor.load(tables[kind])
    instances = [example.instance for example in table.metadata.examples]
    log = PredictionLog(file, inputs=True)
    log.predicted("one", table.metadata, instances, table.predict(instances))
    log.close()
    lines = lines_of(file)
    assert [line["instance"] for line in lines] == instances
    expected = {"label": str, "number": float, "labels": list}[kind]
    assert all(isinstance(line["predicted"], expected) for line in lines)


def test_whatever_a_text_holds_a_line_is_a_line(file: Path, predictor: Predictor) -> None:
    text = 'a\n{"forged": 1}\r\u2028\x1b[2J\ud800 ü'
    log, instances = PredictionLog(file, inputs=True), [{"title": text}]
    log.predicted("one\ntwo", predictor.metadata, instances, predictor.predict(instances))
    log.close()
    [line] = file.read_bytes().splitlines()
    assert json.loads(line)["instance"]["title"] == text
    assert b"\x1b" not in line


def test_the_file_is_for_its_owner_alone(file: Path) -> None:
    PredictionLog(file).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_was_written_before_stays(file: Path) -> None:
    for request_id in ("one", "two"):
        log = PredictionLog(file)
        log.learned(request_id, ["git"])
        log.close()
    assert [line["request_id"] for line in lines_of(file)] == ["one", "two"]


def test_files_are_turned_over_and_bounded(file: Path) -> None:
    log = PredictionLog(file, max_bytes=1_000, files=3)
    for count in range(200):
        log.learned(str(count), ["git"])
    log.learned("x" * 2_000, ["git"])  # longer than a file
    log.close()
    files = sorted(file.parent.iterdir())
    assert [each.name for each in files] == [file.name, f"{file.name}.1", f"{file.name}.2"]
    assert all(each.stat().st_size <= 1_000 for each in files)
    assert lines_of(file)[-1]["request_id"] == "199"
    assert log.snapshot() == {"written": 200, "dropped": 1}


def test_a_disk_that_does_not_answer_costs_lines_and_no_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "_MOST_WAITING", 10_000)
    monkeypatch.setattr(prediction_log, "_CLOSING_S", 0.05)
    stuck = wait_for(monkeypatch)
    log = PredictionLog(file)
    started = time.perf_counter()
    for count in range(1_000):
        log.learned(str(count), ["git"])
    log.close()
    assert time.perf_counter() - started < 2
    assert log.snapshot()["dropped"] > 800
    stuck["over"] = True


def wait_for(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Let writing wait until `over` is set."""
    state = {"over": False}
    emit = prediction_log._File.emit

    def slow(self: Any, record: Any) -> None:
        while not state["over"]:
            time.sleep(0.01)
        emit(self, record)

    monkeypatch.setattr(prediction_log._File, "emit", slow)
    return state


def test_a_full_disk_is_counted_and_the_server_lives(file: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    log = PredictionLog(full)
    log.learned("one", ["git"])
    log.close()
    assert log.snapshot() == {"written": 0, "dropped": 1}


@pytest.mark.parametrize("make", [Path.mkdir, lambda file: None])
def test_a_file_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    file = tmp_path / "nowhere" / "log" if make is not Path.mkdir else tmp_path / "folder"
    make(file)
    with pytest.raises(PredictionLogError, match=r"cannot be written: .*LOG_PREDICTIONS"):
        PredictionLog(file)


def line(request_id: str, number: int, text: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "number": number,
        "target": "tag",
        "predicted": "qt",
        "instance": {"title": text},
    }


def test_rows_are_the_instances_whose_truth_is_known() -> None:
    lines = [
        line("one", 0, "a"),
        line("two", 0, "b"),
        line("two", 1, "c"),
        {"request_id": "two", "truths": [None, "git"]},
        {"request_id": "two", "truths": ["git", "git"]},  # it counted once
        {"request_id": "three", "truths": ["git"]},
        line("one", 1, "lost"),
        line("one", 0, "d"),  # the same id again, without its second line
        {"request_id": "one", "truths": ["qt", "qt"]},
        {"request_id": "four", "number": 0, "target": "tag", "predicted": "qt"},
    ]
    assert labelled_rows(lines) == [{"title": "c", "tag": "git"}, {"title": "d", "tag": "qt"}]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], False),
        ([{"title": "a", "label": "b"}], False),
        ([{"request_id": "a", "label": "b"}], False),
        ([line("one", 0, "a")], True),
        ([{"request_id": "two", "truths": []}], True),
    ],
)
def test_a_log_is_told_from_other_rows(rows: list[dict[str, Any]], expected: bool) -> None:
    assert is_prediction_log(rows) is expected
