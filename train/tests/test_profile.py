"""Claims about the profile of the test rows, and about training on a log of predictions."""

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import METADATA, Input, Metadata, Output, load_artefact
from predict.contract.profile import Dimension
from predict.monitoring import drift
from predict.monitoring.monitor import ModelMonitor, report
from predict.monitoring.prediction_log import PredictionLog
from predict.scoring.predictor import Predictor
from train.data.reading import read_table
from train.errors import DatasetError
from train.evaluation.profile import profile_of
from train.progress import SilentProgress
from train.run import RunResult, run
from train.tests.conftest import make_rows, tiny_config
from train.tests.tables import of_spent, table_config, write_table


def dimension(metadata: Metadata, of: str, name: str) -> Dimension:
    assert metadata.profile is not None
    [found] = [one for one in metadata.profile.dimensions if (one.of, one.name) == (of, name)]
    return found


def asked_again(artefact: Path, instances: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a server would say of drift if it were asked about these."""
    predictor = Predictor.load(artefact)
    monitor = ModelMonitor(predictor.metadata, predictor.unknown_shares)
    monitor.observe("one", instances, predictor.predict(instances))
    return report(predictor.metadata, monitor.snapshot())


def test_an_artefact_of_texts_has_the_profile_of_its_test_rows(trained: RunResult) -> None:
    metadata = load_artefact(trained.artefact_dir).metadata
    assert metadata.profile is not None
    assert metadata.profile.rows == 60
    for one in metadata.profile.dimensions:
        assert sum(one.counts) == 60
    assert dimension(metadata, "answer", "label").values == ["fruit", "music", "tools"]
    lengths = dimension(metadata, "input", "text")
    assert lengths.counts[-1] == 0  # none is missing
    assert sum(count > 0 for count in lengths.counts) == 3
    # Each text has a number that no other has.
    assert (dimension(metadata, "texts", "unknown_share").edges or [0])[0] > 0


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("table")
    return run(table_config(folder, write_table(folder / "table.csv")), SilentProgress())


def test_an_artefact_of_a_table_has_a_dimension_for_every_input(table: RunResult) -> None:
    metadata = load_artefact(table.artefact_dir).metadata
    plan, since = dimension(metadata, "input", "plan"), dimension(metadata, "input", "since")
    assert sorted(plan.values or ()) == ["basic", "plus", "pro"]
    assert plan.counts[-1] > 0  # some are missing
    assert since.edges == []  # a date is there, or it is not
    assert since.counts[-1] > 0
    assert dimension(metadata, "answer", "score").counts
    assert {one.of for one in metadata.profile.dimensions} == {"input", "answer"}  # type: ignore[union-attr]


def test_a_regression_has_the_distribution_of_its_values(tmp_path: Path) -> None:
    config = table_config(tmp_path, write_table(tmp_path / "table.csv"), **of_spent())
    metadata = load_artefact(run(config, SilentProgress()).artefact_dir).metadata
    assert sum(dimension(metadata, "answer", "value").counts) == metadata.profile.rows  # type: ignore[union-attr]


def test_rows_that_are_all_old_drift(table: RunResult) -> None:
    artefact = table.artefact_dir
    metadata = load_artefact(artefact).metadata
    examples = [example.instance for example in metadata.examples]
    same = asked_again(artefact, examples)
    assert all(one["since_loaded"]["answers"] == len(examples) for one in same["dimensions"])
    older = [{**examples[number % 5], "age": 79} for number in range(200)]
    found = asked_again(artefact, older)
    assert found["verdict"] == "drift"
    age = next(one for one in found["dimensions"] if one["name"] == "age")
    assert age["verdict"] == "drift"


def test_training_and_serving_count_alike(table: RunResult) -> None:
    predictor = Predictor.load(table.artefact_dir)
    instances = [example.instance for example in predictor.metadata.examples] * 10
    predictions = predictor.predict(instances)
    profile = profile_of(predictor.metadata, instances, predictions)
    monitor = ModelMonitor(predictor.metadata.model_copy(update={"profile": profile}))
    monitor.observe("one", instances, predictions)
    counted = monitor.snapshot()["windows"]["dimensions"]
    for one in profile.dimensions:
        assert counted[f"{one.of}:{one.name}"]["since_loaded"] == one.counts
    assert drift.psi(one.counts, one.counts) == 0


NUMBER = Output(name="y", type="number")


def numbers_of(values: list[float]) -> Dimension:
    metadata = Metadata.model_construct(inputs=[], outputs=[NUMBER])
    predictions = [{"value": value} for value in values]
    [one] = profile_of(metadata, [{}] * len(values), predictions).dimensions
    return one


def test_bins_hold_equally_many_rows() -> None:
    one = numbers_of(np.random.default_rng(0).normal(size=1_000).tolist())
    assert len(one.counts) == 10
    assert max(one.counts) - min(one.counts) <= 2


@pytest.mark.parametrize(("rows", "bins"), [(1_000, 10), (100, 5), (40, 2), (30, 2)])
def test_few_rows_have_few_bins(rows: int, bins: int) -> None:
    assert len(numbers_of([float(value) for value in range(rows)]).counts) == bins


def test_a_frequent_value_has_a_bin_of_its_own() -> None:
    one = numbers_of([0.0] * 600 + [1.0 + value / 1_000 for value in range(400)])
    assert 600 in one.counts
    assert one.counts[0] == 0  # and below it, where no row was, there is another


def test_whole_numbers_have_a_bin_each_and_none_between_them() -> None:
    one = numbers_of([float(value % 4) for value in range(400)])
    assert one.counts == [0, 100, 100, 100, 100, 0]


@pytest.mark.parametrize("value", [7.0, 1.7976931348623157e308, -1.7976931348623157e308])
def test_one_value_alone_has_its_bin(value: float) -> None:
    one = numbers_of([value] * 50)
    assert sum(one.counts) == max(one.counts) == 50


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        ({"often": 20, "five": 5, "four": 4}, ["often", "five"]),
        ({f"v{number}": 5 + number for number in range(60)}, [f"v{n}" for n in range(59, 9, -1)]),
    ],
)
def test_the_most_frequent_categories_are_named_and_no_rare_one(
    counts: dict[str, int], named: list[str]
) -> None:
    values = [value for value, count in counts.items() for _ in range(count)]
    metadata = Metadata.model_construct(
        inputs=[Input(name="a", type="category", categories=sorted(counts))], outputs=[NUMBER]
    )
    predictions = [{"value": 1.0}] * len(values)
    one, _ = profile_of(metadata, [{"a": value} for value in values], predictions).dimensions
    assert one.values == named
    assert sum(one.counts) == len(values)


def test_an_artefact_with_a_broken_profile_is_refused(table: RunResult) -> None:
    content = json.loads((table.artefact_dir / METADATA).read_bytes())
    content["profile"]["dimensions"][0]["name"] = "nothing"
    with pytest.raises(ValueError, match="profile: nothing: no such input"):
        Metadata.model_validate(content)


# ---------------------------------------------------------- the log as a dataset


def logged(artefact: Path, file: Path, rows: list[tuple[str, str]], inputs: bool = True) -> Path:
    """Ask a model about texts, tell it the truth, and return the log of it."""
    predictor = Predictor.load(artefact)
    log = PredictionLog(file, inputs)
    monitor = ModelMonitor(predictor.metadata, log=log)
    for number, (text, label) in enumerate(rows):
        instances = [{"text": text}]
        monitor.observe(str(number), instances, predictor.predict(instances))
        monitor.give(str(number), [label])
    log.close()
    return file


def test_a_model_is_trained_on_the_log_of_another(trained: RunResult, tmp_path: Path) -> None:
    rows = make_rows(240, seed=1)
    file = logged(trained.artefact_dir, tmp_path / "predictions.jsonl", rows)
    frame = read_table(file).frame
    assert list(frame.itertuples(index=False, name=None)) == rows
    # The configuration of the first model trains the second.
    second = run(tiny_config(tmp_path, file), SilentProgress())
    metadata = load_artefact(second.artefact_dir).metadata
    assert metadata.outputs[0].labels == ["fruit", "music", "tools"]
    assert metadata.dataset["rows_kept"] == 240


@pytest.mark.parametrize(
    ("inputs", "change", "problem"),
    [
        (False, lambda text: text, "without their inputs. Set LOG_PREDICTIONS_INPUTS=true"),
        (True, lambda text: re.sub(r".*truths.*\n", "", text), "without feedback"),
        (True, lambda text: text.replace('"target"', '"aim"'), "a line is none"),
        (True, lambda text: text.replace('"truths": [', '"truths": 1, "x": ['), "a line is none"),
    ],
)
def test_a_log_that_cannot_be_trained_on_says_what_it_lacks(
    trained: RunResult, tmp_path: Path, inputs: bool, change: Any, problem: str
) -> None:
    file = logged(trained.artefact_dir, tmp_path / "log.jsonl", make_rows(3), inputs)
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DatasetError, match=problem):
        read_table(file)


def test_a_dataset_with_a_column_of_that_name_is_still_a_dataset(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"request_id": "a", "label": "b"}\n', encoding="utf-8")
    assert list(read_table(file).frame) == ["request_id", "label"]


def test_writing_a_profile_takes_little_of_a_run(trained: RunResult) -> None:
    predictor = Predictor.load(trained.artefact_dir)
    instances = [{"text": text} for text, _ in make_rows(4_000, seed=2)]
    predictions = predictor.predict(instances)
    started = time.perf_counter()
    profile_of(predictor.metadata, instances, predictions, predictor.unknown_shares(instances))
    assert time.perf_counter() - started < 1
